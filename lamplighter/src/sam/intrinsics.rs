//! `Ref`, `Fn::Sub`, `Fn::Join`, `Fn::Select`, `Fn::Split`, `Fn::GetAtt`: resolved while a template is read.
//!
//! Known are the parameters, the pseudo parameters and the functions of the template itself. Conditions, mappings
//! and imports are refused by name.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html>

use std::collections::{BTreeMap, BTreeSet};

use base::{AccountId, Arn, Region};

use super::SamError;
use super::layer;
use super::node::{Node, Value};
use super::url::placeholder;

/// What names in the template stand for.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) stack: String,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Logical id to physical name of the template's functions.
    pub(crate) functions: BTreeMap<String, String>,
    /// Logical ids of the template's layers.
    pub(crate) layers: BTreeSet<String>,
    /// Logical ids of the functions whose URL may be named: none while the functions themselves are read.
    pub(crate) with_url: BTreeSet<String>,
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
        if let Some(value) = self.parameters.get(name).or_else(|| self.functions.get(name)) {
            return Ok(value.clone());
        }
        if self.layers.contains(name) {
            return Ok(layer::placeholder(name));
        }
        match name {
            "AWS::Region" => Ok(self.region.to_string()),
            "AWS::AccountId" => Ok(self.account.to_string()),
            "AWS::Partition" => Ok("aws".to_owned()),
            "AWS::URLSuffix" => Ok("amazonaws.com".to_owned()),
            "AWS::StackName" => Ok(self.stack.clone()),
            _ => Err(SamError::at(
                line,
                format!("'{name}' is no parameter, function, layer or pseudo parameter known here"),
            )),
        }
    }

    fn attribute(&self, argument: &Node) -> Result<String, SamError> {
        let parts: Vec<&str> = match &argument.value {
            Value::Scalar { text, .. } => text.splitn(2, '.').collect(),
            _ => argument
                .items("Fn::GetAtt")?
                .iter()
                .map(|part| part.text("Fn::GetAtt"))
                .collect::<Result<_, _>>()?,
        };
        match parts.as_slice() {
            [url, "FunctionUrl"]
                if url.strip_suffix("Url").is_some_and(|name| self.with_url.contains(name)) =>
            {
                Ok(placeholder(url.strip_suffix("Url").unwrap_or_default()))
            }
            [function, "Arn"] if self.functions.contains_key(*function) => Ok(self.function_arn(function)),
            _ => Err(SamError::at(
                argument.line,
                format!(
                    "Fn::GetAtt of '{}' is not supported yet (a function's Arn is; in outputs the FunctionUrl of its URL, too)",
                    parts.join(".")
                ),
            )),
        }
    }

    fn function_arn(&self, logical_id: &str) -> String {
        let name = &self.functions[logical_id];
        Arn::regional("lambda", &self.region, self.account, format!("function:{name}")).to_string()
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
        match name.split_once('.') {
            Some((function, "Arn")) if self.functions.contains_key(function) => {
                Ok(self.function_arn(function))
            }
            Some(_) => Err(SamError::at(line, format!("Fn::Sub: '${{{name}}}' is not supported yet"))),
            None => self.reference(name, line),
        }
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

    fn scope() -> Scope {
        Scope {
            account: AccountId::DEFAULT,
            region: Region::default(),
            stack: "demo".to_owned(),
            parameters: BTreeMap::from([("Stage".to_owned(), "dev".to_owned())]),
            functions: BTreeMap::from([("Hello".to_owned(), "demo-Hello".to_owned())]),
            layers: BTreeSet::new(),
            with_url: BTreeSet::new(),
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
    fn what_is_not_known_is_named() {
        assert!(resolved("!Ref Nope").unwrap_err().to_string().contains("'Nope'"));
        assert!(resolved("!ImportValue x").unwrap_err().to_string().contains("Fn::ImportValue"));
        assert!(resolved("!Sub '${Hello.Url}'").unwrap_err().to_string().contains("Hello.Url"));
    }
}
