//! A process of the box, the command or a companion: from a fork of init to the exec.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::Pid;

use super::{Step, StepError};
use crate::sys::{self, Forked};

/// The descriptor number of the telemetry pipe inside.
const TELEMETRY: i32 = 3;

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
        let cwd = std::ffi::OsStr::from_bytes(cwd).into();
        Ok(Self { candidates, arguments, environment, cwd })
    }

    /// Starts it, and waits until it really runs.
    pub(crate) fn start(&self, output: &OwnedFd, telemetry: Option<&OwnedFd>) -> Result<Pid, StepError> {
        let (failure, low) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("make a pipe for the start")?;
        // Out of the way of the numbers that the command will have.
        let tell = rustix::io::fcntl_dupfd_cloexec(&low, 20).step("make a pipe for the start")?;
        drop(low);
        // SAFETY: init has one thread; the child ends by exec or by `exit_now`.
        #[allow(unsafe_code)]
        let main = match unsafe { sys::fork(0) }.step("fork the command")? {
            Forked::Child => {
                let (at, error) = self.become_command(output, telemetry);
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let _ = rustix::io::write(&tell, &[&[at], errno.to_ne_bytes().as_slice()].concat());
                sys::exit_now(127);
            }
            Forked::Parent(pid) => pid,
        };
        drop(tell);
        let mut told = Vec::new();
        std::fs::File::from(failure).read_to_end(&mut told).step("wait for the command")?;
        match told.as_slice() {
            [] => Ok(main),
            [at, errno @ ..] => {
                let errno = errno.try_into().map_or(libc::EIO, i32::from_ne_bytes);
                let program = std::path::Path::new(std::ffi::OsStr::from_bytes(self.arguments[0].as_bytes()));
                let step = match at {
                    b'd' => ("change to", self.cwd.as_path()),
                    b'f' => ("arrange the descriptors of", program),
                    _ => ("run", program),
                };
                Err(io::Error::from_raw_os_error(errno)).step_at(step.0, step.1)
            }
        }
    }

    /// In the child. Returns only if it fails: where, and why.
    fn become_command(&self, output: &OwnedFd, telemetry: Option<&OwnedFd>) -> (u8, io::Error) {
        let arrange = || -> io::Result<()> {
            rustix::process::setsid()?;
            // Standard input is /dev/null already.
            sys::place_fd(output, 1)?;
            sys::place_fd(output, 2)?;
            // Everything above is closed on exec.
            telemetry.map_or(Ok(()), |telemetry| sys::place_fd(telemetry, TELEMETRY))
        };
        if let Err(error) = arrange() {
            return (b'f', error);
        }
        if let Err(error) = rustix::process::chdir(&self.cwd) {
            return (b'd', error.into());
        }
        sys::reset_signals();
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            last = sys::execve(candidate, &self.arguments, &self.environment);
            if last.raw_os_error() != Some(libc::ENOENT) {
                break;
            }
        }
        (b'x', last)
    }
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
