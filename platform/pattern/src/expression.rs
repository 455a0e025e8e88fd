//! Match expressions: `{"prefix": "a"}` and the like, with AWS's words for what is wrong with them.

use crate::address::Block;
use crate::compile::Dialect;
use crate::condition::{Bound, Condition};
use crate::letters;
use crate::number::Fixed;
use crate::reader::{Reader, Refusal, Token};
use crate::wildcard::Wildcard;

type Read<T> = Result<T, Refusal>;

const ONE_KEY: &str = "Only one key allowed in match expression";
const TOO_MANY: &str = "Too many elements in numeric expression";

/// A plain text as a condition.
pub(crate) fn text(text: String) -> Condition {
    match Block::single(&text) {
        Some(block) => Condition::Address(text.into_boxed_str(), block),
        None => Condition::Text(text.into_boxed_str()),
    }
}

/// Reads an expression whose object was opened.
pub(crate) fn read(reader: &mut Reader<'_>, dialect: Dialect) -> Read<Condition> {
    let Token::Field(name) = reader.next()? else {
        return reader.refuse("Match expression name not found");
    };
    let condition = match name.as_str() {
        "exactly" => {
            let text = string(reader, "exact match pattern must be a string")?;
            Condition::Text(text.into_boxed_str())
        }
        "prefix" => {
            prefix_or_suffix(reader, ["Prefix", "prefix"], |text, ignores_case| match ignores_case {
                true => Condition::BeginsIgnoringCase(letters::lower(&text)),
                false => Condition::Begins(text.into_boxed_str()),
            })?
        }
        "suffix" => {
            prefix_or_suffix(reader, ["Suffix", "suffix"], |text, ignores_case| match ignores_case {
                true => Condition::EndsIgnoringCase(letters::lower(&text)),
                false => Condition::Ends(text.into_boxed_str()),
            })?
        }
        "equals-ignore-case" => {
            let text = string(reader, "equals-ignore-case match pattern must be a string")?;
            Condition::IgnoringCase(letters::lower(&text))
        }
        "wildcard" => {
            let text = string(reader, "wildcard match pattern must be a string")?;
            wildcard(reader, &text)?
        }
        // AWS's engine says "prefix" here, too.
        "cidr" => {
            let text = string(reader, "prefix match pattern must be a string")?;
            Condition::Within(Block::parse(&text).map_err(Refusal::plain)?)
        }
        "exists" => match reader.next()? {
            Token::True => Condition::Exists,
            Token::False => Condition::Absent,
            _ => return reader.refuse("exists match pattern must be either true or false."),
        },
        "numeric" => {
            if reader.next()? != Token::StartArray {
                return reader.refuse("Value of numeric must be an array.");
            }
            let condition = numeric(reader, dialect)?;
            return close(reader, condition, TOO_MANY);
        }
        "anything-but" => return anything_but(reader, dialect),
        other => return reader.refuse(format!("Unrecognized match type {other}")),
    };
    close(reader, condition, ONE_KEY)
}

fn close(reader: &mut Reader<'_>, condition: Condition, otherwise: &str) -> Read<Condition> {
    match reader.next()? {
        Token::EndObject => Ok(condition),
        _ => reader.refuse(otherwise),
    }
}

fn string(reader: &mut Reader<'_>, otherwise: &str) -> Read<String> {
    match reader.next()? {
        Token::String(text) => Ok(text),
        _ => reader.refuse(otherwise),
    }
}

fn wildcard(reader: &Reader<'_>, text: &str) -> Read<Condition> {
    match Wildcard::parse(text) {
        Ok(wildcard) => Ok(Condition::Wildcard(wildcard)),
        Err(reason) => reader.refuse_text(reason),
    }
}

fn prefix_or_suffix(
    reader: &mut Reader<'_>,
    [title, name]: [&str; 2],
    make: impl FnOnce(String, bool) -> Condition,
) -> Read<Condition> {
    match reader.next()? {
        Token::String(text) => Ok(make(text, false)),
        Token::StartObject => {
            let Token::Field(inner) = reader.next()? else {
                return reader.refuse(format!("{title} expression name not found"));
            };
            if inner != "equals-ignore-case" {
                return reader.refuse(format!("Unsupported {name} pattern: {inner}"));
            }
            let text = string(reader, "equals-ignore-case match pattern must be a string")?;
            close(reader, make(text, true), ONE_KEY)
        }
        _ => reader.refuse(format!("{name} match pattern must be a string")),
    }
}

fn anything_but(reader: &mut Reader<'_>, dialect: Dialect) -> Read<Condition> {
    let none_of = match reader.next()? {
        Token::StartObject => {
            let Token::Field(name) = reader.next()? else {
                return reader.refuse("Anything-But expression name not found");
            };
            let inner = anything_but_inner(reader, &name)?;
            return close(reader, Condition::AnythingBut(inner), ONE_KEY);
        }
        Token::StartArray => anything_but_list(reader, dialect)?,
        Token::String(text) => vec![Condition::Text(text.into_boxed_str())],
        Token::Number(text) => vec![anything_but_number(reader, text, dialect)?],
        _ => {
            return reader.refuse("Value of anything-but must be an array or single string/number value.");
        }
    };
    close(reader, Condition::AnythingBut(none_of), TOO_MANY)
}

