//! `*` in patterns: any characters, also none. Matching goes from piece to piece and never back, so its time is bounded by
//! text times pieces.

/// A pattern with wildcards: what stands between them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wildcard {
    /// One more than there are wildcards.
    pieces: Vec<Box<str>>,
}

impl Wildcard {
    /// Reads a pattern: `*`, and `\*` and `\\` for the characters themselves.
    ///
    /// # Errors
    ///
    /// Two wildcards in a row, or another character after a backslash. Positions count bytes, the opening quote too.
    pub(crate) fn parse(text: &str) -> Result<Wildcard, String> {
        let mut pieces = Vec::new();
        let mut piece = String::new();
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '*' if letters.peek().is_some_and(|(_, next)| *next == '*') => {
                    return Err(format!("Consecutive wildcard characters at pos {}", at + 1));
                }
                '*' => pieces.push(std::mem::take(&mut piece).into_boxed_str()),
                '\\' => match letters.next() {
                    Some((_, escaped @ ('*' | '\\'))) => piece.push(escaped),
                    _ => return Err(format!("Invalid escape character at pos {}", at + 1)),
                },
                letter => piece.push(letter),
            }
        }
        pieces.push(piece.into_boxed_str());
        Ok(Wildcard { pieces })
    }

    /// Whether a text looks like that.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| text == &**only);
        };
        let Some(mut rest) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
            return false;
        };
        for piece in middle {
            let Some(at) = rest.find(&**piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_order() {
        let cases = [
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            (r"\**", "*x", true),
            (r"\**", "x*", false),
            (r"a\\*", r"a\b", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Wildcard::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(Wildcard::parse("ab**").unwrap_err(), "Consecutive wildcard characters at pos 3");
        assert_eq!(Wildcard::parse(r"a\b").unwrap_err(), "Invalid escape character at pos 2");
        assert_eq!(Wildcard::parse(r"a\").unwrap_err(), "Invalid escape character at pos 2");
    }

    #[test]
    fn many_wildcards_take_no_time() {
        let pattern = Wildcard::parse(&"*a".repeat(1000)).unwrap();
        assert!(!pattern.matches(&"ab".repeat(100_000)));
    }
}
