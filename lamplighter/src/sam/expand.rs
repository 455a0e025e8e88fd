//! From a template's resources to those that are brought up: an `AWS::Serverless::Function` becomes a function, its
//! role, its URL, and what feeds it; other types stay as they are.
//!
//! It looks at the form only: intrinsic functions are resolved later. The parts of a function are named as SAM names
//! them, so that a template can refer to them (`HelloRole`, `HelloUrl`).
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources-function.html>

use std::collections::BTreeSet;

use super::SamError;
use super::events;
use super::node::{Node, Value};
use super::policies;
use super::resource::{Kind, Resource, SUPPORTED_TYPES};

/// The one type that becomes several resources.
const FUNCTION: &str = "AWS::Serverless::Function";

/// All resources of a template.
///
/// # Errors
/// A type, an attribute or an event that is not supported, with its line.
pub(crate) fn expand(
    section: &[(String, Node)],
    globals: &[(String, Node)],
) -> Result<Vec<Resource>, SamError> {
    let mut resources = Vec::new();
    for (logical_id, node) in section {
        let declared = Declared::read(logical_id, node)?;
        match declared.kind {
            Some(kind) => resources.push(declared.resource(kind, declared.properties.clone())),
            None => function(&declared, globals, &mut resources)?,
        }
    }
    let mut names = BTreeSet::new();
    match resources.iter().find(|resource| !names.insert(resource.logical_id.as_str())) {
        Some(twice) => Err(SamError::at(
            twice.line,
            format!("'{}' stands for two resources, one of which is made for a function", twice.logical_id),
        )),
        None => Ok(resources),
    }
}

/// A resource as it stands in the template.
struct Declared<'a> {
    logical_id: &'a str,
    line: usize,
    /// `None`: a function, which is expanded.
    kind: Option<Kind>,
    properties: Node,
    depends_on: Vec<(String, usize)>,
    metadata: Option<Node>,
}

impl<'a> Declared<'a> {
    fn read(logical_id: &'a str, node: &Node) -> Result<Self, SamError> {
        let line = node.line;
        let missing = || SamError::at(line, format!("the resource '{logical_id}' has no 'Type'"));
        let mut declared = Declared {
            logical_id,
            line,
            kind: kind_of(logical_id, node.get("Type").ok_or_else(missing)?)?,
            properties: Node { line, value: Value::Map(Vec::new()) },
            depends_on: Vec::new(),
            metadata: None,
        };
        for (key, node) in node.entries(logical_id)? {
            match key.as_str() {
                "Type" => {}
                "Properties" => {
                    let entries = node.entries("Properties")?.to_vec();
                    declared.properties = Node { line: node.line, value: Value::Map(entries) };
                }
                "DependsOn" => declared.depends_on = names(node)?,
                "Metadata" => declared.metadata = Some(node.clone()),
                other => {
                    return Err(SamError::at(
                        node.line,
                        format!("'{other}' of '{logical_id}' is not supported yet"),
                    ));
                }
            }
        }
        Ok(declared)
    }

    fn resource(&self, kind: Kind, properties: Node) -> Resource {
        Resource {
            logical_id: self.logical_id.to_owned(),
            kind,
            line: self.line,
            properties,
            depends_on: self.depends_on.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

fn kind_of(logical_id: &str, node: &Node) -> Result<Option<Kind>, SamError> {
    match node.text("Type")? {
        FUNCTION => Ok(None),
        other => Kind::of_type(other).map(Some).ok_or_else(|| {
            SamError::at(
                node.line,
                format!(
                    "the resource type '{other}' ({logical_id}) is not supported yet; supported: {SUPPORTED_TYPES}"
                ),
            )
        }),
    }
}

fn names(node: &Node) -> Result<Vec<(String, usize)>, SamError> {
    let single = std::slice::from_ref(node);
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => single,
    };
    items.iter().map(|item| Ok((item.text("DependsOn")?.to_owned(), item.line))).collect()
}

/// What a function's execution role is made from.
#[derive(Default)]
pub(super) struct RoleParts {
    /// ARNs or names of managed policies.
    pub(super) managed: Vec<Node>,
    /// Policy documents.
    pub(super) inline: Vec<Node>,
}

/// A function that is expanded.
pub(super) struct FunctionParts<'a> {
    pub(super) logical_id: &'a str,
    pub(super) line: usize,
    /// `AutoPublishAlias`: what feeds the function feeds the alias then.
    pub(super) alias: Option<Node>,
    pub(super) role: RoleParts,
    /// Those made for it so far.
    pub(super) made: Vec<Resource>,
}

impl FunctionParts<'_> {
    /// What events go to: the function, or its alias.
    pub(super) fn target_arn(&self) -> Node {
        let own = get_att(self.line, self.logical_id, "Arn");
        match &self.alias {
            None => own,
            Some(alias) => sub(self.line, "${Arn}:${Alias}", [("Arn", own), ("Alias", alias.clone())]),
        }
    }

