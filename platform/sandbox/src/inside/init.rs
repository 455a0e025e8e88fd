//! Pid 1 of a box: reaps, reports the end of the main process, and ends with it; the kernel then kills the rest.
//!
//! With companions it ends only after all of them: who shut the box down waits for that, and kills it otherwise.
//!
//! It runs no code of the user, and forwards no signals unless the server asks. Where the host gives us no control groups it also stops,
//! continues and measures the box, and kills it when it uses more memory than it may (checked every 50 ms: a weak
//! substitute, and the doctor says so).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::command::Command;
use super::half::Line;
use super::{Prepared, Step, StepError, confine, guard_init, root, say, tcp_socket};
use crate::fdpass;
use crate::protocol::{self, InitSays, LaunchRequest, ServerAsks};
use crate::sys;

const WATCHDOG_PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The main process.
pub(crate) enum Main {
    /// For the companions, until the server says so.
    Waiting {
        command: Command,
        output: OwnedFd,
        telemetry: OwnedFd,
    },
    Running(Pid),
    Ended,
}

impl Main {
    /// Starts it. Only the command keeps the pipes.
    pub(crate) fn start(self) -> Result<Self, StepError> {
        match self {
            Main::Waiting { command, output, telemetry } => {
                command.start(&output, Some(&telemetry)).map(Main::Running)
            }
            other => Ok(other),
        }
    }
}

pub(crate) struct Init<'a> {
    main: Main,
    waiting: Option<Waiting<'a>>,
    /// Those that live, in their order; the others are `None`.
    companions: Vec<Option<Pid>>,
    child_signals: OwnedFd,
    /// Only where no control group limits the memory.
    watchdog: Option<Watchdog>,
}

/// A box whose command runs, without any rights, and waits for what it is for. Until then init has the spawner's rights,
/// and runs no code but ours: nothing of any function is in the box.
pub(crate) struct Waiting<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) line: Line,
    pub(crate) writable_root: OwnedFd,
    /// The worker's user namespace, which init enters last.
    pub(crate) space: fs::File,
}

impl Waiting<'_> {
    /// Brings in what has arrived, and gives up all rights. `None`: nobody needs this box any more. Otherwise the new
    /// memory limit.
    fn bind(self) -> Option<Result<u64, StepError>> {
        let (bind, trees) = match self.line.bind().step("take what the box is for") {
            Ok(delivered) => delivered?,
            Err(error) => return Some(Err(error)),
        };
        let bound = root::add(&self.writable_root, trees, &bind.mounts)
            .and_then(|()| confine(self.prepared, &self.space, None))
            .and_then(|()| guard_init());
        Some(bound.map(|()| bind.memory_bytes))
    }
}

struct Watchdog {
    limit_bytes: u64,
    peak_bytes: u64,
    stopped: bool,
}

impl<'a> Init<'a> {
    pub(crate) fn new(
        main: Main,
        companions: Vec<Pid>,
        child_signals: OwnedFd,
        prepared: &Prepared,
        request: &LaunchRequest,
    ) -> Self {
        let limit_bytes = request.limits.memory_bytes;
        let watchdog = prepared.facts.cgroups.memory.is_none().then_some(Watchdog {
            limit_bytes,
            peak_bytes: 0,
            stopped: false,
        });
        let companions = companions.into_iter().map(Some).collect();
        Self { main, waiting: None, companions, child_signals, watchdog }
    }

    /// Until a [`Waiting`] is over, its line is listened to.
    pub(crate) fn waiting(self, waiting: Waiting<'a>) -> Self {
        Self { waiting: Some(waiting), ..self }
    }

