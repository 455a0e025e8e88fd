//! A pattern's text, token by token, each with the place where AWS would say it is.
//!
//! AWS reads patterns with a Java library (Jackson) and its errors name a line and a column: where that library stood
//! when the token was refused. That is after the token, but only after the opening quote of a string that nobody asked
//! the content of, and for a field's name where its value begins. This reader stands in the same places. It is no
//! general JSON parser: nothing else in the house should read JSON with it.

use crate::error::PatternError;

/// Jackson shows this much of a source in its errors, in characters.
const SHOWN_CHARS: usize = 500;
/// Objects and arrays in one another.
const MAX_DEPTH: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    StartObject,
    EndObject,
    StartArray,
    EndArray,
    Field(String),
    String(String),
    /// As it was written.
    Number(String),
    True,
    False,
    Null,
}

impl Token {
    /// As Jackson gives a token's text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Token::StartObject => "{",
            Token::EndObject => "}",
            Token::StartArray => "[",
            Token::EndArray => "]",
            Token::Field(text) | Token::String(text) | Token::Number(text) => text,
            Token::True => "true",
            Token::False => "false",
            Token::Null => "null",
        }
    }
}

/// What was wrong, and whether the text was no JSON at all.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: PatternError,
    pub(crate) is_syntax: bool,
}

impl Refusal {
    /// A refusal without a place.
    pub(crate) fn plain(reason: impl Into<String>) -> Self {
        Refusal { reason: PatternError::new(reason), is_syntax: false }
    }
}

type Read<T> = Result<T, Refusal>;

