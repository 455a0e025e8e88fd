//! YAML (and so JSON) text as a tree that remembers its lines, with CloudFormation's short forms written out:
//! `!Sub x` becomes `{"Fn::Sub": x}`, `!Ref x` `{"Ref": x}`, `!GetAtt a.b` `{"Fn::GetAtt": [a, b]}`.
//!
//! It gives no meaning to what it reads; that is `template.rs` and `intrinsics.rs`.
//! Short forms: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html>.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::SamError;

/// A value of the template and the line it starts on (1-based).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a node holds. A map keeps the template's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `plain` is false for quoted text, which is never a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// An alias may repeat a node; together they may not make the template larger than this many nodes.
const MAX_NODES: usize = 100_000;

impl Node {
    /// Reads one document.
    pub(crate) fn parse(text: &str) -> Result<Node, SamError> {
        let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
        loop {
            match reader.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, line) => {
                    return Err(SamError::at(line, "the template is empty"));
                }
                (event, line) => return reader.node(event, line),
            }
        }
    }

    /// Text for an error message: what kind of value this is.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar { .. } => "a scalar",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The entries of a map.
    pub(crate) fn entries(&self, what: &str) -> Result<&[(String, Node)], SamError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Scalar { text, plain: true } if text.is_empty() || text == "null" || text == "~" => {
                Ok(&[])
            }
            _ => Err(SamError::at(self.line, format!("{what} must be a map, got {}", self.kind()))),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self, what: &str) -> Result<&[Node], SamError> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(SamError::at(self.line, format!("{what} must be a list, got {}", self.kind()))),
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self, what: &str) -> Result<&str, SamError> {
        match &self.value {
            Value::Scalar { text, .. } => Ok(text),
            _ => Err(SamError::at(self.line, format!("{what} must be a string, got {}", self.kind()))),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, what: &str) -> Result<i64, SamError> {
        let text = self.text(what)?;
        text.parse()
            .map_err(|_| SamError::at(self.line, format!("{what} must be a whole number, got '{text}'")))
    }

    /// `true` or `false`, however it is written.
    pub(crate) fn truth(&self, what: &str) -> Result<bool, SamError> {
        match self.text(what)?.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(SamError::at(self.line, format!("{what} must be true or false, got '{other}'"))),
        }
    }

    /// A map's entry.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The intrinsic function that stands here, and its argument.
    pub(crate) fn intrinsic(&self) -> Option<(&str, &Node)> {
        match &self.value {
            Value::Map(entries) => match entries.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => Some((name, argument)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Quoted text.
    pub(crate) fn scalar(line: usize, text: impl Into<String>) -> Node {
        Node { line, value: Value::Scalar { text: text.into(), plain: false } }
    }

    /// A list.
    pub(crate) fn list(line: usize, items: Vec<Node>) -> Node {
        Node { line, value: Value::List(items) }
    }

    /// A map.
    pub(crate) fn map<const N: usize>(line: usize, entries: [(&str, Node); N]) -> Node {
        let entries = entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect();
        Node { line, value: Value::Map(entries) }
    }

    /// The node as JSON, as a policy document is handed on. Plain scalars become numbers, booleans or null where
    /// YAML's core schema says so.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar { text, plain: false } => serde_json::Value::String(text.clone()),
            Value::Scalar { text, plain: true } => plain_scalar(text),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
        }
    }
}