fn anything_but_number(reader: &Reader<'_>, text: String, dialect: Dialect) -> Read<Condition> {
    match dialect.numbers().read(&text) {
        Some(fixed) => Ok(Condition::Number(text.into_boxed_str(), Some(fixed))),
        None => reader.refuse(dialect.numbers().refusal()),
    }
}

/// A list of texts, or one of numbers, that was opened.
fn anything_but_list(reader: &mut Reader<'_>, dialect: Dialect) -> Read<Vec<Condition>> {
    let mut none_of = Vec::new();
    let (mut has_text, mut has_number) = (false, false);
    loop {
        let condition = match reader.next()? {
            Token::EndArray => break,
            Token::String(text) => {
                has_text = true;
                Condition::Text(text.into_boxed_str())
            }
            Token::Number(text) => {
                has_number = true;
                twice(reader, anything_but_number(reader, text, dialect))?
            }
            _ => {
                let refusal = reader.refuse("Inside anything but list, start|null|boolean is not supported.");
                return twice(reader, refusal);
            }
        };
        none_of.push(condition);
    }
    if has_text == has_number {
        return reader.refuse(
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        );
    }
    Ok(none_of)
}

/// `{"prefix": ...}` and its like, up to the end of their object.
fn anything_but_inner(reader: &mut Reader<'_>, name: &str) -> Read<Vec<Condition>> {
    let wrong = match name {
        "prefix" | "suffix" => "prefix/suffix match pattern must be a string",
        "wildcard" => "wildcard match pattern must be a string",
        "equals-ignore-case" => {
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
        }
        other => return reader.refuse(format!("Unsupported anything-but pattern: {other}")),
    };
    let one = |reader: &Reader<'_>, text: String| match name {
        "prefix" | "suffix" if text.is_empty() => reader.refuse_text("Null prefix/suffix not allowed"),
        "prefix" => Ok(Condition::Begins(text.into_boxed_str())),
        "suffix" => Ok(Condition::Ends(text.into_boxed_str())),
        "wildcard" => wildcard(reader, &text),
        _ => Ok(Condition::IgnoringCase(letters::lower(&text))),
    };
    let none_of = match reader.next()? {
        Token::String(text) => vec![one(reader, text)?],
        Token::StartArray => {
            let mut none_of = Vec::new();
            loop {
                let condition = match reader.next()? {
                    Token::EndArray => break none_of,
                    Token::String(text) => one(reader, text),
                    _ => reader.refuse(wrong),
                };
                none_of.push(twice(reader, condition)?);
            }
        }
        Token::Number(_) => return reader.refuse(wrong),
        _ => {
            return reader.refuse("Value of anything-but must be an array or single string/number value.");
        }
    };
    match reader.next()? {
        Token::EndObject => Ok(none_of),
        _ => reader.refuse(ONE_KEY),
    }
}

/// In lists AWS names the place twice.
fn twice<T>(reader: &Reader<'_>, outcome: Read<T>) -> Read<T> {
    outcome.or_else(|refusal| reader.refuse(refusal.reason.to_string()))
}

/// What stands in a `numeric` list that was opened.
fn numeric(reader: &mut Reader<'_>, dialect: Dialect) -> Read<Condition> {
    let operator = match reader.next()? {
        Token::String(operator) => operator,
        other => return reader.refuse(format!("Invalid member in numeric match: {}", other.text())),
    };
    let first = reader.next()?;
    let shown = match operator.as_str() {
        "=" => "equals",
        ">=" | ">" | "<=" | "<" => &operator,
        _ => return reader.refuse(format!("Unrecognized numeric range operator: {operator}")),
    };
    let Token::Number(first) = first else {
        return reader.refuse(format!("Value of {shown} must be numeric"));
    };
    let bound = |value, is_included| Some(Bound { value, is_included });
    let is_included = operator != "<" && operator != ">";
    let next = reader.next()?;
    match (operator.as_str(), next) {
        (_, Token::EndArray) => {
            let value = fixed(reader, &first, dialect)?;
            let (is_below, is_above) = (operator.starts_with('<'), operator.starts_with('>'));
            let low = if is_below { None } else { bound(value, is_included) };
            let high = if is_above { None } else { bound(value, is_included) };
            Ok(Condition::Numeric(low, high))
        }
        (">" | ">=", Token::String(second)) => {
            if second != "<" && second != "<=" {
                return reader.refuse_text(format!("Bad numeric range operator: {second}"));
            }
            let Token::Number(top) = reader.next()? else {
                return reader.refuse(format!("Value of {second} must be numeric"));
            };
            if reader.next()? != Token::EndArray {
                return reader.refuse("Too many terms in numeric range expression");
            }
            let (low, high) = (fixed(reader, &first, dialect)?, fixed(reader, &top, dialect)?);
            if low >= high {
                return reader.refuse("Bottom must be less than top");
            }
            Ok(Condition::Numeric(bound(low, is_included), bound(high, second == "<=")))
        }
        (">" | ">=", other) => reader.refuse(format!("Bad value in numeric range: {}", other.text())),
        _ => reader.refuse(TOO_MANY),
    }
}

fn fixed(reader: &Reader<'_>, text: &str, dialect: Dialect) -> Read<Fixed> {
    let numbers = dialect.numbers();
    match numbers.read(text) {
        Some(fixed) => Ok(fixed),
        None => reader.refuse(numbers.refusal()),
    }
}
