//! One environment's log: reads both pipes of its box, cuts them into events, and hands these to the log stream.
//!
//! [`EnvLog::drain`] reads with plain system calls whatever is in the pipes at that moment, so what a function wrote
//! before its answer is in the log before the REPORT line. A pump task does the same while nothing else would.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::log_lines::{Frames, Lines, Tail};
use super::log_sink::{LogEvent, LogStream};

const READ_BYTES: usize = 8 * 1024;
/// One drain reads at most this much of a pipe, so that a function that never stops writing cannot hold it.
const MAX_DRAIN_BYTES: usize = 4 * 1024 * 1024;

/// The log of one environment.
pub(crate) struct EnvLog {
    state: Mutex<State>,
    /// Events of the runtime client come framed among the output, so that both stay in order.
    frames_in_output: bool,
    output: AsyncFd<File>,
    telemetry: AsyncFd<File>,
    stream: LogStream,
    clock: Clock,
}

#[derive(Default)]
struct State {
    lines: Lines,
    output_frames: Frames,
    frames: Frames,
    tail: Tail,
    events: Vec<LogEvent>,
}

impl EnvLog {
    /// Reads the two pipes into `stream`. Both must be non-blocking. Needs a Tokio runtime.
    pub(crate) fn new(
        output: OwnedFd,
        telemetry: OwnedFd,
        frames_in_output: bool,
        stream: LogStream,
        clock: Clock,
    ) -> io::Result<Arc<Self>> {
        // Deprecated for types whose descriptor may change under it; a `File` keeps its own, open, until it is dropped.
        #[allow(deprecated)]
        let watch = |pipe: OwnedFd| AsyncFd::with_interest(File::from(pipe), Interest::READABLE);
        let (output, telemetry) = (watch(output)?, watch(telemetry)?);
        Ok(Arc::new(EnvLog { state: Mutex::default(), frames_in_output, output, telemetry, stream, clock }))
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

    /// Reads what is in the pipes and, at the end of a request, closes unfinished lines.
    pub(crate) fn drain(&self, close_lines: bool) {
        let mut state = self.lock();
        self.read_pipes(&mut state);
        if close_lines {
            let now_ms = self.clock.now().as_millis();
            let State { lines, output_frames, frames, tail, events } = &mut *state;
            lines.flush(|line| emit(tail, events, now_ms, line));
            output_frames.flush(|text| emit(tail, events, now_ms, text));
            frames.flush(|text| emit(tail, events, now_ms, text));
        }
        self.hand_over(&mut state);
    }

    /// Writes lines of the platform, after everything the function wrote so far.
    pub(crate) fn platform_lines(&self, lines: impl IntoIterator<Item = String>) {
        let mut state = self.lock();
        let now_ms = self.clock.now().as_millis();
        for line in lines {
            state.tail.push(line.as_bytes());
            state.events.push(LogEvent::new(now_ms, line));
        }
        self.hand_over(&mut state);
    }

    /// Reads both pipes, output first: a function that prints and then logs has it in that order.
    fn read_pipes(&self, state: &mut State) -> (PipeEnd, PipeEnd) {
        let now_ms = self.clock.now().as_millis();
        let State { lines, output_frames, frames, tail, events } = state;
        let output = read_all(self.output.get_ref(), |bytes| {
            let take = |text: &[u8]| emit(tail, events, now_ms, text);
            if self.frames_in_output { output_frames.push(bytes, take) } else { lines.push(bytes, take) }
        });
        let telemetry = read_all(self.telemetry.get_ref(), |bytes| {
            frames.push(bytes, |text| emit(tail, events, now_ms, text));
        });
        (output, telemetry)
    }

    fn hand_over(&self, state: &mut State) {
        if !state.events.is_empty() {
            self.stream.push(&mut state.events);
        }
    }

    /// Keeps the pipes empty until both are closed or the task is aborted.
    pub(crate) async fn pump(self: Arc<Self>) {
        let (mut output_open, mut telemetry_open) = (true, true);
        while output_open || telemetry_open {
            let (guard, is_output) = tokio::select! {
                guard = self.output.readable(), if output_open => (guard, true),
                guard = self.telemetry.readable(), if telemetry_open => (guard, false),
            };
            let Ok(mut guard) = guard else { return };
            let mut state = self.lock();
            let (output, telemetry) = self.read_pipes(&mut state);
            self.hand_over(&mut state);
            drop(state);
            if (if is_output { output } else { telemetry }) == PipeEnd::Empty {
                guard.clear_ready();
            }
            output_open &= output != PipeEnd::Closed;
            telemetry_open &= telemetry != PipeEnd::Closed;
        }
    }
}

fn emit(tail: &mut Tail, events: &mut Vec<LogEvent>, now_ms: i64, text: &[u8]) {
    tail.push(text);
    events.push(LogEvent::new(now_ms, String::from_utf8_lossy(text).into_owned()));
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
