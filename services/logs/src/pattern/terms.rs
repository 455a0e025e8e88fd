//! Patterns of terms: all of `a b`, any of `?a ?b`, none of `-a`, phrases in double quotes. Case counts.
//!
//! A term is found anywhere in a message, also within a word. When `?` terms stand beside other terms, AWS does not
//! look at the `?` terms; neither does this.

use memchr::memmem::Finder;

use super::no_regex;
use crate::errors::LogsError;

/// What must, may and must not be in a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    all: Vec<Finder<'static>>,
    any: Vec<Finder<'static>>,
    none: Vec<Finder<'static>>,
}

impl Terms {
    pub(super) fn parse(text: &str) -> Result<Self, LogsError> {
        let mut terms = Terms::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let list = match first {
                '?' => &mut terms.any,
                '-' => &mut terms.none,
                '%' => return Err(no_regex()),
                _ => &mut terms.all,
            };
            let body = if matches!(first, '?' | '-') { &rest[1..] } else { rest };
            let (term, after) = if body.starts_with('"') { phrase(body)? } else { word(body)? };
            if term.is_empty() {
                return Err(LogsError::invalid("Invalid filter pattern: a term is empty"));
            }
            list.push(Finder::new(term.as_bytes()).into_owned());
            rest = after.trim_start();
        }
        Ok(terms)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let message = message.as_bytes();
        let has = |term: &Finder<'_>| term.find(message).is_some();
        if self.none.iter().any(has) {
            return false;
        }
        if self.all.is_empty() && self.none.is_empty() {
            return self.any.iter().any(has);
        }
        self.all.iter().all(has)
    }
}

/// A term without quotes, and what follows it.
fn word(text: &str) -> Result<(String, &str), LogsError> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    if word.chars().all(|c| c.is_alphanumeric() || c == '_') {
        Ok((word.to_owned(), after))
    } else {
        Err(LogsError::invalid(format!("Invalid character(s) in term '{word}'")))
    }
}

/// A term in quotes, where `\` keeps the next character from its meaning, and what follows it.
fn phrase(text: &str) -> Result<(String, &str), LogsError> {
    let mut phrase = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((phrase, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => phrase.push(escaped),
                Some((_, other)) => phrase.extend(['\\', other]),
                None => break,
            },
            _ => phrase.push(c),
        }
    }
    Err(LogsError::invalid(format!("Invalid filter pattern: a quotation mark is missing after {text}")))
}

#[cfg(test)]
mod tests {
    use crate::pattern::Pattern;

    fn check(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(message)
    }

    #[test]
    fn terms_are_searched_for_with_their_case() {
        assert!(check("", "anything"));
        assert!(check("ERROR", "[ERROR] it broke"));
        assert!(!check("ERROR", "[error] it broke"));
        assert!(check("it ERROR", "[ERROR] it broke"));
        assert!(!check("ERROR fixed", "[ERROR] it broke"));
        assert!(check("?fixed ?broke", "[ERROR] it broke"));
        assert!(!check("?fixed ?mended", "[ERROR] it broke"));
        assert!(!check("ERROR -broke", "[ERROR] it broke"));
        assert!(check("-fixed", "[ERROR] it broke"));
        assert!(check("?nowhere ERROR", "[ERROR] it broke"));
    }

    #[test]
    fn phrases_keep_their_spaces_and_signs() {
        assert!(check(r#""it broke""#, "[ERROR] it broke"));
        assert!(!check(r#""broke it""#, "[ERROR] it broke"));
        assert!(check(r#""[ERROR]" -"all good""#, "[ERROR] it broke"));
        assert!(check(r#""say \"hi\"""#, r#"I say "hi""#));
        assert!(check(r#"?"a b" ?"c d""#, "c d"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let why = |pattern: &str| Pattern::parse(pattern).unwrap_err().to_string();
        assert_eq!(why("foo.bar"), "Invalid character(s) in term 'foo.bar'");
        assert!(why("\"open").contains("quotation mark"));
        assert!(why("?").contains("empty"));
        assert!(why("[ip, user]").contains("brackets"));
        assert!(why("%a+%").contains("Regular expressions"));
    }
}
