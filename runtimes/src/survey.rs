//! What this host offers, for `lamplighter doctor`. Slow (asks every interpreter once): not for the hot path.

use std::path::PathBuf;

use crate::catalog::{KnownRuntime, Language, Status, interpreters, known};
use crate::find::{Interpreter, MissingRuntime, find_on, serves};
use crate::host::Host;
use crate::map::RuntimeMap;
use crate::probe;

/// An interpreter of this host and the runtime it would serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRuntime {
    /// The runtime id.
    pub runtime: &'static str,
    /// The real executable.
    pub executable: PathBuf,
    /// Full version.
    pub version: String,
}

/// What serves each runtime on this host.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Every served runtime, in AWS's order, with its interpreter or the reason and remedy.
    pub runtimes: Vec<(&'static str, Result<Interpreter, MissingRuntime>)>,
    /// The directories of `LAMPLIGHTER_RUNTIMES`.
    pub explicit_dirs: Vec<PathBuf>,
}

/// Looks for the interpreter of every served runtime, as seen through `map`.
#[must_use]
pub fn survey(map: &RuntimeMap) -> Survey {
    survey_on(&Host::from_environment(), map)
}

pub(crate) fn survey_on(host: &Host, map: &RuntimeMap) -> Survey {
    let runtimes = known()
        .iter()
        .filter(|runtime| runtime.status == Status::Supported)
        .map(|runtime| (runtime.id, find_on(host, runtime.id, map)))
        .collect();
    Survey { runtimes, explicit_dirs: host.explicit_dirs.clone() }
}

/// The interpreters of the same language that could stand in for `runtime`, oldest first.
pub(crate) fn others(host: &Host, runtime: &KnownRuntime) -> Vec<FoundRuntime> {
    let mut found = Vec::new();
    let served =
        |other: &&KnownRuntime| other.status == Status::Supported && other.language == runtime.language;
    for other in interpreters().filter(served).filter(|other| other.id != runtime.id) {
        let probes =
            host.candidates(other).into_iter().filter_map(|path| probe::ask(other.language, &path).ok());
        if let Some(probe) = { probes }.find(|probe| serves(&probe.version, other)) {
            found.push(FoundRuntime {
                runtime: other.id,
                executable: probe.executable,
                version: probe.version,
            });
        }
    }
    found
}

impl std::fmt::Display for Survey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (id, found) in &self.runtimes {
            match found {
                Ok(interpreter) if interpreter.language == Language::Provided => {
                    writeln!(out, "{id:<16} ok       the function brings its own bootstrap")?;
                }
                Ok(interpreter) => {
                    write!(
                        out,
                        "{id:<16} ok       {} {}",
                        interpreter.executable.display(),
                        interpreter.version
                    )?;
                    if interpreter.served_by != *id {
                        write!(out, " (mapped to {})", interpreter.served_by)?;
                    }
                    match interpreter.python_sdk() {
                        Some(dir) => write!(out, ", boto3 in {}", dir.display())?,
                        None if interpreter.language == Language::Python => write!(out, ", no boto3")?,
                        None => {}
                    }
                    writeln!(out)?;
                }
                Err(missing) => writeln!(out, "{id:<16} missing  {missing}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::java::can_archive;
    use crate::{install, lookup};

    #[test]
    fn what_is_found_on_this_host_serves_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let survey = survey(&RuntimeMap::default());
        eprintln!("{survey}");
        for (id, found) in &survey.runtimes {
            let Ok(interpreter) = found else { continue };
            let client = install(interpreter, dir.path()).unwrap();
            if interpreter.language == Language::Provided {
                assert_eq!(client, None);
                continue;
            }
            let client = client.unwrap();
            assert!(serves(&interpreter.version, lookup(id).unwrap()));
            if interpreter.language == Language::Java {
                assert!(
                    client.join("lamplighter-runtime.jsa").is_file() || !can_archive(&interpreter.version)
                );
                continue;
            }
            let entry = interpreter.command.last().unwrap().replace("/var/runtime", client.to_str().unwrap());
            assert!(std::path::Path::new(&entry).is_file(), "{entry}");
            if interpreter.language == Language::Python {
                let tag = id.replace("python", "cpython-").replace('.', "");
                let compiled = client.join(format!("lamplighter_runtime/__pycache__/codec.{tag}.pyc"));
                assert!(compiled.is_file(), "{}", compiled.display());
            }
        }
    }
}
