//! The server's end of a launch channel after the launch: last words of a box, and the few things that only its
//! init can do (stop, continue and measure where there are no control groups).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::backend::{Ended, ProcessEnd};
use crate::fdpass;
use crate::protocol::{self, InitSays, ServerAsks};
use crate::running::lock;

/// Init answers in microseconds; a box that does not in this time is hung.
const ANSWER_LIMIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// A start waits for the disk, perhaps.
const START_LIMIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// One box's channel.
pub(crate) struct Channel {
    fd: OwnedFd,
    heard: Mutex<Heard>,
}

/// Everything heard that nobody has asked for yet.
#[derive(Default)]
struct Heard {
    /// `Started`, `Bound` or `Failed`, with its descriptors.
    start: Option<(InitSays, Vec<OwnedFd>)>,
    words: LastWords,
    companions: Vec<(usize, ProcessEnd)>,
    closed: bool,
}

/// What a box said before its end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastWords {
    /// Exit code, signal.
    pub(crate) exited: Option<(Option<i32>, Option<i32>)>,
    /// The watchdog killed it at this many bytes.
    pub(crate) over_memory_bytes: Option<u64>,
}

impl Channel {
    /// `fd` must be non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, heard: Mutex::new(Heard::default()) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// How the launch (or what came after it) went, if it was said already; an error of kind `UnexpectedEof` if it never will be.
    pub(crate) fn take_start(&self) -> io::Result<Option<(InitSays, Vec<OwnedFd>)>> {
        let mut heard = lock(&self.heard);
        heard.listen(&self.fd);
        match heard.start.take() {
            None if heard.closed => Err(io::ErrorKind::UnexpectedEof.into()),
            start => Ok(start),
        }
    }

    /// Somebody else says it for the box, whose end comes next.
    pub(crate) fn put(&self, said: InitSays) {
        lock(&self.heard).keep(said, Vec::new());
    }

    /// Asks init and waits for its answer. Other words are kept. One question at a time.
    pub(crate) fn ask(&self, question: &ServerAsks) -> io::Result<(InitSays, Vec<OwnedFd>)> {
        let limit = if matches!(question, ServerAsks::StartCommand) { START_LIMIT } else { ANSWER_LIMIT };
        let mut heard = lock(&self.heard);
        fdpass::send(&self.fd, &protocol::encode(question)?, &[])?;
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            if poll(&mut fds, Some(&limit))? == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the box's init does not answer"));
            }
            match receive(&self.fd)? {
                Some((said, fds)) if said.is_answer() => return Ok((said, fds)),
                Some((other, fds)) => heard.keep(other, fds),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Which of its processes have ended so far, and whether nothing more will be said.
    pub(crate) fn ended(&self) -> (Ended, bool) {
        let mut heard = lock(&self.heard);
        heard.listen(&self.fd);
        let command = heard.words.exited.map(|(code, signal)| ProcessEnd { code, signal });
        (Ended { command, companions: heard.companions.clone() }, heard.closed)
    }

    /// The words about its end; complete once the box is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        let mut heard = lock(&self.heard);
        heard.listen(&self.fd);
        heard.words
    }
}

impl Heard {
    /// Hears what was said so far.
    fn listen(&mut self, fd: &OwnedFd) {
        loop {
            match receive(fd) {
                Ok(Some((said, fds))) => self.keep(said, fds),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn keep(&mut self, said: InitSays, fds: Vec<OwnedFd>) {
        match said {
            InitSays::Exited { code, signal } => self.words.exited = Some((code, signal)),
            InitSays::OverMemory { peak_bytes } => self.words.over_memory_bytes = Some(peak_bytes),
            InitSays::Started { .. } | InitSays::Bound | InitSays::Failed { .. } => {
                self.start = Some((said, fds))
            }
            InitSays::CompanionExited { at, code, signal } => {
                self.companions.push((at as usize, ProcessEnd { code, signal }));
            }
            // The late answer to a question that was given up.
            InitSays::Done { .. }
            | InitSays::Memory { .. }
            | InitSays::NotStarted { .. }
            | InitSays::Socket => {}
        }
    }
}

fn receive(fd: &OwnedFd) -> io::Result<Option<(InitSays, Vec<OwnedFd>)>> {
    let mut buffer = [0; 4096];
    match fdpass::receive(fd, &mut buffer)? {
        (0, _) => Ok(None),
        (length, fds) => Ok(Some((protocol::decode(&buffer[..length])?, fds))),
    }
}
