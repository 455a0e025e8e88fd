//! One environment's log: reads the pipes of its box, cuts them into events, and hands these to the log stream.
//!
//! [`EnvLog::drain`] reads with plain system calls whatever is in the pipes at that moment, so what a function wrote
//! before its answer is in the log before the REPORT line. A pump task does the same while nothing else would.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Timestamp};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::log_lines::{Frames, Lines, Tail};
use super::log_sink::{LogEvent, LogStream};
use super::telemetry::{Stream, Telemetry};
use crate::function::{FunctionConfig, LogFormat};
use crate::invoke::events::Event;

const READ_BYTES: usize = 8 * 1024;
/// One drain reads at most this much of a pipe, so that a function that never stops writing cannot hold it.
const MAX_DRAIN_BYTES: usize = 4 * 1024 * 1024;

/// The log of one environment.
pub(crate) struct EnvLog {
    state: Mutex<State>,
    /// Events of the runtime client come framed among the output, so that both stay in order.
    frames_in_output: bool,
    output: AsyncFd<File>,
    /// Where runtime clients that do not frame their output write.
    telemetry_pipe: AsyncFd<File>,
    /// The output of external extensions.
    extensions: Option<AsyncFd<File>>,
    stream: LogStream,
    clock: Clock,
    function: Arc<FunctionConfig>,
    telemetry: Arc<Telemetry>,
}

#[derive(Default)]
struct State {
    lines: Lines,
    output_frames: Frames,
    frames: Frames,
    extension_lines: Lines,
    tail: Tail,
    events: Vec<LogEvent>,
}