fn plain_scalar(text: &str) -> serde_json::Value {
    match text {
        "" | "~" | "null" => serde_json::Value::Null,
        "true" | "True" => serde_json::Value::Bool(true),
        "false" | "False" => serde_json::Value::Bool(false),
        // A policy's "2012-10-17" is a date to old YAML; here it stays the text that AWS wants.
        _ => match text.parse::<i64>() {
            Ok(number) => serde_json::Value::from(number),
            Err(_) => serde_json::Value::String(text.to_owned()),
        },
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), SamError> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                Err(SamError::at(error.marker().line(), format!("not valid YAML: {}", error.info())))
            }
            None => Err(SamError::at(0, "the template ends too early")),
        }
    }

    fn node(&mut self, event: Event<'a>, line: usize) -> Result<Node, SamError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(SamError::at(line, format!("the template has more than {MAX_NODES} values")));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_string_tag(tag.as_deref());
                let scalar = Node { line, value: Value::Scalar { text: text.into_owned(), plain } };
                (written_out(scalar, tag.as_deref())?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line)?),
                    }
                }
                (written_out(Node { line, value: Value::List(items) }, tag.as_deref())?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let map = Node { line, value: Value::Map(self.entries()?) };
                (written_out(map, tag.as_deref())?, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = node.clone();
                    self.nodes += count(&node);
                    (node, 0)
                }
                None => return Err(SamError::at(line, "an alias to an anchor that is not there")),
            },
            other => return Err(SamError::at(line, format!("unexpected {other:?}"))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self) -> Result<Vec<(String, Node)>, SamError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key = self.node(event, line)?.text("a key")?.to_owned();
            let (event, value_line) = self.next()?;
            let value = self.node(event, value_line)?;
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(SamError::at(line, format!("the key '{key}' stands twice in one map")));
            }
            entries.push((key, value));
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
    }
}

fn is_string_tag(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str")
}

/// The long form of a node with a short-form tag.
fn written_out(node: Node, tag: Option<&Tag>) -> Result<Node, SamError> {
    let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) else { return Ok(node) };
    let line = node.line;
    let name = tag.suffix.as_str();
    let (key, node) = match name {
        "Ref" | "Condition" => (name.to_owned(), node),
        "GetAtt" => ("Fn::GetAtt".to_owned(), split_attribute(node)),
        "Sub" | "Join" | "Select" | "Split" | "If" | "Equals" | "And" | "Or" | "Not" | "FindInMap"
        | "Base64" | "Cidr" | "GetAZs" | "ImportValue" | "Transform" => (format!("Fn::{name}"), node),
        _ => return Err(SamError::at(line, format!("the tag '!{name}' is not one of CloudFormation's"))),
    };
    Ok(Node { line, value: Value::Map(vec![(key, node)]) })
}

fn split_attribute(node: Node) -> Node {
    let Value::Scalar { text, .. } = &node.value else { return node };
    let Some((resource, attribute)) = text.split_once('.') else { return node };
    let scalar =
        |text: &str| Node { line: node.line, value: Value::Scalar { text: text.to_owned(), plain: false } };
    Node { line: node.line, value: Value::List(vec![scalar(resource), scalar(attribute)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_written_out_and_lines_kept() {
        let node = Node::parse("A: 1\nB:\n  - !Ref X\n  - !GetAtt F.Arn\n").unwrap();
        let entries = node.entries("template").unwrap();
        let items = entries[1].1.items("B").unwrap();
        assert_eq!(items[0].to_json(), serde_json::json!({"Ref": "X"}));
        assert_eq!(items[1].to_json(), serde_json::json!({"Fn::GetAtt": ["F", "Arn"]}));
        assert_eq!(items[1].line, 4);
    }

    #[test]
    fn quoted_scalars_stay_text() {
        let node = Node::parse("{\"a\": \"1\", \"b\": 1, \"c\": true}").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({"a": "1", "b": 1, "c": true}));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert!(Node::parse("A: 1\nA: 2\n").unwrap_err().to_string().contains("line 2"));
        assert!(Node::parse("A: !Nope x\n").unwrap_err().to_string().contains("!Nope"));
        assert!(Node::parse("A: [1\n").is_err());
        assert!(Node::parse("").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let previous = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [previous.as_str(); 10].join(","));
        }
        assert!(Node::parse(&text).unwrap_err().to_string().contains("more than"));
    }
}