    pub(super) fn make(&mut self, logical_id: String, kind: Kind, properties: Node) {
        self.made.push(Resource::made(logical_id, kind, properties));
    }
}

fn function(
    declared: &Declared<'_>,
    globals: &[(String, Node)],
    resources: &mut Vec<Resource>,
) -> Result<(), SamError> {
    let (logical_id, line) = (declared.logical_id, declared.line);
    let merged = merged(globals, declared.properties.entries("Properties")?);
    let alias = merged.iter().find(|(key, _)| key == "AutoPublishAlias").map(|(_, node)| node.clone());
    let mut parts = FunctionParts { logical_id, line, alias, role: RoleParts::default(), made: Vec::new() };
    let mut own = Vec::new();
    for (key, node) in merged {
        match key.as_str() {
            "Events" => events::expand(&mut parts, &node)?,
            "EventInvokeConfig" => events::invoke_config(&mut parts, &node)?,
            "DeadLetterQueue" => {
                own.push(("DeadLetterConfig".to_owned(), events::dead_letters(&mut parts, &node)?));
            }
            "Policies" => policies::read(&mut parts.role, &node)?,
            "FunctionUrlConfig" => url(&mut parts, &node)?,
            _ => own.push((key, node)),
        }
    }
    if !own.iter().any(|(key, _)| key == "Role") {
        let role = format!("{logical_id}Role");
        own.push(("Role".to_owned(), get_att(line, &role, "Arn")));
        let RoleParts { mut managed, inline } = std::mem::take(&mut parts.role);
        managed.insert(0, Node::scalar(line, policies::BASIC_EXECUTION));
        let properties = Node::map(
            line,
            [("ManagedPolicyArns", Node::list(line, managed)), ("Policies", Node::list(line, inline))],
        );
        parts.make(role, Kind::Role, properties);
    }
    let properties = Node { line: declared.properties.line, value: Value::Map(own) };
    resources.push(declared.resource(Kind::Function, properties));
    resources.append(&mut parts.made);
    Ok(())
}

fn url(parts: &mut FunctionParts<'_>, node: &Node) -> Result<(), SamError> {
    let mut entries = node.entries("FunctionUrlConfig")?.to_vec();
    entries.push(("FunctionName".to_owned(), reference(node.line, parts.logical_id)));
    if let Some(alias) = &parts.alias {
        entries.push(("Qualifier".to_owned(), alias.clone()));
    }
    let properties = Node { line: node.line, value: Value::Map(entries) };
    parts.make(format!("{}Url", parts.logical_id), Kind::Url, properties);
    Ok(())
}

/// `Ref`.
pub(super) fn reference(line: usize, logical_id: &str) -> Node {
    Node::map(line, [("Ref", Node::scalar(line, logical_id))])
}

/// `Fn::GetAtt`.
pub(super) fn get_att(line: usize, logical_id: &str, attribute: &str) -> Node {
    let parts = vec![Node::scalar(line, logical_id), Node::scalar(line, attribute)];
    Node::map(line, [("Fn::GetAtt", Node::list(line, parts))])
}

/// `Fn::Sub` with variables of its own.
pub(super) fn sub<const N: usize>(line: usize, template: &str, own: [(&str, Node); N]) -> Node {
    let parts = vec![Node::scalar(line, template), Node::map(line, own)];
    Node::map(line, [("Fn::Sub", Node::list(line, parts))])
}

/// The function's own properties over the globals; maps are merged, a list or scalar is replaced.
fn merged(globals: &[(String, Node)], own: &[(String, Node)]) -> Vec<(String, Node)> {
    let mut result = own.to_vec();
    for (key, global) in globals {
        match result.iter_mut().find(|(known, _)| known == key) {
            Some((_, node)) => merge_maps(node, global),
            None => result.push((key.clone(), global.clone())),
        }
    }
    // A function's CodeUri replaces an InlineCode of the globals and the other way round.
    let has = |name: &str| own.iter().any(|(key, _)| key == name);
    let (own_uri, own_inline) = (has("CodeUri"), has("InlineCode"));
    result.retain(|(key, _)| !(key == "InlineCode" && own_uri || key == "CodeUri" && own_inline));
    result
}

fn merge_maps(own: &mut Node, global: &Node) {
    // What an intrinsic function stands for is one value.
    if own.intrinsic().is_some() || global.intrinsic().is_some() {
        return;
    }
    let (Value::Map(own), Value::Map(global)) = (&mut own.value, &global.value) else { return };
    for (key, node) in global {
        match own.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => merge_maps(known, node),
            None => own.push((key.clone(), node.clone())),
        }
    }
}
