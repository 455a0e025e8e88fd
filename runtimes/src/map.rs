//! The runtime map: the user's explicit wish to serve one runtime id with the interpreter of another.
//!
//! It is never applied silently: an [`crate::Interpreter`] says by what it was replaced, and `doctor` shows it.

use std::collections::BTreeMap;
use std::fmt;

use crate::catalog::{KnownRuntime, Status, lookup, lookup_interpreter};

/// Which runtime id is served by the interpreter of which other id. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeMap(BTreeMap<&'static str, &'static str>);

/// An entry of `--runtime-map` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRuntimeMap {
    /// The entry is not of the form `a=b`.
    #[error("runtime map entry '{0}' is not of the form RUNTIME=RUNTIME (for example python3.12=python3.13)")]
    Form(String),
    /// A side of the entry is no runtime id of AWS, or one that is not served here.
    #[error("runtime map entry '{entry}': '{id}' is not a runtime served here (served: {served})")]
    Unknown {
        /// The whole entry.
        entry: String,
        /// The side that is not served.
        id: String,
        /// What is served.
        served: String,
    },
    /// The two sides are of different languages, or of a runtime without an interpreter.
    #[error("runtime map entry '{0}': both sides must be of one language (Python, Node.js, Ruby or Java)")]
    Language(String),
    /// The same runtime is mapped to two different ones.
    #[error("runtime map: '{0}' is mapped twice")]
    Twice(String),
}

impl RuntimeMap {
    /// Reads entries of the form `python3.12=python3.13`. An entry may hold several, separated by commas.
    ///
    /// # Errors
    /// The first entry that is malformed, names a runtime not served here, mixes languages, or contradicts an
    /// earlier one.
    pub fn parse<I, S>(entries: I) -> Result<RuntimeMap, InvalidRuntimeMap>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut map = BTreeMap::new();
        for entries in entries {
            for entry in entries.as_ref().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                let (from, to) = parse_entry(entry)?;
                if map.insert(from, to).is_some_and(|earlier| earlier != to) {
                    return Err(InvalidRuntimeMap::Twice(from.to_owned()));
                }
            }
        }
        Ok(RuntimeMap(map))
    }

    /// The runtime id whose interpreter serves `id`: the mapped one, or `id` itself. Applied once, not chained.
    #[must_use]
    pub fn resolve<'a>(&self, id: &'a str) -> &'a str {
        self.0.get(id).copied().unwrap_or(id)
    }

    /// The entries, ordered by the runtime they replace.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for RuntimeMap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            write!(out, "{}{from}={to}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn parse_entry(entry: &str) -> Result<(&'static str, &'static str), InvalidRuntimeMap> {
    let form = || InvalidRuntimeMap::Form(entry.to_owned());
    let (from, to) = entry.split_once('=').ok_or_else(form)?;
    let (from, to) = (from.trim(), to.trim());
    if from.is_empty() || to.is_empty() || to.contains('=') {
        return Err(form());
    }
    let served = |id: &str, found: Option<&'static KnownRuntime>| match found {
        Some(runtime) if runtime.status == Status::Supported => Ok(runtime),
        _ => Err(InvalidRuntimeMap::Unknown {
            entry: entry.to_owned(),
            id: id.to_owned(),
            served: crate::catalog::served_list(),
        }),
    };
    let (from, to) = (served(from, lookup(from))?, served(to, lookup_interpreter(to))?);
    if from.language != to.language || from.language == crate::Language::Provided {
        return Err(InvalidRuntimeMap::Language(entry.to_owned()));
    }
    Ok((from.id, to.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_applied_once() {
        let map =
            RuntimeMap::parse(["python3.12=python3.13, python3.13=python3.11", "nodejs22.x=nodejs20.x"])
                .unwrap();
        assert_eq!(map.resolve("python3.12"), "python3.13");
        assert_eq!(map.resolve("python3.10"), "python3.10");
        assert_eq!(map.to_string(), "nodejs22.x=nodejs20.x,python3.12=python3.13,python3.13=python3.11");
    }

    #[test]
    fn bad_entries_are_refused_with_the_reason() {
        let refusal = |entry: &str| RuntimeMap::parse([entry]).unwrap_err().to_string();
        assert!(refusal("python3.12").contains("not of the form"));
        assert!(refusal("=python3.12").contains("not of the form"));
        assert!(refusal("python3.12=python3.13=x").contains("not of the form"));
        assert!(refusal("python3.99=python3.13").contains("'python3.99' is not a runtime served here"));
        assert!(refusal("dotnet8=python3.13").contains("'dotnet8' is not a runtime served here"));
        assert!(refusal("ruby3.1=ruby3.3").contains("'ruby3.1' is not a runtime served here"));
        assert!(refusal("ruby3.3=python3.13").contains("one language"));
        assert_eq!(RuntimeMap::parse(["ruby3.3=ruby3.1"]).unwrap().resolve("ruby3.3"), "ruby3.1");
        assert!(refusal("python3.12=nodejs20.x").contains("one language"));
        assert!(refusal("provided.al2=provided.al2023").contains("one language"));
        assert!(refusal("python3.12=python3.13,python3.12=python3.11").contains("mapped twice"));
    }
}
