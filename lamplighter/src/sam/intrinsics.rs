//! `Ref`, `Fn::Sub`, `Fn::Join`, `Fn::Select`, `Fn::Split`, `Fn::GetAtt`: resolved while a template is read.
//!
//! Known are the parameters, the pseudo parameters and the resources of the template itself (`resource.rs` says what
//! each gives). Conditions, mappings and imports are refused by name.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html>

use std::collections::BTreeMap;

use base::{AccountId, Region};

use super::SamError;
use super::node::{Node, Value};
use super::resource::{Known, Target};

/// What names in the template stand for.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) stack: String,
    pub(crate) parameters: BTreeMap<String, String>,
    /// The template's resources, by logical id.
    pub(crate) targets: BTreeMap<String, Target>,
    /// What is known of those that were brought up.
    pub(crate) known: Known,
}

impl Scope {
    /// The node with every intrinsic function replaced by its value.
    pub(crate) fn resolve(&self, node: &Node) -> Result<Node, SamError> {
        let value = match &node.value {
            Value::Scalar { .. } => node.value.clone(),
            Value::List(items) => {
                Value::List(items.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => match entries.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => {
                    return self.call(name, argument);
                }
                _ => Value::Map(
                    entries
                        .iter()
                        .map(|(key, node)| Ok((key.clone(), self.resolve(node)?)))
                        .collect::<Result<_, SamError>>()?,
                ),
            },
        };
        Ok(Node { line: node.line, value })
    }

    fn call(&self, name: &str, argument: &Node) -> Result<Node, SamError> {
        let line = argument.line;
        let text = |text: String| Node { line, value: Value::Scalar { text, plain: false } };
        match name {
            "Ref" => self.reference(argument.text("Ref")?, line).map(text),
            "Fn::GetAtt" => self.attribute(argument).map(text),
            "Fn::Sub" => self.substitute(argument).map(text),
            "Fn::Join" => self.join(argument).map(text),
            "Fn::Split" => {
                let (separator, whole) = self.pair(name, argument)?;
                let parts = whole
                    .text(name)?
                    .split(separator.text(name)?)
                    .map(|part| text(part.to_owned()))
                    .collect();
                Ok(Node { line, value: Value::List(parts) })
            }
            "Fn::Select" => {
                let (index, list) = self.pair(name, argument)?;
                let index = usize::try_from(index.integer("the index of Fn::Select")?).unwrap_or(usize::MAX);
                let items = list.items("the list of Fn::Select")?;
                items.get(index).cloned().ok_or_else(|| {
                    SamError::at(
                        line,
                        format!("Fn::Select: there is no item {index} in a list of {}", items.len()),
                    )
                })
            }
            _ => Err(SamError::at(line, format!("the intrinsic function '{name}' is not supported yet"))),
        }
    }

    fn pair(&self, name: &str, argument: &Node) -> Result<(Node, Node), SamError> {
        match argument.items(name)? {
            [first, second] => Ok((self.resolve(first)?, self.resolve(second)?)),
            _ => Err(SamError::at(argument.line, format!("{name} takes a list of two"))),
        }
    }

    fn reference(&self, name: &str, line: usize) -> Result<String, SamError> {
        if let Some(value) = self.parameters.get(name).cloned().or_else(|| self.value(name, None)) {
            return Ok(value);
        }
        match name {
            "AWS::Region" => Ok(self.region.to_string()),
            "AWS::AccountId" => Ok(self.account.to_string()),
            "AWS::Partition" => Ok("aws".to_owned()),
            "AWS::URLSuffix" => Ok("amazonaws.com".to_owned()),
            "AWS::StackName" => Ok(self.stack.clone()),
            _ => Err(SamError::at(
                line,
                format!("'{name}' is no parameter, resource or pseudo parameter known here"),
            )),
        }
    }

    fn attribute(&self, argument: &Node) -> Result<String, SamError> {
        let whole = match &argument.value {
            Value::Scalar { text, .. } => text.clone(),
            _ => {
                let parts = argument.items("Fn::GetAtt")?.iter().map(|part| part.text("Fn::GetAtt"));
                parts.collect::<Result<Vec<_>, _>>()?.join(".")
            }
        };
        self.dotted(&whole).ok_or_else(|| {
            SamError::at(argument.line, format!("Fn::GetAtt of '{whole}' is not supported yet"))
        })
    }

    /// `Resource.Attribute`.
    fn dotted(&self, whole: &str) -> Option<String> {
        let (logical_id, attribute) = whole.split_once('.')?;
        self.value(logical_id, Some(attribute))
    }

    fn substitute(&self, argument: &Node) -> Result<String, SamError> {
        let (template, own) = match &argument.value {
            Value::Scalar { text, .. } => (text.clone(), Vec::new()),
            _ => match argument.items("Fn::Sub")? {
                [template, variables] => (
                    template.text("Fn::Sub")?.to_owned(),
                    self.resolve(variables)?.entries("the variables of Fn::Sub")?.to_vec(),
                ),
                _ => {
                    return Err(SamError::at(argument.line, "Fn::Sub takes a string, or a string and a map"));
                }
            },
        };
        let mut result = String::with_capacity(template.len());
        let mut rest = template.as_str();
        while let Some(start) = rest.find("${") {
            result.push_str(&rest[..start]);
            let Some(length) = rest[start..].find('}') else {
                return Err(SamError::at(argument.line, "Fn::Sub: a '${' without its '}'"));
            };
            let name = &rest[start + 2..start + length];
            result.push_str(&self.variable(name, &own, argument.line)?);
            rest = &rest[start + length + 1..];
        }
        result.push_str(rest);
        Ok(result)
    }

    fn variable(&self, name: &str, own: &[(String, Node)], line: usize) -> Result<String, SamError> {
        if let Some(literal) = name.strip_prefix('!') {
            return Ok(format!("${{{literal}}}"));
        }
        if let Some((_, node)) = own.iter().find(|(key, _)| key == name) {
            return node.text(name).map(str::to_owned);
        }
        if !name.contains('.') {
            return self.reference(name, line);
        }
        self.dotted(name)
            .ok_or_else(|| SamError::at(line, format!("Fn::Sub: '${{{name}}}' is not supported yet")))
    }

    fn join(&self, argument: &Node) -> Result<String, SamError> {
        let (separator, list) = self.pair("Fn::Join", argument)?;
        let parts = list.items("the list of Fn::Join")?;
        let texts =
            parts.iter().map(|part| part.text("a part of Fn::Join")).collect::<Result<Vec<_>, _>>()?;
        Ok(texts.join(separator.text("the delimiter of Fn::Join")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sam::resource::Kind;

    fn scope() -> Scope {
        Scope {
            account: AccountId::DEFAULT,
            region: Region::default(),
            stack: "demo".to_owned(),
            parameters: BTreeMap::from([("Stage".to_owned(), "dev".to_owned())]),
            targets: BTreeMap::from([
                ("Hello".to_owned(), Target { kind: Kind::Function, name: "demo-Hello".to_owned() }),
                ("Jobs".to_owned(), Target { kind: Kind::Queue, name: "jobs".to_owned() }),
                ("News".to_owned(), Target { kind: Kind::Topic, name: "news".to_owned() }),
            ]),
            known: Known::new(),
        }
    }

    fn resolved(yaml: &str) -> Result<serde_json::Value, SamError> {
        scope().resolve(&Node::parse(yaml).unwrap()).map(|node| node.to_json())
    }

    #[test]
    fn functions_of_the_template_language() {
        assert_eq!(resolved("!Ref Stage").unwrap(), "dev");
        assert_eq!(resolved("!Ref Hello").unwrap(), "demo-Hello");
        assert_eq!(resolved("!Sub '${Stage}-${AWS::Region}-${!Keep}'").unwrap(), "dev-us-east-1-${Keep}");
        assert_eq!(resolved("!Sub ['${A}/${Stage}', {A: !Ref AWS::AccountId}]").unwrap(), "000000000000/dev");
        assert_eq!(resolved("!Join ['-', [a, !Ref Stage]]").unwrap(), "a-dev");
        assert_eq!(resolved("!Select [1, !Split [',', 'x,y']]").unwrap(), "y");
        assert_eq!(
            resolved("!GetAtt Hello.Arn").unwrap(),
            "arn:aws:lambda:us-east-1:000000000000:function:demo-Hello"
        );
    }

    #[test]
    fn a_value_is_plausible_until_it_is_known() {
        assert_eq!(
            resolved("!Sub '${Jobs.Arn} ${Jobs.QueueName}'").unwrap(),
            "arn:aws:sqs:us-east-1:000000000000:jobs jobs"
        );
        assert_eq!(resolved("!Ref News").unwrap(), "arn:aws:sns:us-east-1:000000000000:news");
        assert_eq!(resolved("!GetAtt News.TopicName").unwrap(), "news");
        assert_eq!(resolved("!Ref Jobs").unwrap(), "http://localhost/000000000000/jobs");
        let known = Known::from([(("Jobs".to_owned(), None), "http://here:1/000000000000/jobs".to_owned())]);
        let scope = Scope { known, ..scope() };
        let node = Node::parse("[!Ref Jobs, !GetAtt Jobs.QueueUrl]").unwrap();
        let url = "http://here:1/000000000000/jobs";
        assert_eq!(scope.resolve(&node).unwrap().to_json(), serde_json::json!([url, url]));
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(resolved("!Ref Nope").unwrap_err().to_string().contains("'Nope'"));
        assert!(resolved("!ImportValue x").unwrap_err().to_string().contains("Fn::ImportValue"));
        assert!(resolved("!Sub '${Hello.Url}'").unwrap_err().to_string().contains("Hello.Url"));
    }
}
