//! What the tests need beyond Rust: Debian packages, a Python environment, npm packages. All of it is installed here,
//! once, and found again on the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{self, Outcome, has, once, root, run, run_command, say};

/// Programs the tests use, and the Debian package each comes from.
const PROGRAMS: [(&str, &str); 7] = [
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("make", "make"),
    ("ruby", "ruby"),
    ("bundle", "ruby-bundler"),
    ("java", "default-jre-headless"),
];

/// Where things were installed.
pub(crate) struct Installed {
    /// The interpreter of the Python environment.
    pub(crate) python: PathBuf,
    /// The interpreter of the environment with an SDK that still speaks the query protocol to SQS.
    pub(crate) query_python: PathBuf,
    /// The folder with `node_modules`.
    pub(crate) npm: PathBuf,
}

/// Installs what is missing.
pub(crate) fn set_up() -> Result<Installed, String> {
    debian_packages()?;
    let python = python_environment("venv", &["tests/requirements.txt", "runtimes/tests/requirements.txt"])?;
    let query_python = python_environment("venv-query", &["tests/sqs/query-sdk.txt"])?;
    Ok(Installed { python, query_python, npm: npm_packages()? })
}

fn debian_packages() -> Outcome {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    let has_venv = Command::new("python3").args(["-c", "import ensurepip, venv"]).status();
    if !has_venv.is_ok_and(|status| status.success()) {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root || !has("apt-get") {
        return Err(format!("the tests need the Debian packages {}: install them first", missing.join(" ")));
    }
    say(&format!("installing the Debian packages {}", missing.join(" ")));
    run("apt-get", &["update", "-qq"])?;
    let arguments = ["install", "-qq", "-y", "--no-install-recommends"].iter().chain(&missing).copied();
    run("apt-get", &arguments.collect::<Vec<_>>())
}

/// A Python environment with what the requirement files list. Files that are not there are passed over.
pub(crate) fn python_environment(name: &str, requirements: &[&str]) -> Result<PathBuf, String> {
    let files: Vec<PathBuf> =
        requirements.iter().map(|file| root().join(file)).filter(|file| file.exists()).collect();
    let mut inputs = String::new();
    for file in &files {
        inputs += &fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let folder = once(name, &inputs, |folder| {
        say("making the Python environment");
        run("python3", &[Path::new("-m"), Path::new("venv"), folder])?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        for file in &files {
            pip.arg("--requirement").arg(file);
        }
        run_command(&mut pip)
    })?;
    Ok(folder.join("bin/python"))
}

fn npm_packages() -> Result<PathBuf, String> {
    let read = |name: &str| {
        let path = root().join("tests").join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (manifest, lock) = (read("package.json")?, read("package-lock.json")?);
    once("npm", &format!("{manifest}{lock}"), |folder| {
        say("installing the npm packages");
        for (name, content) in [("package.json", &manifest), ("package-lock.json", &lock)] {
            fs::write(folder.join(name), content)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        run_command(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(folder),
        )
    })
}

/// The environment variables by which the tests find what was installed.
pub(crate) fn test_environment(installed: &Installed) -> Vec<(&'static str, PathBuf)> {
    let modules = installed.npm.join("node_modules");
    let node_runtimes = ["node20", "node22", "node24"].map(|node| modules.join(node));
    let joined = std::env::join_paths(node_runtimes).map(PathBuf::from).unwrap_or_default();
    vec![
        ("LAMPLIGHTER_BIN", tools::target_dir().join("debug/lamplighter")),
        ("LAMPLIGHTER_QUERY_PYTHON", installed.query_python.clone()),
        ("LAMPLIGHTER_RUNTIMES", joined),
        ("LAMPLIGHTER_TEST_CACHE", tools::cache()),
        ("NODE_PATH", modules),
    ]
}
