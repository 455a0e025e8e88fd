//! A process of the box, the command or a companion: from a fork of init to the exec.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Pid;

use super::{Step, StepError};
use crate::sys::{self, Forked};

/// The descriptor number of the telemetry pipe inside.
const TELEMETRY: i32 = 3;
/// The one on which a worker waits.
const TOLD: i32 = 4;

/// Program, arguments and environment as C strings, made before the fork.
pub(crate) struct Command {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    cwd: std::path::PathBuf,
}

impl Command {
    pub(crate) fn new(words: &[Vec<u8>], env: &[Vec<u8>], cwd: &[u8]) -> Result<Self, StepError> {
        let c_strings = |list: &[Vec<u8>], what: &str| {
            list.iter().map(|word| CString::new(word.as_slice())).collect::<Result<Vec<_>, _>>().step(what)
        };
        let arguments = c_strings(words, "read the command")?;
        let environment = c_strings(env, "read the environment")?;
        let candidates = candidates(&words[0], env);
        let candidates = c_strings(&candidates, "read the command")?;
        let cwd = OsStr::from_bytes(cwd).into();
        Ok(Self { candidates, arguments, environment, cwd })
    }

    /// Starts it, and waits until it really runs.
    pub(crate) fn start(&self, output: &OwnedFd, telemetry: Option<&OwnedFd>) -> Result<Pid, StepError> {
        let mut failed = None;
        let mut become_it = || failed = Some(self.become_command(output, telemetry, None));
        // SAFETY: init has one thread. The child arranges its descriptors and signals, which are its own, and writes
        // to `failed` only, if it does not exec.
        #[allow(unsafe_code)]
        let pid = unsafe { sys::spawn_and_wait_for_exec(&mut become_it) }.step("fork the command")?;
        match failed {
            None => Ok(pid),
            Some((at, error)) => Err(self.failure(at, error)),
        }
    }

    /// Starts it as a worker: it gives up all rights by `confine` before it runs, and this process does not. It has
    /// one more descriptor, [`TOLD`], by which it will hear what it is for.
    pub(crate) fn start_worker(
        &self,
        output: &OwnedFd,
        telemetry: &OwnedFd,
        told: &OwnedFd,
        confine: &dyn Fn() -> Result<(), StepError>,
    ) -> Result<Pid, StepError> {
        let (failure, low) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("make a pipe for the start")?;
        // Out of the way of the numbers that the command will have.
        let tell = rustix::io::fcntl_dupfd_cloexec(&low, 20).step("make a pipe for the start")?;
        drop(low);
        // SAFETY: init has one thread; the child ends by exec or by `exit_now`.
        #[allow(unsafe_code)]
        let worker = match unsafe { sys::fork(0) }.step("fork the worker")? {
            Forked::Child => {
                let failed = match confine() {
                    Err(error) => error,
                    Ok(()) => {
                        let (at, error) = self.become_command(output, Some(telemetry), Some(told));
                        self.failure(at, error)
                    }
                };
                let (step, errno) = failed.told();
                let _ = rustix::io::write(&tell, &[&errno.to_ne_bytes(), step.as_bytes()].concat());
                sys::exit_now(127);
            }
            Forked::Parent(pid) => pid,
        };
        drop(tell);
        let mut why = Vec::new();
        std::fs::File::from(failure).read_to_end(&mut why).step("wait for the worker")?;
        match why.split_first_chunk() {
            None => Ok(worker),
            Some((errno, step)) => Err(StepError {
                step: String::from_utf8_lossy(step).into_owned(),
                source: io::Error::from_raw_os_error(i32::from_ne_bytes(*errno)),
            }),
        }
    }

    fn failure(&self, at: At, error: io::Error) -> StepError {
        let program = Path::new(OsStr::from_bytes(self.arguments[0].as_bytes()));
        let (step, path) = match at {
            At::Directory => ("change to", self.cwd.as_path()),
            At::Descriptors => ("arrange the descriptors of", program),
            At::Exec => ("run", program),
        };
        StepError { step: format!("{step} {}", path.display()), source: error }
    }

    /// In the child. Returns only if it fails: where, and why.
    fn become_command(
        &self,
        output: &OwnedFd,
        telemetry: Option<&OwnedFd>,
        told: Option<&OwnedFd>,
    ) -> (At, io::Error) {
        let arrange = || -> io::Result<()> {
            rustix::process::setsid()?;
            // Out of the way of the numbers that the command will have.
            let high = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 20);
            let (telemetry, told) = (telemetry.map(high).transpose()?, told.map(high).transpose()?);
            // Standard input is /dev/null already.
            sys::place_fd(output, 1)?;
            sys::place_fd(output, 2)?;
            // Everything above is closed on exec.
            telemetry.map_or(Ok(()), |telemetry| sys::place_fd(&telemetry, TELEMETRY))?;
            told.map_or(Ok(()), |told| sys::place_fd(&told, TOLD))
        };
        if let Err(error) = arrange() {
            return (At::Descriptors, error);
        }
        if let Err(error) = rustix::process::chdir(&self.cwd) {
            return (At::Directory, error.into());
        }
        sys::reset_signals();
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            last = sys::execve(candidate, &self.arguments, &self.environment);
            if last.raw_os_error() != Some(libc::ENOENT) {
                break;
            }
        }
        (At::Exec, last)
    }
}

/// Where a start failed.
#[derive(Clone, Copy)]
enum At {
    Descriptors,
    Directory,
    Exec,
}

/// Where a program may be: as it stands if it has a slash, else along the `PATH` of its own environment.
fn candidates(program: &[u8], env: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let path =
        env.iter().find_map(|pair| pair.strip_prefix(b"PATH=")).unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    path.split(|byte| *byte == b':').map(|dir| [dir, b"/", program].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_a_slash_is_looked_up_in_the_boxs_own_path() {
        let env = vec![b"PATH=/opt/bin:/bin".to_vec()];
        assert_eq!(candidates(b"node", &env), [b"/opt/bin/node".to_vec(), b"/bin/node".to_vec()]);
        assert_eq!(candidates(b"./x", &env), [b"./x".to_vec()]);
    }
}
