//! What the measured functions depend on, pinned, installed once into the cache: packages from PyPI and npm, a Python
//! that has an SDK of its own, and the reference from npm.
//!
//! Python's byte code is in the packages, as `pip install --target` leaves it there, but valid whatever the times of
//! the files are. The bare reference runs from the very folder that the deployment package is made of.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use runtimes::RuntimeMap;
use zip::write::SimpleFileOptions;

use super::functions::Function;
use crate::tools::{Outcome, once, run_command, say};

/// What is in a deployment package, below the folder that was made for it.
pub(super) const CONTENT: &str = "content";
const ZIP: &str = "package.zip";
const BOTO3: &str = include_str!("packages/boto3.txt");
const PANDAS: &str = include_str!("packages/pandas.txt");

/// The runtime for functions with packages: one that AWS has SnapStart for, if this host has its interpreter.
pub(super) fn python_runtime() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let is_here = |runtime: &&str| runtimes::find(runtime, &RuntimeMap::default()).is_ok();
        ["python3.12", "python3.13", "python3.14"].into_iter().find(is_here).unwrap_or("python3.11")
    })
}

pub(super) fn boto3() -> Result<PathBuf, String> {
    python_package(Function::Boto3, BOTO3)
}

pub(super) fn pandas() -> Result<PathBuf, String> {
    python_package(Function::Pandas, PANDAS)
}

fn python_package(function: Function, requirements: &str) -> Result<PathBuf, String> {
    let (file, source) = function.file()?;
    let interpreter = function.interpreter()?;
    let inputs = format!("{requirements}{}{}", interpreter.version, String::from_utf8_lossy(&source));
    once(&format!("bench-{}", function.name()), &inputs, |folder| {
        say(&format!("installing what the function {} needs", function.name()));
        let content = folder.join(CONTENT);
        pip(requirements, function, folder, &content)?;
        write(&content.join(file), &source)?;
        byte_code(&interpreter.executable, &content)?;
        zip(&content, &folder.join(ZIP))
    })
}

/// Installs exactly what is listed, as wheels for the function's Python.
fn pip(requirements: &str, function: Function, folder: &Path, into: &Path) -> Outcome {
    let list = folder.join("requirements.txt");
    write(&list, requirements.as_bytes())?;
    let version = function.runtime().trim_start_matches("python");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"])
        .args(["--root-user-action=ignore", "--no-deps", "--only-binary=:all:", "--implementation=cp"])
        .args(["--python-version", version])
        .arg("--requirement")
        .arg(list)
        .arg("--target")
        .arg(into);
    run_command(&mut pip)
}

fn byte_code(python: &Path, folder: &Path) -> Outcome {
    let mut compile = Command::new(python);
    compile.args(["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]).arg(folder);
    // A package may hold examples in another version's syntax, which nobody imports.
    let status = compile.stdout(std::process::Stdio::null()).status();
    status.map(|_| ()).map_err(|error| format!("{} cannot be started: {error}", python.display()))
}

/// The Python of the host with boto3 installed beside it: a host whose runtime has an SDK, as AWS's have.
pub(super) fn python_with_sdk() -> Result<PathBuf, String> {
    let runtime = Function::HostBoto3.runtime();
    let plain = runtimes::find(runtime, &RuntimeMap::default()).map_err(|error| error.to_string())?;
    let folder = once("bench-python-sdk", &format!("{BOTO3}{}", plain.version), |folder| {
        say("making a Python with an SDK");
        let home = folder.join("python");
        let mut venv = Command::new(&plain.executable);
        run_command(venv.args(["-m", "venv", "--copies", "--without-pip"]).arg(&home))?;
        let packages = home.join("lib").join(runtime).join("site-packages");
        pip(BOTO3, Function::HostBoto3, folder, &packages)?;
        byte_code(&plain.executable, &packages)
    })?;
    Ok(folder.join("python"))
}

/// A client of the SDK for JavaScript and the handler in one file, as deployment tools make it.
pub(super) fn node_sdk() -> Result<PathBuf, String> {
    let (file, source) = Function::NodeSdk.file()?;
    let manifests =
        [include_str!("packages/node-sdk/package.json"), include_str!("packages/node-sdk/package-lock.json")];
    let inputs = format!("{}{}", manifests.concat(), String::from_utf8_lossy(&source));
    once("bench-node-sdk", &inputs, |folder| {
        say("bundling a function with the AWS SDK for JavaScript");
        npm(folder, manifests)?;
        write(&folder.join("handler.mjs"), &source)?;
        let content = folder.join(CONTENT);
        run_command(
            Command::new("node_modules/.bin/esbuild")
                .args(["handler.mjs", "--bundle", "--platform=node", "--target=node20", "--format=esm"])
                // What is bundled as an ES module still requires Node.js's own modules by that word.
                .arg("--banner:js=import { createRequire } from 'module'; const require = createRequire(import.meta.url);")
                .args(["--log-level=warning".to_owned(), format!("--outfile={}", content.join(file).display())])
                .current_dir(folder),
        )?;
        zip(&content, &folder.join(ZIP))
    })
}

/// serverless-offline and the framework that it is a plugin of; gives the folder with `node_modules`.
pub(super) fn offline() -> Result<PathBuf, String> {
    let manifests =
        [include_str!("packages/offline/package.json"), include_str!("packages/offline/package-lock.json")];
    once("bench-offline", &manifests.concat(), |folder| {
        say("installing the reference serverless-offline");
        npm(folder, manifests)
    })
}

/// MiniStack in an environment of its own, which is the folder `venv` of the folder that this gives.
pub(super) fn ministack() -> Result<PathBuf, String> {
    const REQUIREMENTS: &str = include_str!("packages/ministack.txt");
    once("bench-ministack", REQUIREMENTS, |folder| {
        say("installing the reference MiniStack");
        let list = folder.join("requirements.txt");
        write(&list, REQUIREMENTS.as_bytes())?;
        let home = folder.join("venv");
        run_command(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let mut pip = Command::new(home.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--requirement",
        ]);
        run_command(pip.arg(list))
    })
}

fn npm(folder: &Path, [manifest, lock]: [&str; 2]) -> Outcome {
    write(&folder.join("package.json"), manifest.as_bytes())?;
    write(&folder.join("package-lock.json"), lock.as_bytes())?;
    let mut npm = Command::new("npm");
    run_command(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))
}

fn write(path: &Path, content: &[u8]) -> Outcome {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, content)).map_err(|error| format!("{}: {error}", path.display()))
}

/// The deployment package that was made.
pub(super) fn zipped(folder: &Path) -> Result<Vec<u8>, String> {
    let path = folder.join(ZIP);
    fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn zip(content: &Path, into: &Path) -> Outcome {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", into.display());
    let file = File::create(into).map_err(|error| wrong(&error))?;
    let mut zip = zip::ZipWriter::new(file);
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    let mut folders = vec![content.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| wrong(&error))? {
            let path = entry.map_err(|error| wrong(&error))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(content).unwrap_or(&path).to_string_lossy().into_owned();
            zip.start_file(name, options).map_err(|error| wrong(&error))?;
            let bytes = fs::read(&path).map_err(|error| wrong(&error))?;
            zip.write_all(&bytes).map_err(|error| wrong(&error))?;
        }
    }
    zip.finish().map(|_| ()).map_err(|error| wrong(&error))
}
