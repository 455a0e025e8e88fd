//! `cargo xtask licences`: every crate that is built in has a licence that lets people own what they run.
//!
//! It reads what `cargo metadata` says of each package's SPDX expression. It is no lawyer: an expression that it does
//! not know is refused until somebody has looked at it and added it to the list.

use std::process::Command;

use serde::Deserialize;

use crate::tools::{Outcome, root, say};

/// Licences that may be linked. One alternative of an `OR` is enough; all parts of an `AND` are needed.
const PERMITTED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// Checks every package of the lock file.
pub(crate) fn run_licences(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask licences".to_owned());
    }
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cargo metadata could not be started: {error}"))?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}; {}", String::from_utf8_lossy(&output.stderr)))?;
    let refused: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(is_permitted))
        .map(|package| {
            format!("{} {}: {}", package.name, package.version, package.license.as_deref().unwrap_or("none"))
        })
        .collect();
    if refused.is_empty() {
        say(&format!("the licences of {} crates are permitted", metadata.packages.len()));
        Ok(())
    } else {
        Err(format!("licences that are not permitted:\n  {}", refused.join("\n  ")))
    }
}

/// `A OR B`, `A AND B`, `A/B` (an old form of OR) and one level of parentheses.
fn is_permitted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    split_outside(&expression, " AND ").iter().all(|part| {
        let part = part.trim();
        let inner = part.strip_prefix('(').and_then(|part| part.strip_suffix(')')).unwrap_or(part);
        split_outside(inner, " OR ").iter().any(|licence| {
            let licence = licence.trim();
            PERMITTED.contains(&licence)
                || licence.starts_with('(') && is_permitted(licence.trim_matches(['(', ')']))
        })
    })
}

/// Splits at a separator that stands outside of parentheses.
fn split_outside<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && at >= start && text[at..].starts_with(separator) => {
                parts.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        assert!(is_permitted("MIT OR Apache-2.0"));
        assert!(is_permitted("MIT/Apache-2.0"));
        assert!(is_permitted("GPL-3.0 OR MIT"));
        assert!(is_permitted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_permitted("GPL-3.0"));
        assert!(!is_permitted("MIT AND GPL-3.0"));
        assert!(!is_permitted("(MIT OR Apache-2.0) AND GPL-3.0"));
    }
}
