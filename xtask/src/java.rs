//! `cargo xtask java [--check]`: compiles the Java runtime client, and the handlers of its tests, into the jars that are
//! checked in: nobody needs a JDK to build Lamplighter, and the tests need only a JRE.
//!
//! The jars are the same byte for byte wherever they are made with the same major version of the JDK. `--check`
//! compares; with another version, or with none, it says so and passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{self, Outcome, has, root, run_command, say};

/// The JDK whose output is checked in.
const JDK: &str = "17";
/// Class files that every Java with a runtime of AWS reads, with the JDK above.
const CLIENT_RELEASE: &str = "8";
/// The handlers of the tests have records.
const HANDLERS_RELEASE: &str = "17";
/// The time that all entries of a jar have.
const DATE: &str = "2026-01-01T00:00:00Z";

/// One jar: folder of its sources, the jar, the class files' version, and what it is compiled against.
struct Jar {
    sources: &'static str,
    jar: &'static str,
    release: &'static str,
    against: Option<&'static str>,
}

const JARS: [Jar; 2] = [
    Jar {
        sources: "runtimes/java/src",
        jar: "runtimes/java/lamplighter-runtime.jar",
        release: CLIENT_RELEASE,
        against: None,
    },
    Jar {
        sources: "runtimes/tests/handlers/java/src",
        jar: "runtimes/tests/handlers/java/handlers.jar",
        release: HANDLERS_RELEASE,
        against: Some("runtimes/java/lamplighter-runtime.jar"),
    },
];

/// Builds the jars, or compares them with the sources.
pub(crate) fn run_java(arguments: &[String]) -> Outcome {
    let check = match arguments {
        [] => false,
        [one] if one == "--check" => true,
        _ => return Err("usage: cargo xtask java [--check]".to_owned()),
    };
    let present = jdk_version();
    if check && present.as_deref() != Some(JDK) {
        say(&format!("the jars are not compared: that needs JDK {JDK}, this host has {present:?}"));
        return Ok(());
    }
    if present.as_deref() != Some(JDK) {
        return Err(format!(
            "the jars are built with JDK {JDK} (openjdk-{JDK}-jdk-headless); found {present:?}"
        ));
    }
    for jar in &JARS {
        let fresh = build(jar)?;
        let target = root().join(jar.jar);
        let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let made = read(&fresh)?;
        if !check {
            fs::write(&target, &made).map_err(|error| format!("{}: {error}", target.display()))?;
            say(&format!("{}: {} bytes", jar.jar, made.len()));
        } else if read(&target)? != made {
            return Err(format!("{} is not what its sources make: run `cargo xtask java`", jar.jar));
        }
    }
    Ok(())
}

/// The major version of the JDK on the path.
fn jdk_version() -> Option<String> {
    if !has("javac") || !has("jar") {
        return None;
    }
    let told = Command::new("javac").arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    Some(text.trim().strip_prefix("javac ")?.split('.').next()?.to_owned())
}

fn build(jar: &Jar) -> Result<PathBuf, String> {
    let name = Path::new(jar.jar).file_stem().unwrap_or_default();
    let folder = tools::target_dir().join("java").join(name);
    let classes = folder.join("classes");
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    if classes.exists() {
        fs::remove_dir_all(&classes).map_err(wrong)?;
    }
    fs::create_dir_all(&classes).map_err(wrong)?;
    let sources = root().join(jar.sources);
    let mut javac = Command::new("javac");
    javac.args(["--release", jar.release, "-Xlint:all,-options,-serial", "-Werror"]);
    javac
        .args(["-encoding", "UTF-8", "-g:source,lines", "-implicit:none", "-d"])
        .arg(&classes)
        .current_dir(&sources);
    if let Some(against) = jar.against {
        javac.arg("-cp").arg(root().join(against));
    }
    run_command(javac.args(files(&sources, "java")?))?;
    let made = folder.join("made.jar");
    let mut pack = Command::new("jar");
    pack.args(["--create", "--no-compress", "--no-manifest", "--date", DATE, "--file"])
        .arg(&made)
        .current_dir(&classes);
    run_command(pack.args(files(&classes, "class")?))?;
    Ok(made)
}

/// The files below `folder` with this ending, relative to it, in order.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == ending) {
                found.extend(path.strip_prefix(folder).map(Path::to_owned));
            }
        }
    }
    found.sort();
    Ok(found)
}