enum Within {
    Object { begins: usize },
    Array { begins: usize },
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    /// Where the next token is looked for.
    at: usize,
    /// Where an error about the last token is.
    stand: usize,
    /// The end of the last token.
    end: usize,
    within: Vec<Within>,
    is_first: bool,
    expects_value: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Reader { text, at: 0, stand: 0, end: 0, within: Vec::new(), is_first: true, expects_value: true }
    }

    /// The next token. Whoever asks after the end of the text gets an error.
    pub(crate) fn next(&mut self) -> Read<Token> {
        self.skip_space();
        if self.expects_value {
            self.expects_value = false;
            return self.value();
        }
        let Some(next) = self.peek() else { return Err(self.ended()) };
        let (is_object, closes) = match self.within.last() {
            Some(Within::Object { .. }) => (true, '}'),
            Some(Within::Array { .. }) => (false, ']'),
            None => return Err(self.unexpected(next, "was expecting the end of the text")),
        };
        if next == closes {
            self.within.pop();
            self.is_first = false;
            let token = if is_object { Token::EndObject } else { Token::EndArray };
            return Ok(self.symbol(token));
        }
        if !self.is_first {
            if next != ',' {
                let kind = if is_object { "Object" } else { "Array" };
                return Err(self.unexpected(next, &format!("was expecting comma to separate {kind} entries")));
            }
            self.at += 1;
            self.skip_space();
        }
        self.is_first = false;
        if is_object { self.field() } else { self.value() }
    }

    /// Nothing but space may follow.
    pub(crate) fn finish(&mut self) -> Read<()> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(next) => Err(self.unexpected(next, "was expecting the end of the text")),
        }
    }

    /// The error for the last token: at its value's beginning, if it is a string.
    pub(crate) fn refuse<T>(&self, reason: impl AsRef<str>) -> Read<T> {
        Err(self.at_place(reason.as_ref(), self.stand, false))
    }

    /// The error for the last token once its text was read: after it.
    pub(crate) fn refuse_text<T>(&self, reason: impl AsRef<str>) -> Read<T> {
        Err(self.at_place(reason.as_ref(), self.stand.max(self.end), false))
    }

    fn field(&mut self) -> Read<Token> {
        match self.peek() {
            Some('"') => {}
            Some(next) => {
                return Err(self.unexpected(next, "was expecting double-quote to start field name"));
            }
            None => return Err(self.ended()),
        }
        let name = self.string()?;
        self.skip_space();
        match self.peek() {
            Some(':') => self.at += 1,
            Some(next) => {
                return Err(self.unexpected(next, "was expecting a colon to separate field name and value"));
            }
            None => return Err(self.ended()),
        }
        self.skip_space();
        self.expects_value = true;
        let end = self.value_glimpse();
        (self.stand, self.end) = (end, end);
        Ok(Token::Field(name))
    }

    /// Where one stands who has seen the beginning of the value that follows.
    fn value_glimpse(&self) -> usize {
        match self.peek() {
            None => self.at,
            Some('-' | '0'..='9' | 't' | 'f' | 'n') => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
                self.text[self.at..].find(|c| !is_part(c)).map_or(self.text.len(), |length| self.at + length)
            }
            Some(other) => self.at + other.len_utf8(),
        }
    }

    fn value(&mut self) -> Read<Token> {
        let Some(next) = self.peek() else { return Err(self.ended()) };
        match next {
            '{' => self.open(Within::Object { begins: self.at }, Token::StartObject),
            '[' => self.open(Within::Array { begins: self.at }, Token::StartArray),
            '"' => {
                let begins = self.at;
                let text = self.string()?;
                (self.stand, self.end) = (begins + 1, self.at);
                Ok(Token::String(text))
            }
            '-' | '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' | '$' => self.word(),
            other => Err(self.unexpected(
                other,
                "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
            )),
        }
    }

    fn open(&mut self, within: Within, token: Token) -> Read<Token> {
        self.within.push(within);
        self.is_first = true;
        let token = self.symbol(token);
        match self.within.len() {
            0..=MAX_DEPTH => Ok(token),
            depth => {
                let reason =
                    format!("Document nesting depth ({depth}) exceeds the maximum allowed ({MAX_DEPTH})");
                Err(self.at_place(&reason, self.at, true))
            }
        }
    }

    fn symbol(&mut self, token: Token) -> Token {
        self.at += 1;
        (self.stand, self.end) = (self.at, self.at);
        token
    }

    fn word(&mut self) -> Read<Token> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += word.len();
        (self.stand, self.end) = (self.at, self.at);
        match word {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            _ => {
                let reason = format!(
                    "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token \
                     'null', 'true' or 'false')"
                );
                Err(self.at_place(&reason, self.at, true))
            }
        }
    }

    fn number(&mut self) -> Read<Token> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let text = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += text.len();
        (self.stand, self.end) = (self.at, self.at);
        // The rules for numbers are serde_json's; only the text is kept.
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(_) => Ok(Token::Number(text.to_owned())),
            Err(_) => Err(self.at_place(&format!("Invalid numeric value: {text}"), self.at, true)),
        }
    }

    /// A string with its quotes; afterwards `at` is behind it.
    fn string(&mut self) -> Read<String> {
        let begins = self.at;
        let bytes = self.text.as_bytes();
        let mut at = begins + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(control @ 0..=0x1f) => {
                    let reason = format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {control})): has to be escaped using backslash \
                         to be included in string value"
                    );
                    return Err(self.at_place(&reason, at, true));
                }
                Some(_) => at += 1,
                None => {
                    return Err(self.at_place("Unexpected end-of-input in VALUE_STRING", bytes.len(), true));
                }
            }
        }
        self.at = at + 1;
        let quoted = &self.text[begins..self.at];
        serde_json::from_str(quoted)
            .map_err(|_| self.at_place("Unrecognized character escape in string value", self.at, true))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn unexpected(&self, found: char, expected: &str) -> Refusal {
        let reason = format!("Unexpected character ('{found}' (code {})): {expected}", u32::from(found));
        // Jackson points at the character itself here, not behind it.
        self.at_place(&reason, self.at, true)
    }

    fn ended(&self) -> Refusal {
        let end = self.text.len();
        let reason = match self.within.last() {
            None => "No content to map due to end-of-input".to_owned(),
            Some(Within::Object { begins }) => self.unclosed("Object", *begins),
            Some(Within::Array { begins }) => self.unclosed("Array", *begins),
        };
        self.at_place(&reason, end, true)
    }

    fn unclosed(&self, kind: &str, begins: usize) -> String {
        format!(
            "Unexpected end-of-input: expected close marker for {kind} (start marker at {})",
            self.place(begins)
        )
    }

    fn at_place(&self, reason: &str, at: usize, is_syntax: bool) -> Refusal {
        let reason = PatternError::new(format!("{reason}\n at {}", self.place(at)));
        Refusal { reason, is_syntax }
    }

    /// `[Source: (String)"..."; line: 1, column: 2]`.
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let line_begins = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_begins..].encode_utf16().count() + 1;
        let length = self.text.chars().count();
        let shown: String = self.text.chars().take(SHOWN_CHARS).collect();
        let cut = match length.saturating_sub(SHOWN_CHARS) {
            0 => String::new(),
            more => format!("[truncated {more} chars]"),
        };
        format!("[Source: (String)\"{shown}\"{cut}; line: {line}, column: {column}]")
    }
}