    /// Until the end of the main process and its companions, the server or the memory. Then this process must exit.
    pub(crate) fn run(mut self, channel: &OwnedFd) {
        // The main process may have ended before its signal was watched.
        while !self.reap(channel) {
            let mut fds =
                vec![PollFd::new(&self.child_signals, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
            fds.extend(self.waiting.as_ref().map(|waiting| PollFd::new(&waiting.line, PollFlags::IN)));
            let awake = self.watchdog.as_ref().filter(|watchdog| !watchdog.stopped);
            let timeout = awake.map(|_| &WATCHDOG_PERIOD);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let asked = !fds[1].revents().is_empty();
            let delivered = fds.get(2).is_some_and(|line| !line.revents().is_empty());
            let mut drain = [0_u8; 128];
            while rustix::io::read(&self.child_signals, &mut drain).is_ok_and(|length| length > 0) {}
            if asked && !self.answer(channel) {
                return;
            }
            if delivered && !self.bind(channel) {
                return;
            }
            if self.watchdog.as_mut().is_some_and(|watchdog| watchdog.bites(channel)) {
                return;
            }
        }
    }

    /// False if the box has to go.
    fn bind(&mut self, channel: &OwnedFd) -> bool {
        match self.waiting.take().and_then(Waiting::bind) {
            None => false,
            Some(Err(error)) => {
                super::fail(channel, error);
                false
            }
            Some(Ok(limit_bytes)) => {
                if let Some(watchdog) = &mut self.watchdog {
                    watchdog.limit_bytes = limit_bytes;
                }
                say(channel, &InitSays::Bound);
                true
            }
        }
    }

    /// Reaps what has ended; true if nothing is left to wait for.
    fn reap(&mut self, channel: &OwnedFd) -> bool {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let (code, signal) = (status.exit_status(), status.terminating_signal());
            if matches!(self.main, Main::Running(main) if main == pid) {
                self.main = Main::Ended;
                say(channel, &InitSays::Exited { code, signal });
            } else if let Some(at) = self.companions.iter().position(|known| *known == Some(pid)) {
                self.companions[at] = None;
                // At most [`crate::MAX_COMPANIONS`].
                say(channel, &InitSays::CompanionExited { at: at as u32, code, signal });
            }
        }
        matches!(self.main, Main::Ended) && self.companions.iter().all(Option::is_none)
    }

    /// False if the server is gone.
    fn answer(&mut self, channel: &OwnedFd) -> bool {
        let mut buffer = [0; 64];
        let length = match fdpass::receive(channel, &mut buffer) {
            Ok((length, _)) if length > 0 => length,
            _ => return false,
        };
        let Ok(question) = protocol::decode::<ServerAsks>(&buffer[..length]) else { return false };
        let answer = match question {
            ServerAsks::Stop => self.signal_all(libc::SIGSTOP, true),
            ServerAsks::Continue => self.signal_all(libc::SIGCONT, false),
            ServerAsks::Memory => {
                let current_bytes = anonymous_bytes();
                let peak_bytes = self.watchdog.as_mut().map_or(current_bytes, |watchdog| {
                    watchdog.peak_bytes = watchdog.peak_bytes.max(current_bytes);
                    watchdog.peak_bytes
                });
                InitSays::Memory { current_bytes, peak_bytes }
            }
            ServerAsks::StartCommand => match std::mem::replace(&mut self.main, Main::Ended).start() {
                Ok(main) => {
                    self.main = main;
                    InitSays::Done { errno: 0 }
                }
                Err(error) => {
                    let (step, errno) = error.told();
                    InitSays::NotStarted { step, errno }
                }
            },
            ServerAsks::SignalCommand { kill } => {
                let signal = if kill { Signal::KILL } else { Signal::TERM };
                let done = match self.main {
                    Main::Running(main) => kill_process(main, signal),
                    _ => Ok(()),
                };
                InitSays::Done { errno: done.err().map_or(0, |errno| errno.raw_os_error()) }
            }
            ServerAsks::Socket => match tcp_socket() {
                Ok(socket) => {
                    if let Ok(record) = protocol::encode(&InitSays::Socket) {
                        let _ = fdpass::send(channel, &record, &[socket.as_fd()]);
                    }
                    return true;
                }
                Err(error) => InitSays::Done { errno: error.raw_os_error().unwrap_or(libc::EIO) },
            },
            ServerAsks::ResetPeak => {
                if let Some(watchdog) = &mut self.watchdog {
                    watchdog.peak_bytes = 0;
                }
                InitSays::Done { errno: 0 }
            }
        };
        say(channel, &answer);
        true
    }

    fn signal_all(&mut self, signal: i32, stopped: bool) -> InitSays {
        // The kernel holds its process list meanwhile: a process that forks right now is not missed.
        let result = sys::signal_all(signal);
        if let (Ok(()), Some(watchdog)) = (&result, &mut self.watchdog) {
            watchdog.stopped = stopped;
        }
        InitSays::Done { errno: result.err().and_then(|error| error.raw_os_error()).unwrap_or(0) }
    }
}

impl Watchdog {
    /// True if the box has to go.
    fn bites(&mut self, channel: &OwnedFd) -> bool {
        if self.stopped {
            return false;
        }
        // Quick, but counts pages shared by forks once per process: too much is looked at again.
        let mut used_bytes = anonymous_bytes();
        if used_bytes > self.limit_bytes {
            used_bytes = proportional_bytes();
        }
        self.peak_bytes = self.peak_bytes.max(used_bytes);
        let over = used_bytes > self.limit_bytes;
        if over {
            say(channel, &InitSays::OverMemory { peak_bytes: self.peak_bytes });
        }
        over
    }
}

/// The memory of all processes of the box that no file stands behind, in bytes. Not the contents of `/tmp`, nor shared
/// memory that nobody has mapped.
fn anonymous_bytes() -> u64 {
    sum_over_processes("status", |text| sum_of_lines(text, &["RssAnon:", "RssShmem:"])) * 1024
}

/// The same with shared pages divided among those who share them. Slow.
fn proportional_bytes() -> u64 {
    sum_over_processes("smaps_rollup", |text| sum_of_lines(text, &["Pss_Anon:", "Pss_Shmem:"])) * 1024
}

/// The sum of the lines that begin so, in KiB.
fn sum_of_lines(text: &str, wanted: &[&str]) -> Option<u64> {
    let line = |name: &&str| {
        let found = text.lines().find_map(|line| line.strip_prefix(*name))?;
        found.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    wanted.iter().map(line).sum()
}

fn sum_over_processes(file: &str, read: impl Fn(&str) -> Option<u64>) -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    entries
        .flatten()
        .filter(|entry| is_process(&entry.file_name()))
        .filter_map(|entry| read(&fs::read_to_string(entry.path().join(file)).ok()?))
        .sum()
}
