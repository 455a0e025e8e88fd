//! The server's end of a launch channel after the launch: last words of a box, and the few things that only its
//! init can do (stop, continue and measure where there are no control groups).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::fdpass;
use crate::protocol::{self, InitSays, ServerAsks};
use crate::running::lock;

/// Init answers in microseconds; a box that does not in this time is hung.
const ANSWER_LIMIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// One box's channel.
pub(crate) struct Channel {
    fd: OwnedFd,
    words: Mutex<LastWords>,
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
        Self { fd, words: Mutex::new(LastWords::default()) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Asks init and waits for its answer. Other words are kept. One question at a time.
    pub(crate) fn ask(&self, question: &ServerAsks) -> io::Result<InitSays> {
        let mut words = lock(&self.words);
        fdpass::send(&self.fd, &protocol::encode(question)?, &[])?;
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            if poll(&mut fds, Some(&ANSWER_LIMIT))? == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the box's init does not answer"));
            }
            match receive(&self.fd)? {
                Some(answer @ (InitSays::Done { .. } | InitSays::Memory { .. })) => return Ok(answer),
                Some(other) => words.keep(&other),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Everything said so far; complete once the box is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        let mut words = lock(&self.words);
        while let Ok(Some(said)) = receive(&self.fd) {
            words.keep(&said);
        }
        *words
    }
}

impl LastWords {
    fn keep(&mut self, said: &InitSays) {
        match said {
            InitSays::Exited { code, signal } => self.exited = Some((*code, *signal)),
            InitSays::OverMemory { peak_bytes } => self.over_memory_bytes = Some(*peak_bytes),
            _ => {}
        }
    }
}

fn receive(fd: &OwnedFd) -> io::Result<Option<InitSays>> {
    let mut buffer = [0; 256];
    match fdpass::receive(fd, &mut buffer)? {
        (0, _) => Ok(None),
        (length, _) => protocol::decode(&buffer[..length]).map(Some),
    }
}
