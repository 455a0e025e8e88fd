//! From a pattern's text to its alternatives: each a list of fields, all of which must be right. `$or` makes several.

use std::sync::Arc;

use crate::condition::Condition;
use crate::expression;
use crate::number::{self, Range};
use crate::reader::{Reader, Refusal, Token};

/// How many alternatives `$or` may make.
const MAX_ALTERNATIVES: usize = 1000;
/// What may not be a field's name within `$or`.
const RESERVED: [&str; 9] = [
    "exactly",
    "prefix",
    "suffix",
    "numeric",
    "anything-but",
    "exists",
    "cidr",
    "equals-ignore-case",
    "wildcard",
];

/// Whose language it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// EventBridge's.
    Event,
    /// SNS's.
    Filter,
}

impl Dialect {
    pub(crate) fn numbers(self) -> Range {
        match self {
            Dialect::Event => number::EVENT,
            Dialect::Filter => number::FILTER,
        }
    }
}

/// A field and what its value must be.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Names from the outermost on, joined by dots: AWS does not tell them from dots in names.
    pub(crate) path: Box<str>,
    /// One of them must be true.
    pub(crate) conditions: Arc<[Condition]>,
    /// How many objects it is in, the outermost included.
    pub(crate) depth: usize,
}

/// A pattern that was read.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) alternatives: Vec<Vec<Field>>,
    /// Keys of the outermost object.
    pub(crate) outer_keys: usize,
    /// There are objects within it.
    pub(crate) is_nested: bool,
    pub(crate) numbers: Range,
}

struct Compiler<'a> {
    reader: Reader<'a>,
    dialect: Dialect,
    alternatives: Vec<Vec<Field>>,
    path: String,
    depth: usize,
    is_in_or: bool,
    outer_keys: usize,
    is_nested: bool,
}

/// Reads a pattern.
pub(crate) fn compile(text: &str, dialect: Dialect) -> Result<Compiled, Refusal> {
    let mut compiler = Compiler {
        reader: Reader::new(text),
        dialect,
        alternatives: vec![Vec::new()],
        path: String::new(),
        depth: 0,
        is_in_or: false,
        outer_keys: 0,
        is_nested: false,
    };
    if compiler.reader.next()? != Token::StartObject {
        return compiler.reader.refuse("Filter is not an object");
    }
    compiler.object()?;
    compiler.reader.finish()?;
    Ok(Compiled {
        alternatives: compiler.alternatives,
        outer_keys: compiler.outer_keys,
        is_nested: compiler.is_nested,
        numbers: dialect.numbers(),
    })
}

impl Compiler<'_> {
    /// What stands in an object that was opened.
    fn object(&mut self) -> Result<(), Refusal> {
        self.depth += 1;
        self.is_nested |= self.depth > 1;
        let mut is_empty = true;
        loop {
            let name = match self.reader.next()? {
                Token::Field(name) => name,
                _ if is_empty && !self.may_be_empty() => {
                    return self.reader.refuse("Empty objects are not allowed");
                }
                _ => break,
            };
            is_empty = false;
            self.outer_keys += usize::from(self.depth == 1 && !self.is_in_or);
            if name == "$or" {
                self.or()?;
                continue;
            }
            if self.is_in_or && RESERVED.contains(&name.as_str()) {
                return self
                    .reader
                    .refuse(format!("{name} is Ruler reserved fieldName which cannot be used inside $or."));
            }
            self.field(&name)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// SNS takes an empty policy as none.
    fn may_be_empty(&self) -> bool {
        self.dialect == Dialect::Filter && self.depth == 1 && !self.is_in_or
    }

    fn field(&mut self, name: &str) -> Result<(), Refusal> {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        match self.reader.next()? {
            Token::StartObject => self.object()?,
            Token::StartArray => self.values()?,
            _ => return self.reader.refuse(format!("\"{name}\" must be an object or an array")),
        }
        self.path.truncate(outer);
        Ok(())
    }

    fn values(&mut self) -> Result<(), Refusal> {
        let mut conditions = Vec::new();
        loop {
            let condition = match self.reader.next()? {
                Token::EndArray => break,
                Token::StartObject => expression::read(&mut self.reader, self.dialect)?,
                Token::String(text) => expression::text(text),
                Token::Number(text) => {
                    let fixed = self.dialect.numbers().read(&text);
                    Condition::Number(text.into_boxed_str(), fixed)
                }
                Token::True => Condition::Bool(true),
                Token::False => Condition::Bool(false),
                Token::Null => Condition::Null,
                _ => {
                    return self.reader.refuse("Match value must be String, number, true, false, or null");
                }
            };
            conditions.push(condition);
        }
        if conditions.is_empty() {
            return self.reader.refuse("Empty arrays are not allowed");
        }
        let conditions: Arc<[Condition]> = conditions.into();
        for alternative in &mut self.alternatives {
            alternative.retain(|field| *field.path != *self.path);
            alternative.push(Field {
                path: self.path.as_str().into(),
                conditions: Arc::clone(&conditions),
                depth: self.depth,
            });
        }
        Ok(())
    }

    fn or(&mut self) -> Result<(), Refusal> {
        if self.reader.next()? != Token::StartArray {
            return self.reader.refuse("It must be an Array followed with $or.");
        }
        let before = std::mem::take(&mut self.alternatives);
        let was_in_or = std::mem::replace(&mut self.is_in_or, true);
        let depth = self.depth;
        let mut all = Vec::new();
        let mut objects = 0;
        loop {
            match self.reader.next()? {
                Token::EndArray => break,
                Token::StartObject => {}
                _ => {
                    return self.reader.refuse("Only JSON object is allowed in array of $or relationship.");
                }
            }
            objects += 1;
            self.alternatives = before.clone();
            // Its objects are no level of their own.
            self.depth = depth - 1;
            self.object()?;
            self.depth = depth;
            all.append(&mut self.alternatives);
            if all.len() > MAX_ALTERNATIVES {
                return Err(Refusal::plain(match self.dialect {
                    Dialect::Filter => "Filter policy is too complex".to_owned(),
                    Dialect::Event => format!(
                        "Rule is too complex - $or makes more than {MAX_ALTERNATIVES} combinations of rules"
                    ),
                }));
            }
        }
        if objects < 2 {
            return self.reader.refuse("There must have at least 2 Objects in $or relationship.");
        }
        self.is_in_or = was_in_or;
        self.alternatives = all;
        Ok(())
    }
}
