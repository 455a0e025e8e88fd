//! Constraint patterns: Java's regular expressions as the models give them, compiled on first use.
//!
//! A service matches the whole text, whether or not the pattern is anchored. `\w`, `\d` and `\s` mean ASCII in Java and
//! Unicode in Rust, and Java writes some classes differently: [`translate`] rewrites what differs. Messages show the
//! model's own text.

use std::sync::OnceLock;

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

/// Steps after which a backtracking match gives up. Such a text counts as matching: the constraint is AWS's, and we
/// would rather accept a text than refuse a good one.
const BACKTRACK_LIMIT: usize = 100_000;

/// A pattern of the model.
#[derive(Serialize, Deserialize)]
pub struct Pattern {
    text: &'static str,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

impl Pattern {
    /// A pattern in the model's words.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Pattern { text, compiled: OnceLock::new() }
    }

    /// The model's own text.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Whether the whole text matches. A pattern that is not understood matches everything; the tests hold that list.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self.compiled() {
            Some(regex) => regex.is_match(text).unwrap_or(true),
            None => true,
        }
    }

    /// Whether the pattern is understood.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        self.compiled().is_some()
    }

    fn compiled(&self) -> Option<&Regex> {
        let compile = || {
            let whole = format!(r"\A(?:{})\z", translate(self.text));
            fancy_regex::RegexBuilder::new(&whole).backtrack_limit(BACKTRACK_LIMIT).build().ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// Rewrites a Java pattern for Rust: ASCII meaning of `\w`, `\d`, `\s`, five-digit code points, a hyphen or bracket
/// that Java takes literally inside a class.
fn translate(java: &str) -> String {
    let mut out = String::with_capacity(java.len() + 16);
    let mut rest = java.chars().peekable();
    let mut depth = 0usize;
    // Whether the next character is the first of its class, where `]` would be literal and `^` negates.
    let mut opening = false;
    while let Some(c) = rest.next() {
        let first = std::mem::take(&mut opening);
        match c {
            '\\' => {
                let Some(escaped) = rest.next() else {
                    out.push_str(r"\\");
                    break;
                };
                let inside = depth > 0;
                match escaped {
                    'w' => out.push_str(if inside { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                    'd' => out.push_str(if inside { "0-9" } else { "[0-9]" }),
                    's' => out.push_str(if inside { r" \t\n\x0B\f\r" } else { r"[ \t\n\x0B\f\r]" }),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    'D' => out.push_str("[^0-9]"),
                    'S' => out.push_str(r"[^ \t\n\x0B\f\r]"),
                    'u' => push_code_point(&mut out, &mut rest),
                    '/' | '"' | '\'' | ',' | '@' | '=' | '_' | ':' | ';' | '!' | '%' | '`' => {
                        out.push(escaped)
                    }
                    other => out.extend(['\\', other]),
                }
            }
            '[' if depth > 0 => {
                // A class in a class: Java has unions as Rust does.
                depth += 1;
                opening = true;
                out.push('[');
            }
            '[' => {
                depth = 1;
                opening = true;
                out.push('[');
            }
            '^' if first => {
                opening = true;
                out.push('^');
            }
            ']' if depth > 0 && !first => {
                depth -= 1;
                out.push(']');
            }
            '-' if depth > 0 => push_hyphen(&mut out, first, rest.peek().copied()),
            '&' | '~' if depth > 0 && rest.peek() != Some(&c) => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

/// `\uXXXX`, or the five-digit form that some models use for code points above U+FFFF.
fn push_code_point(out: &mut String, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut digits = String::with_capacity(6);
    while digits.len() < 6 {
        match rest.peek() {
            // A fifth and sixth digit belong to it only in the ranges of the higher planes (10000 to 10FFFF).
            Some(c) if c.is_ascii_hexdigit() && (digits.len() < 4 || digits.starts_with("10")) => {
                digits.push(*c)
            }
            _ => break,
        }
        rest.next();
    }
    out.push_str(r"\u{");
    // A surrogate is no code point; the ranges of the models that touch them mean "up to the last before".
    match u32::from_str_radix(&digits, 16) {
        Ok(0xD800..=0xDFFF) => out.push_str("D7FF"),
        _ => out.push_str(&digits),
    }
    out.push('}');
}

/// A hyphen stays a range only between two plain characters; elsewhere Java takes it literally.
fn push_hyphen(out: &mut String, first: bool, next: Option<char>) {
    // After a complete range (`0-9-_`) a hyphen is literal too.
    let after_range = {
        let mut back = out.chars().rev();
        let (_, middle, start) = (back.next(), back.next(), back.next());
        middle == Some('-') && start.is_some_and(|c| c != '\\' && c != '[')
    };
    let literal = first || after_range || matches!(next, Some(']' | '[') | None);
    out.push_str(if literal { r"\-" } else { "-" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &'static str, text: &str) -> bool {
        let pattern = Pattern::new(pattern);
        assert!(pattern.is_understood(), "{} -> {}", pattern.text, translate(pattern.text));
        pattern.matches(text)
    }

    #[test]
    fn the_whole_text_must_match() {
        assert!(matches(r"[\.\-_/#A-Za-z0-9]+", "/aws/lambda/x-1"));
        assert!(!matches(r"[\.\-_/#A-Za-z0-9]+", "a b"));
        assert!(!matches("[a-z]+", "abc\n"));
    }

    #[test]
    fn classes_are_ascii_and_hyphens_literal_where_java_says_so() {
        assert!(matches(r"[\w+=,.@-]+", "My-Role_1@x"));
        assert!(!matches(r"[\w+=,.@-]+", "Rollé"));
        assert!(!matches(r"\d{12}", "\u{661}11111111111"));
        assert!(matches("[a-zA-Z0-9-_]+", "a-b_C"));
        assert!(!matches("[a-zA-Z0-9-_]+", "a:b"));
        assert!(matches(r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket"));
        assert!(!matches(r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket."));
    }

    #[test]
    fn code_points_are_understood() {
        let arn = r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+";
        assert!(matches(arn, "arn:aws:iam::1:role/x \u{1F600}"));
        assert!(!matches(arn, "a\u{1}"));
        assert!(matches(r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", "/a/b/"));
    }
}
