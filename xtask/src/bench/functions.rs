//! The functions that are measured: the same code for us and for every reference.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use runtimes::RuntimeMap;
use zip::write::SimpleFileOptions;

use crate::tools::{self, once, run_command};

/// What every function is called with.
pub(super) const EVENT: &str = r#"{"name":"bench"}"#;
/// What every right answer holds.
pub(super) const EXPECTED: &str = "Hello, bench!";
/// As much memory as brings one whole processor, so that no limit is measured.
pub(super) const MEMORY_MIB: u32 = 1769;

/// A function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Python,
    Node,
    Native,
    /// Python that takes 200 ms.
    Slow,
    /// Node.js that streams its response.
    Stream,
    /// Python that takes 1 ms.
    Wait,
}

impl Function {
    /// Every function that answers at once.
    pub(super) const HELLOS: [Function; 3] = [Function::Python, Function::Node, Function::Native];

    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Python => "python",
            Function::Node => "node",
            Function::Native => "native",
            Function::Slow => "slow",
            Function::Stream => "stream",
            Function::Wait => "wait",
        }
    }

    pub(super) fn runtime(self) -> &'static str {
        match self {
            Function::Python | Function::Slow | Function::Wait => "python3.11",
            Function::Node | Function::Stream => "nodejs20.x",
            Function::Native => "provided.al2023",
        }
    }

    pub(super) fn handler(self) -> &'static str {
        match self {
            Function::Native => "bootstrap",
            _ => "app.handler",
        }
    }

    /// Name and content of its only file.
    fn file(self) -> Result<(&'static str, Vec<u8>), String> {
        Ok(match self {
            Function::Python => ("app.py", include_bytes!("functions/hello.py").to_vec()),
            Function::Slow => ("app.py", include_bytes!("functions/slow.py").to_vec()),
            Function::Wait => ("app.py", include_bytes!("functions/wait.py").to_vec()),
            Function::Node => ("app.mjs", include_bytes!("functions/hello.mjs").to_vec()),
            Function::Stream => ("app.mjs", include_bytes!("functions/stream.mjs").to_vec()),
            Function::Native => {
                let path = native()?;
                let content = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                ("bootstrap", content)
            }
        })
    }

    /// Its deployment package.
    pub(super) fn package(self) -> Result<Vec<u8>, String> {
        let (name, content) = self.file()?;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let wrong = |error: &dyn std::fmt::Display| format!("the package cannot be made: {error}");
        zip.start_file(name, SimpleFileOptions::default().unix_permissions(0o755)).map_err(|e| wrong(&e))?;
        zip.write_all(&content).map_err(|e| wrong(&e))?;
        Ok(zip.finish().map_err(|e| wrong(&e))?.into_inner())
    }

    /// Puts its file into a folder and gives the folder.
    pub(super) fn unpack(self, folder: &Path) -> Result<PathBuf, String> {
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

    /// The command that runs it without a box, with our runtime client, which is put below `folder`; to be started in
    /// the folder that [`Self::unpack`] gave, against the Runtime API at `api`.
    pub(super) fn bare_command(self, folder: &Path, api: &str) -> Result<Command, String> {
        let task = self.unpack(folder)?;
        let interpreter =
            runtimes::find(self.runtime(), &RuntimeMap::default()).map_err(|error| error.to_string())?;
        let client = runtimes::install(&interpreter, &folder.join("runtimes"))
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        let outside = |word: &String| {
            word.replace("/var/runtime", &client.to_string_lossy())
                .replace("/var/task", &task.to_string_lossy())
        };
        let words: Vec<String> = interpreter.command_for(MEMORY_MIB, "", None).iter().map(outside).collect();
        let (program, arguments) = words.split_first().ok_or("the runtime has no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&task)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("TZ", ":UTC")
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("_HANDLER", self.handler())
            .env("LAMBDA_TASK_ROOT", &task)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", self.runtime()))
            .env("AWS_LAMBDA_FUNCTION_NAME", self.name())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MIB.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .envs(interpreter.env.iter().map(|(name, value)| (name, value)));
        if let Function::Python | Function::Slow | Function::Wait = self {
            command.env("PYTHONPATH", &client);
        }
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
