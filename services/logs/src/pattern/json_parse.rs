//! The grammar of JSON patterns, by recursive descent.
//!
//! ```text
//! pattern   = "{" any "}"
//! any       = all *( "||" all )
//! all       = one *( "&&" one )
//! one       = "(" any ")" / selector test
//! selector  = "$" *( "." name / "." bracket / bracket )
//! bracket   = "[" ( number / "*" / quoted ) "]"
//! test      = ( "=" / "!=" / "<" / "<=" / ">" / ">=" ) value / "IS" ( "TRUE" / "FALSE" / "NULL" )
//!           / "NOT" "EXISTS" / "EXISTS"
//! ```

use super::json::{Comparison, JsonPattern, Selector, Step, Test, WildText};
use super::no_regex;
use crate::errors::LogsError;

/// Parentheses deeper than this are refused, so that no pattern exhausts the stack.
const MAX_DEPTH: usize = 32;

/// Reads a pattern that begins with `{`.
pub(super) fn parse(text: &str) -> Result<JsonPattern, LogsError> {
    let mut parser = Parser { rest: text, depth: 0 };
    parser.expect("{")?;
    let pattern = parser.any()?;
    parser.expect("}")?;
    parser.skip_space();
    if parser.rest.is_empty() { Ok(pattern) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<JsonPattern, LogsError> {
        let mut list = vec![self.all()?];
        while self.take("||") {
            list.push(self.all()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { JsonPattern::Or(list) })
    }

    fn all(&mut self) -> Result<JsonPattern, LogsError> {
        let mut list = vec![self.one()?];
        while self.take("&&") {
            list.push(self.one()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { JsonPattern::And(list) })
    }

    fn one(&mut self) -> Result<JsonPattern, LogsError> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(self.unexpected());
            }
            let inner = self.any()?;
            self.depth -= 1;
            self.expect(")")?;
            return Ok(inner);
        }
        let selector = self.selector()?;
        let test = self.test()?;
        Ok(JsonPattern::Condition(selector, test))
    }

    fn selector(&mut self) -> Result<Selector, LogsError> {
        self.expect("$")?;
        let mut steps = Vec::new();
        loop {
            if self.rest.starts_with(".[") {
                self.rest = &self.rest[1..];
            }
            if let Some(after) = self.rest.strip_prefix('.') {
                let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
                if end == 0 {
                    return Err(self.unexpected());
                }
                steps.push(Step::Member(after[..end].to_owned()));
                self.rest = &after[end..];
            } else if let Some(after) = self.rest.strip_prefix('[') {
                self.rest = after;
                steps.push(self.bracket()?);
            } else {
                break;
            }
        }
        if steps.is_empty() { Err(self.unexpected()) } else { Ok(Selector(steps)) }
    }

    fn bracket(&mut self) -> Result<Step, LogsError> {
        self.skip_space();
        let step = match self.rest.chars().next() {
            Some('*') => {
                self.rest = &self.rest[1..];
                Step::Each
            }
            Some(quote @ ('"' | '\'')) => Step::Member(self.quoted(quote)?),
            _ => {
                let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
                let index = self.rest[..end].parse().map_err(|_| self.unexpected())?;
                self.rest = &self.rest[end..];
                Step::Index(index)
            }
        };
        self.expect("]")?;
        Ok(step)
    }

    fn test(&mut self) -> Result<Test, LogsError> {
        if self.take_word("IS") {
            for (word, test) in [("TRUE", Test::IsTrue), ("FALSE", Test::IsFalse), ("NULL", Test::IsNull)] {
                if self.take_word(word) {
                    return Ok(test);
                }
            }
            return Err(self.unexpected());
        }
        if self.take_word("NOT") {
            return if self.take_word("EXISTS") { Ok(Test::NotExists) } else { Err(self.unexpected()) };
        }
        if self.take_word("EXISTS") {
            return Ok(Test::Exists);
        }
        // Longer signs first.
        let signs = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (sign, comparison) in signs {
            if self.take(sign) {
                return self.value(comparison);
            }
        }
        Err(self.unexpected())
    }

    fn value(&mut self, comparison: Comparison) -> Result<Test, LogsError> {
        self.skip_space();
        let text = match self.rest.chars().next() {
            Some('%') => return Err(no_regex()),
            Some('"') => self.quoted('"')?,
            _ => {
                let bare = self.bare();
                if bare.is_empty() {
                    return Err(self.unexpected());
                }
                match bare.parse::<f64>() {
                    Ok(number) if number.is_finite() => return Ok(Test::Number(comparison, number)),
                    _ => bare.to_owned(),
                }
            }
        };
        let text = WildText::new(&text);
        match comparison {
            Comparison::Equal => Ok(Test::Text { equal: true, text }),
            Comparison::NotEqual => Ok(Test::Text { equal: false, text }),
            _ => Err(LogsError::invalid("Invalid filter pattern: text can be compared with = and != only")),
        }
    }

    /// A value without quotes: up to a space, a parenthesis, a brace or a joining sign.
    fn bare(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '}' | '&' | '|'))
            .unwrap_or(self.rest.len());
        let (bare, after) = self.rest.split_at(end);
        self.rest = after;
        bare
    }

    fn quoted(&mut self, quote: char) -> Result<String, LogsError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                c => text.push(c),
            }
        }
        Err(self.unexpected())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(sign) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// Takes a word in any case that ends where it should.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let has = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let ends = has && !self.rest[word.len()..].starts_with(is_name);
        if ends {
            self.rest = &self.rest[word.len()..];
        }
        ends
    }

    fn expect(&mut self, sign: &str) -> Result<(), LogsError> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> LogsError {
        let near: String = self.rest.chars().take(20).collect();
        LogsError::invalid(if near.is_empty() {
            "Invalid filter pattern: it ends too early".to_owned()
        } else {
            format!("Invalid filter pattern near '{near}'")
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_refused_and_says_where() {
        for bad in [
            "{",
            "{}",
            "{ $.a }",
            "{ $.a = }",
            "{ .a = 1 }",
            "{ $ = 1 }",
            "{ $.a = 1 } x",
            "{ $.a = 1 && }",
            "{ ($.a = 1 }",
            "{ $.a < x }",
            "{ $.a IS MAYBE }",
            "{ $.a[x] = 1 }",
            "{ $.a = \"open }",
            "{ $.a = %x% }",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let deep = format!("{{{}$.a = 1{}}}", "(".repeat(40), ")".repeat(40));
        assert!(parse(&deep).is_err());
        assert_eq!(parse("{ $.a ~ 1 }").unwrap_err().to_string(), "Invalid filter pattern near '~ 1 }'");
    }
}
