//! Control of a box made of namespaces and control groups, from the server's side.
//!
//! Where a control group is missing, the box's init does the same by signals: see `inside::init`.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::backend::{BoxControl, MemoryUse, NotStarted};
use crate::cgroup::{BoxCgroup, Layout};
use crate::channel::Channel;
use crate::protocol::{InitSays, ServerAsks};

/// Handles to one box.
pub(crate) struct NamespaceBox {
    cgroup: BoxCgroup,
    freezes_by_cgroup: bool,
    measures_by_cgroup: bool,
    /// A pidfd of the box's init: its death is everybody's.
    init: OwnedFd,
    channel: Arc<Channel>,
}

impl NamespaceBox {
    pub(crate) fn new(cgroup: BoxCgroup, layout: &Layout, init: OwnedFd, channel: Arc<Channel>) -> Self {
        let (freezes_by_cgroup, measures_by_cgroup) = (layout.freeze.is_some(), layout.memory.is_some());
        Self { cgroup, freezes_by_cgroup, measures_by_cgroup, init, channel }
    }

    fn ask(&self, question: &ServerAsks) -> io::Result<()> {
        match self.channel.ask(question)?.0 {
            InitSays::Done { errno: 0 } => Ok(()),
            InitSays::Done { errno } => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl BoxControl for NamespaceBox {
    fn freeze(&self) -> io::Result<()> {
        match self.freezes_by_cgroup {
            true => self.cgroup.set_frozen(true),
            false => self.ask(&ServerAsks::Stop),
        }
    }

    fn thaw(&self) -> io::Result<()> {
        match self.freezes_by_cgroup {
            true => self.cgroup.set_frozen(false),
            false => self.ask(&ServerAsks::Continue),
        }
    }

    fn kill(&self) {
        if !self.cgroup.kill() {
            // Already gone is fine.
            let _ = rustix::process::pidfd_send_signal(&self.init, rustix::process::Signal::KILL);
            self.cgroup.kill();
        }
    }

    fn memory(&self) -> io::Result<MemoryUse> {
        if self.measures_by_cgroup {
            return self.cgroup.memory();
        }
        match self.channel.ask(&ServerAsks::Memory)?.0 {
            InitSays::Memory { current_bytes, peak_bytes } => Ok(MemoryUse { current_bytes, peak_bytes }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn peak_memory(&self) -> io::Result<u64> {
        if self.measures_by_cgroup {
            self.cgroup.peak_bytes()
        } else {
            self.memory().map(|all| all.peak_bytes)
        }
    }

    fn reset_peak_memory(&self) -> io::Result<()> {
        match self.measures_by_cgroup {
            true => self.cgroup.reset_peak(),
            false => self.ask(&ServerAsks::ResetPeak),
        }
    }

    fn set_cpu_millis(&self, cpu_millis: u32) -> io::Result<()> {
        self.cgroup.set_cpu_millis(cpu_millis)
    }

    fn set_memory_bytes(&self, bytes: u64) -> io::Result<()> {
        self.cgroup.set_memory_bytes(bytes)
    }

    fn start_command(&self) -> Result<(), NotStarted> {
        let failed = |source| NotStarted { step: "start the command".to_owned(), source };
        match self.channel.ask(&ServerAsks::StartCommand).map_err(failed)?.0 {
            InitSays::Done { errno: 0 } => Ok(()),
            InitSays::NotStarted { step, errno } => {
                Err(NotStarted { step, source: io::Error::from_raw_os_error(errno) })
            }
            _ => Err(failed(io::ErrorKind::InvalidData.into())),
        }
    }

    fn signal_command(&self, kill: bool) -> io::Result<()> {
        self.ask(&ServerAsks::SignalCommand { kill })
    }

    fn socket(&self) -> io::Result<TcpStream> {
        match self.channel.ask(&ServerAsks::Socket)? {
            (InitSays::Socket, fds) => {
                let socket = fds.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
                Ok(TcpStream::from(socket))
            }
            (InitSays::Done { errno }, _) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
