//! The functions that are measured: the same code for us and for every reference.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use runtimes::{Interpreter, RuntimeMap};
use zip::write::SimpleFileOptions;

use super::packages;
use crate::tools::{self, once, run_command};

/// What every function is called with.
pub(super) const EVENT: &str = r#"{"name":"bench"}"#;
/// What every right answer holds.
pub(super) const EXPECTED: &str = "Hello, bench!";
/// As much memory as brings one whole processor, so that no limit is measured.
pub(super) const MEMORY_MIB: u32 = 1769;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Python,
    Node,
    Native,
    /// Python that takes 200 ms and tells which environment it is.
    Slow,
    /// Python that takes 100 ms.
    Hundred,
    /// Node.js that streams its response.
    Stream,
    /// Python that takes 1 ms.
    Wait,
    /// Python that prints how old the messages are that it is called with.
    Queued,
    /// Python that makes a client of boto3, which is in its package.
    Boto3,
    /// The same with the boto3 of the host's Python.
    HostBoto3,
    /// Python that imports numpy and pandas.
    Pandas,
    /// Node.js that makes a client of the AWS SDK, bundled into its one file.
    NodeSdk,
}

impl Function {
    /// Every kind of runtime, answering at once.
    pub(super) const HELLOS: [Function; 3] = [Function::Python, Function::Node, Function::Native];

    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Python => "python",
            Function::Node => "node",
            Function::Native => "native",
            Function::Slow => "slow",
            Function::Hundred => "hundred",
            Function::Stream => "stream",
            Function::Wait => "wait",
            Function::Queued => "queued",
            Function::Boto3 => "boto3",
            Function::HostBoto3 => "host-boto3",
            Function::Pandas => "pandas",
            Function::NodeSdk => "node-sdk",
        }
    }

    /// The name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Function::Python => "Python",
            Function::Node => "Node.js",
            Function::Native => "native",
            Function::Slow => "Python, 200 ms",
            Function::Hundred => "Python, 100 ms",
            Function::Stream => "Node.js, streaming",
            Function::Wait => "Python, 1 ms",
            Function::Queued => "Python, fed by a queue",
            Function::Boto3 => "Python, boto3",
            Function::HostBoto3 => "Python, host's boto3",
            Function::Pandas => "Python, numpy + pandas",
            Function::NodeSdk => "Node.js, AWS SDK",
        }
    }

    pub(super) fn runtime(self) -> &'static str {
        match self {
            Function::Python
            | Function::Slow
            | Function::Hundred
            | Function::Wait
            | Function::Queued
            | Function::HostBoto3 => "python3.11",
            Function::Boto3 | Function::Pandas => packages::python_runtime(),
            Function::Node | Function::Stream | Function::NodeSdk => "nodejs20.x",
            Function::Native => "provided.al2023",
        }
    }

    pub(super) fn handler(self) -> &'static str {
        match self {
            Function::Native => "bootstrap",
            _ => "app.handler",
        }
    }

    /// Name and content of its own file.
    pub(super) fn file(self) -> Result<(&'static str, Vec<u8>), String> {
        Ok(match self {
            Function::Python => ("app.py", include_bytes!("functions/hello.py").to_vec()),
            Function::Slow => ("app.py", include_bytes!("functions/slow.py").to_vec()),
            Function::Hundred => ("app.py", include_bytes!("functions/hundred.py").to_vec()),
            Function::Wait => ("app.py", include_bytes!("functions/wait.py").to_vec()),
            Function::Queued => ("app.py", include_bytes!("functions/queued.py").to_vec()),
            Function::Boto3 | Function::HostBoto3 => {
                ("app.py", include_bytes!("functions/boto3_client.py").to_vec())
            }
            Function::Pandas => ("app.py", include_bytes!("functions/pandas_frame.py").to_vec()),
            Function::Node => ("app.mjs", include_bytes!("functions/hello.mjs").to_vec()),
            Function::Stream => ("app.mjs", include_bytes!("functions/stream.mjs").to_vec()),
            Function::NodeSdk => ("app.mjs", include_bytes!("functions/sdk.mjs").to_vec()),
            Function::Native => {
                let path = native()?;
                let content = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                ("bootstrap", content)
            }
        })
    }

    /// What it depends on, installed with it into a folder of the cache.
    fn installed(self) -> Option<Result<PathBuf, String>> {
        match self {
            Function::Boto3 => Some(packages::boto3()),
            Function::Pandas => Some(packages::pandas()),
            Function::NodeSdk => Some(packages::node_sdk()),
            _ => None,
        }
    }

    /// Its deployment package.
    pub(super) fn package(self) -> Result<Vec<u8>, String> {
        if let Some(folder) = self.installed() {
            return packages::zipped(&folder?);
        }
        let (name, content) = self.file()?;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let wrong = |error: &dyn std::fmt::Display| format!("the package cannot be made: {error}");
        zip.start_file(name, SimpleFileOptions::default().unix_permissions(0o755)).map_err(|e| wrong(&e))?;
        zip.write_all(&content).map_err(|e| wrong(&e))?;
        Ok(zip.finish().map_err(|e| wrong(&e))?.into_inner())
    }

    /// Puts its file into a folder and gives the folder.
    pub(super) fn unpack(self, folder: &Path) -> Result<PathBuf, String> {
        if let Some(folder) = self.installed() {
            return folder.map(|folder| folder.join(packages::CONTENT));
        }
        let task = folder.join(self.name());
        if task.exists() {
            return Ok(task); // a program that runs cannot be written again
        }
        let (name, content) = self.file()?;
        let wrong = |error: std::io::Error| format!("{}: {error}", task.display());
        fs::create_dir_all(&task).map_err(wrong)?;
        fs::write(task.join(name), content).map_err(wrong)?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(task.join(name), executable).map_err(wrong)?;
        Ok(task)
    }

    /// The interpreter that serves it.
    pub(super) fn interpreter(self) -> Result<Interpreter, String> {
        let mut found =
            runtimes::find(self.runtime(), &RuntimeMap::default()).map_err(|error| error.to_string())?;
        if self == Function::HostBoto3 {
            let program = packages::python_with_sdk()?.join("bin").join(self.runtime());
            found.command[0] = program.to_string_lossy().into_owned();
            found.executable = program;
        }
        Ok(found)
    }

    /// Environment that a server needs in order to serve it.
    pub(super) fn server_env(self) -> Result<Vec<(&'static str, String)>, String> {
        match self {
            Function::HostBoto3 => {
                let folder = packages::python_with_sdk()?.join("bin");
                Ok(vec![("LAMPLIGHTER_RUNTIMES", folder.to_string_lossy().into_owned())])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// How it is run without a box, with our runtime client, which is put below `folder`.
    pub(super) fn bare(self, folder: &Path) -> Result<Bare, String> {
        let task = self.unpack(folder)?;
        let interpreter = self.interpreter()?;
        let client = runtimes::install(&interpreter, &folder.join("runtimes"))
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        let outside = |word: &String| {
            word.replace("/var/runtime", &client.to_string_lossy())
                .replace("/var/task", &task.to_string_lossy())
        };
        let words: Vec<String> = interpreter.command_for(MEMORY_MIB, "", None).iter().map(outside).collect();
        let mut env: Vec<(String, String)> = interpreter.env.clone();
        if self.runtime().starts_with("python") {
            env.push(("PYTHONPATH".to_owned(), client.to_string_lossy().into_owned()));
        }
        Ok(Bare { function: self, task, words, env })
    }
}

/// A function's process without a box.
#[derive(Clone, Debug)]
pub(super) struct Bare {
    function: Function,
    task: PathBuf,
    words: Vec<String>,
    env: Vec<(String, String)>,
}

impl Bare {
    /// The command that runs it against the Runtime API at `api`.
    pub(super) fn command(&self, api: &str) -> Result<Command, String> {
        let (program, arguments) = self.words.split_first().ok_or("the runtime has no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.task)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("TZ", ":UTC")
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("_HANDLER", self.function.handler())
            .env("LAMBDA_TASK_ROOT", &self.task)
            .env("AWS_REGION", "us-east-1")
            // As in a box: without them an SDK would look for credentials in the network.
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", self.function.runtime()))
            .env("AWS_LAMBDA_FUNCTION_NAME", self.function.name())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MIB.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// The native function, compiled when its source changed.
fn native() -> Result<PathBuf, String> {
    const SOURCE: &str = include_str!("functions/native.rs");
    let folder = once("bench-native", SOURCE, |folder| {
        let source = tools::root().join("xtask/src/bench/functions/native.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-O", "-Cstrip=symbols", "--crate-name=bootstrap"]);
        run_command(rustc.arg(source).arg("-o").arg(folder.join("bootstrap")))
    })?;
    Ok(folder.join("bootstrap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_holds_the_handler() {
        let package = Function::Python.package().unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(package)).unwrap();
        assert_eq!(archive.by_name("app.py").unwrap().unix_mode().map(|mode| mode & 0o777), Some(0o755));
    }
}