impl EnvLog {
    /// Reads the pipes into `stream`. All must be non-blocking. Needs a Tokio runtime.
    pub(crate) fn new(
        pipes: Pipes,
        stream: LogStream,
        clock: Clock,
        function: Arc<FunctionConfig>,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<Arc<Self>> {
        // Deprecated for types whose descriptor may change under it; a `File` keeps its own, open, until it is dropped.
        #[allow(deprecated)]
        let watch = |pipe: OwnedFd| AsyncFd::with_interest(File::from(pipe), Interest::READABLE);
        Ok(Arc::new(EnvLog {
            state: Mutex::default(),
            frames_in_output: pipes.frames_in_output,
            output: watch(pipes.output)?,
            telemetry_pipe: watch(pipes.telemetry)?,
            extensions: pipes.extensions.map(watch).transpose()?,
            stream,
            clock,
            function,
            telemetry,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts collecting the tail.
    pub(crate) fn begin_tail(&self, wanted: bool) {
        self.lock().tail.begin(wanted);
    }

    /// The tail, when it was wanted.
    pub(crate) fn take_tail(&self) -> Option<Vec<u8>> {
        self.lock().tail.take()
    }

    /// What extensions hear.
    pub(crate) fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Reads what is in the pipes and, at the end of a request, closes unfinished lines.
    pub(crate) fn drain(&self, close_lines: bool) {
        let mut state = self.lock();
        self.read_pipes(&mut state);
        if close_lines {
            let State { lines, output_frames, frames, extension_lines, tail, events } = &mut *state;
            let mut ear = self.ear(tail, events);
            extension_lines.flush(|line| ear.hear(Stream::Extension, line));
            lines.flush(|line| ear.hear(Stream::Function, line));
            output_frames.flush(|text| ear.hear(Stream::Function, text));
            frames.flush(|text| ear.hear(Stream::Function, text));
        }
        self.hand_over(&mut state);
    }

    /// Whether events are told that plain text has no line for.
    pub(crate) fn tells_more_than_text(&self) -> bool {
        self.function.log_format == LogFormat::Json || self.telemetry.wants(Stream::Platform)
    }

    /// Tells the log, and who subscribed, of events of the platform, after everything the function wrote so far.
    pub(crate) fn tell<'a>(&self, told: impl IntoIterator<Item = Event<'a>>) {
        let mut state = self.lock();
        let now = self.clock.now();
        for event in told {
            self.telemetry.event(now, &event);
            if let Some(line) = event.line(&self.function, now) {
                state.tail.push(line.as_bytes());
                state.events.push(LogEvent::new(now.as_millis(), line));
            }
        }
        self.hand_over(&mut state);
    }

    fn ear<'a>(&'a self, tail: &'a mut Tail, events: &'a mut Vec<LogEvent>) -> Ear<'a> {
        Ear { tail, events, now: self.clock.now(), telemetry: &self.telemetry }
    }

    /// Reads all pipes, output first: a function that prints and then logs has it in that order.
    fn read_pipes(&self, state: &mut State) -> [PipeEnd; 3] {
        let State { lines, output_frames, frames, extension_lines, tail, events } = state;
        let mut ear = self.ear(tail, events);
        let output = read_all(self.output.get_ref(), |bytes| {
            let take = |text: &[u8]| ear.hear(Stream::Function, text);
            if self.frames_in_output { output_frames.push(bytes, take) } else { lines.push(bytes, take) }
        });
        let telemetry = read_all(self.telemetry_pipe.get_ref(), |bytes| {
            frames.push(bytes, |text| ear.hear(Stream::Function, text));
        });
        let extensions = self.extensions.as_ref().map_or(PipeEnd::Closed, |pipe| {
            read_all(pipe.get_ref(), |bytes| {
                extension_lines.push(bytes, |line| ear.hear(Stream::Extension, line));
            })
        });
        [output, telemetry, extensions]
    }

    fn hand_over(&self, state: &mut State) {
        if !state.events.is_empty() {
            self.stream.push(&mut state.events);
        }
    }

    /// Keeps the pipes empty until all are closed or the task is aborted.
    pub(crate) async fn pump(self: Arc<Self>) {
        let mut open = [true, true, self.extensions.is_some()];
        while open.contains(&true) {
            let (guard, which) = tokio::select! {
                guard = self.output.readable(), if open[0] => (guard, 0),
                guard = self.telemetry_pipe.readable(), if open[1] => (guard, 1),
                guard = readable(self.extensions.as_ref()), if open[2] => (guard, 2),
            };
            let Ok(mut guard) = guard else { return };
            let mut state = self.lock();
            let ends = self.read_pipes(&mut state);
            self.hand_over(&mut state);
            drop(state);
            if ends[which] == PipeEnd::Empty {
                guard.clear_ready();
            }
            for (open, end) in open.iter_mut().zip(ends) {
                *open &= end != PipeEnd::Closed;
            }
        }
    }
}

/// The read ends of a box's pipes.
pub(crate) struct Pipes {
    pub(crate) output: OwnedFd,
    pub(crate) telemetry: OwnedFd,
    /// The output of external extensions, if there are any.
    pub(crate) extensions: Option<OwnedFd>,
    /// The runtime client frames its events within the output.
    pub(crate) frames_in_output: bool,
}

async fn readable(pipe: Option<&AsyncFd<File>>) -> io::Result<tokio::io::unix::AsyncFdReadyGuard<'_, File>> {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

/// Takes what was written: for the tail, the log, and who subscribed.
struct Ear<'a> {
    tail: &'a mut Tail,
    events: &'a mut Vec<LogEvent>,
    now: Timestamp,
    telemetry: &'a Telemetry,
}

impl Ear<'_> {
    fn hear(&mut self, stream: Stream, text: &[u8]) {
        self.tail.push(text);
        if self.telemetry.wants(stream) {
            self.telemetry.line(stream, self.now, text);
        }
        self.events.push(LogEvent::new(self.now.as_millis(), String::from_utf8_lossy(text).into_owned()));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PipeEnd {
    Empty,
    More,
    Closed,
}

fn read_all(mut pipe: &File, mut take: impl FnMut(&[u8])) -> PipeEnd {
    let mut buffer = [0_u8; READ_BYTES];
    let mut total = 0;
    while total < MAX_DRAIN_BYTES {
        match pipe.read(&mut buffer) {
            Ok(0) => return PipeEnd::Closed,
            Ok(count) => {
                total += count;
                take(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return PipeEnd::Empty,
            Err(_) => return PipeEnd::Closed,
        }
    }
    PipeEnd::More
}
