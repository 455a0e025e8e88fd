//! Which version of a function: `$LATEST`, or the number of a published one; and what a qualifier names.
//!
//! A qualifier of digits alone is a version, `$LATEST` is what it says, everything else is an alias. It does not look
//! whether any of them exists.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html>.

use serde::{Deserialize, Serialize};

use crate::name::{LATEST, Target};

/// A version of a function. Ordered as listings are: `$LATEST` first, then the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Version {
    /// The one that can be changed.
    Latest,
    /// A published one: 1 and up.
    Number(u64),
}

/// What a qualifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    Version(Version),
    Alias(&'a str),
}

impl Version {
    /// The version that `text` is the name of, if it can be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == LATEST {
            return Some(Version::Latest);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // `007` and numbers beyond all counting name versions that never are: like 0.
        let number = text.parse::<u64>().ok().filter(|_| text == "0" || !text.starts_with('0'));
        Some(Version::Number(number.unwrap_or(0)))
    }

    /// The number of a published version.
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Version::Latest => None,
            Version::Number(number) => Some(number),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Version::Latest => f.write_str(LATEST),
            Version::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Target {
    /// What the qualifier names; without one it is `$LATEST`.
    pub(crate) fn named(&self) -> Named<'_> {
        match self.qualifier.as_deref() {
            None => Named::Version(Version::Latest),
            Some(qualifier) => Version::parse(qualifier).map_or(Named::Alias(qualifier), Named::Version),
        }
    }

    /// The same function with this qualifier.
    pub(crate) fn at(&self, qualifier: impl ToString) -> Target {
        Target { qualifier: Some(qualifier.to_string()), ..self.clone() }
    }

    /// The same function without a qualifier.
    pub(crate) fn unqualified(&self) -> Target {
        Target { qualifier: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    #[test]
    fn digits_are_versions_and_other_words_are_aliases() {
        let named = |qualifier: Option<&str>| {
            let target = Target {
                account: AccountId::DEFAULT,
                region: Region::default(),
                name: "hello".to_owned(),
                qualifier: qualifier.map(str::to_owned),
            };
            match target.named() {
                Named::Version(version) => version.to_string(),
                Named::Alias(alias) => format!("alias {alias}"),
            }
        };
        assert_eq!(named(None), "$LATEST");
        assert_eq!(named(Some("$LATEST")), "$LATEST");
        assert_eq!(named(Some("7")), "7");
        assert_eq!(named(Some("18446744073709551615")), "18446744073709551615");
        for never in ["0", "007", "18446744073709551616"] {
            assert_eq!(named(Some(never)), "0", "{never}");
        }
        for alias in ["live", "7a", "-1", "1_0", "LATEST"] {
            assert_eq!(named(Some(alias)), format!("alias {alias}"));
        }
        assert!(Version::Latest < Version::Number(1));
    }
}
