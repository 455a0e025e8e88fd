//! The reference for warm invokes: AWS's Runtime Interface Emulator as PyPI's `aws-sam-cli` ships it, with AWS's own
//! runtime client for Python and the same handler.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::functions::{EVENT, EXPECTED, Function};
use super::http::Connection;
use super::platform::end;
use crate::setup;
use crate::tools::{once, run_command, say};

/// The release of `aws-sam-cli` whose emulator is taken.
const RELEASE: &str = "aws-sam-cli==1.170.0";
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running emulator.
pub(super) struct Emulator {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Emulator {
    /// Starts it with the Python hello and waits until that has answered once.
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        let task = Function::Python.unpack(folder)?;
        let python = setup::python_environment(
            "venv",
            &["tests/requirements.txt", "runtimes/tests/requirements.txt"],
        )?;
        let (address, api) = (free_address()?, free_address()?);
        let log = File::create(folder.join("emulator.log")).map_err(|error| error.to_string())?;
        let child = Command::new(program()?)
            .args(["--log-level", "error", "--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &api.to_string()])
            .arg(python)
            .args(["-m", "awslambdaric", Function::Python.handler()])
            .env("LAMBDA_TASK_ROOT", &task)
            .current_dir(&task)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("the emulator cannot be started: {error}"))?;
        let emulator = Emulator { child, address };
        let started = Instant::now();
        loop {
            let outcome = Connection::open(address)
                .map_err(|error| error.to_string())
                .and_then(|mut connection| super::load::one(&mut connection, &request(address), EXPECTED));
            match outcome {
                Ok(()) => return Ok(emulator),
                Err(error) if started.elapsed() > START_LIMIT => {
                    return Err(format!("the emulator: {error}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// An invoke, which the emulator takes unsigned.
pub(super) fn request(address: SocketAddr) -> Vec<u8> {
    format!(
        "POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    )
    .into_bytes()
}

fn free_address() -> Result<SocketAddr, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| format!("no free port: {error}"))
}

/// Takes the emulator out of the wheel; nothing of the wheel is installed.
fn program() -> Result<PathBuf, String> {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let folder = once("bench-emulator", RELEASE, |folder| {
        say("fetching the reference emulator");
        run_command(
            Command::new("python3")
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    RELEASE,
                ])
                .arg("--dest")
                .arg(folder),
        )?;
        let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut files = fs::read_dir(folder).map_err(wrong)?;
        let wheel = files.next().ok_or("pip downloaded nothing")?.map_err(wrong)?.path();
        let open = File::open(&wheel).map_err(wrong)?;
        let broken = |error: zip::result::ZipError| format!("{}: {error}", wheel.display());
        let mut archive = zip::ZipArchive::new(open).map_err(broken)?;
        let name = format!("samcli/local/rapid/aws-lambda-rie-{machine}");
        let mut entry = archive.by_name(&name).map_err(broken)?;
        let path = folder.join("emulator");
        let mut file = File::create(&path).map_err(wrong)?;
        std::io::copy(&mut entry, &mut file).map_err(wrong)?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, executable).map_err(wrong)?;
        fs::remove_file(&wheel).map_err(wrong)
    })?;
    Ok(folder.join("emulator"))
}
