//! Every runtime id of AWS, in the order of AWS's own enumeration, and whether it is served here.
//!
//! "Deprecated" are those that AWS lists as ended and for which it creates no function any more. Runtimes that
//! AWS has put on its list of coming deprecations are served as long as interpreters for them are common.
//!
//! Defined by: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>

use Language::{Dotnet, Go, Java, Node, Provided, Python, Ruby};
use Status::{Deprecated, NotYet, Supported};

/// The language of a runtime. Python, Node.js, Ruby and Java have a runtime client here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// CPython.
    Python,
    /// Node.js.
    Node,
    /// An executable named `bootstrap` that speaks the Runtime API itself.
    Provided,
    /// Java.
    Java,
    /// .NET: not served yet.
    Dotnet,
    /// Ruby.
    Ruby,
    /// The old `go1.x`: deprecated by AWS, Go programs use `provided.al2023`.
    Go,
}

/// Whether functions of a runtime can run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Served, if this host has the interpreter.
    Supported,
    /// AWS has it, Lamplighter has not yet.
    NotYet,
    /// AWS creates no function with it any more; neither do we.
    Deprecated,
}

/// One runtime id of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRuntime {
    /// AWS's id, for example `python3.12`.
    pub id: &'static str,
    /// Its language.
    pub language: Language,
    /// Whether it is served.
    pub status: Status,
}

impl KnownRuntime {
    /// The version of the interpreter as the id tells it: `3.12` for `python3.12`, `22` for `nodejs22.x`, `8` for
    /// `java8.al2`.
    /// Empty for a runtime without an interpreter.
    #[must_use]
    pub fn interpreter_version(&self) -> &'static str {
        match self.language {
            Python => self.id.strip_prefix("python").unwrap_or(""),
            Node => self.id.strip_prefix("nodejs").and_then(|rest| rest.strip_suffix(".x")).unwrap_or(""),
            Ruby => self.id.strip_prefix("ruby").unwrap_or(""),
            Java => self.id.strip_prefix("java").map_or("", |rest| rest.strip_suffix(".al2").unwrap_or(rest)),
            _ => "",
        }
    }
}

const fn runtime(id: &'static str, language: Language, status: Status) -> KnownRuntime {
    KnownRuntime { id, language, status }
}

static KNOWN: &[KnownRuntime] = &[
    runtime("nodejs", Node, Deprecated),
    runtime("nodejs4.3", Node, Deprecated),
    runtime("nodejs6.10", Node, Deprecated),
    runtime("nodejs8.10", Node, Deprecated),
    runtime("nodejs10.x", Node, Deprecated),
    runtime("nodejs12.x", Node, Deprecated),
    runtime("nodejs14.x", Node, Deprecated),
    runtime("nodejs16.x", Node, Deprecated),
    runtime("java8", Java, Deprecated),
    runtime("java8.al2", Java, Supported),
    runtime("java11", Java, Supported),
    runtime("python2.7", Python, Deprecated),
    runtime("python3.6", Python, Deprecated),
    runtime("python3.7", Python, Deprecated),
    runtime("python3.8", Python, Deprecated),
    runtime("python3.9", Python, Deprecated),
    runtime("dotnetcore1.0", Dotnet, Deprecated),
    runtime("dotnetcore2.0", Dotnet, Deprecated),
    runtime("dotnetcore2.1", Dotnet, Deprecated),
    runtime("dotnetcore3.1", Dotnet, Deprecated),
    runtime("dotnet6", Dotnet, Deprecated),
    runtime("dotnet8", Dotnet, NotYet),
    runtime("nodejs4.3-edge", Node, Deprecated),
    runtime("go1.x", Go, Deprecated),
    runtime("ruby2.5", Ruby, Deprecated),
    runtime("ruby2.7", Ruby, Deprecated),
    runtime("provided", Provided, Deprecated),
    runtime("provided.al2", Provided, Supported),
    runtime("nodejs18.x", Node, Deprecated),
    runtime("python3.10", Python, Supported),
    runtime("java17", Java, Supported),
    runtime("ruby3.2", Ruby, Supported),
    runtime("ruby3.3", Ruby, Supported),
    runtime("ruby3.4", Ruby, Supported),
    runtime("python3.11", Python, Supported),
    runtime("nodejs20.x", Node, Supported),
    runtime("provided.al2023", Provided, Supported),
    runtime("python3.12", Python, Supported),
    runtime("java21", Java, Supported),
    runtime("python3.13", Python, Supported),
    runtime("nodejs22.x", Node, Supported),
    runtime("nodejs24.x", Node, Supported),
    runtime("python3.14", Python, Supported),
    runtime("java25", Java, Supported),
    runtime("dotnet10", Dotnet, NotYet),
    runtime("ruby4.0", Ruby, Supported),
];

/// Interpreters that no runtime of AWS is of, but that hosts commonly have. They may stand in for another through the
/// user's map, never by themselves.
static STAND_INS: &[KnownRuntime] = &[runtime("ruby3.1", Ruby, Supported)];

/// All runtime ids of AWS, in AWS's order.
#[must_use]
pub fn known() -> &'static [KnownRuntime] {
    KNOWN
}

/// The runtime with this id, if AWS has (or had) one.
#[must_use]
pub fn lookup(id: &str) -> Option<&'static KnownRuntime> {
    KNOWN.iter().find(|runtime| runtime.id == id)
}

/// [`lookup`], and the interpreters that may stand in for a runtime.
pub(crate) fn lookup_interpreter(id: &str) -> Option<&'static KnownRuntime> {
    interpreters().find(|runtime| runtime.id == id)
}

/// Every runtime of AWS, and the interpreters that may stand in for one. Oldest first within a language.
pub(crate) fn interpreters() -> impl Iterator<Item = &'static KnownRuntime> {
    STAND_INS.iter().chain(KNOWN)
}

/// The ids that are served, for messages: `python3.10, python3.11, ...`.
pub(crate) fn served_list() -> String {
    let served: Vec<_> =
        KNOWN.iter().filter(|runtime| runtime.status == Supported).map(|runtime| runtime.id).collect();
    served.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_id() {
        assert_eq!(lookup("python3.12").unwrap().interpreter_version(), "3.12");
        assert_eq!(lookup("nodejs22.x").unwrap().interpreter_version(), "22");
        assert_eq!(lookup("ruby3.3").unwrap().interpreter_version(), "3.3");
        assert_eq!(lookup("java21").unwrap().interpreter_version(), "21");
        assert_eq!(lookup("java8.al2").unwrap().interpreter_version(), "8");
        assert_eq!(lookup("ruby3.1"), None);
        assert_eq!(lookup_interpreter("ruby3.1").unwrap().interpreter_version(), "3.1");
        assert_eq!(lookup("provided.al2023").unwrap().interpreter_version(), "");
        assert_eq!(lookup("python3.99"), None);
    }

    #[test]
    fn every_served_interpreter_has_a_version() {
        for runtime in known().iter().filter(|runtime| runtime.status == Supported) {
            assert!(
                !runtime.interpreter_version().is_empty() || runtime.language == Provided,
                "{}",
                runtime.id
            );
        }
    }
}
