//! One `AWS::Serverless::Function`: its properties, with the globals merged in, as a typed specification.
//!
//! Values are not judged here: what Lambda itself checks (memory, time-outs, names) is left to CreateFunction, so
//! that a template gets the very error that AWS gives.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::SamError;
use super::alias::AutoPublish;
use super::intrinsics::Scope;
use super::layer;
use super::node::{Node, Value};
use super::url::{self, UrlSpec};

/// A function as its template describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FunctionSpec {
    pub(crate) logical_id: String,
    /// The function's name in Lambda.
    pub(crate) name: String,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) code: Code,
    pub(crate) build: Option<BuildMethod>,
    pub(crate) role: Role,
    pub(crate) description: Option<String>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) timeout_s: Option<i64>,
    pub(crate) tmp_mib: Option<i64>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) tags: BTreeMap<String, String>,
    /// ARNs of layer versions, or what stands for those of the template's own layers.
    pub(crate) layers: Vec<String>,
    pub(crate) publish: AutoPublish,
    /// `FunctionUrlConfig`.
    pub(crate) url: Option<UrlSpec>,
}

/// Where a function's code is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Code {
    /// A folder to build and package, or a `.zip` to take as it is.
    Path(PathBuf),
    /// `InlineCode`.
    Inline(String),
}

impl Code {
    /// The folder or file, unless the code is in the template.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Code::Path(path) => Some(path),
            Code::Inline(_) => None,
        }
    }
}

/// `Metadata.BuildMethod`, where the runtime's own is not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildMethod {
    /// `make build-<LogicalId>` with `ARTIFACTS_DIR`.
    Makefile,
    /// `cargo build --release`; the binary becomes `bootstrap`.
    CargoLambda,
}

/// The function's execution role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Role {
    /// One that exists.
    Arn(String),
    /// One made for this function, `<stack>-<LogicalId>Role`.
    Own {
        name: String,
        /// ARNs of managed policies.
        managed: Vec<String>,
        /// Policy documents, as JSON text.
        inline: Vec<String>,
    },
}

/// The function's name: its `FunctionName`, or `<stack>-<LogicalId>`.
pub(crate) fn physical_name(logical_id: &str, resource: &Node, scope: &Scope) -> Result<String, SamError> {
    let properties = resource.entries(logical_id)?.iter().find(|(key, _)| key == "Properties");
    let own = match properties {
        Some((_, node)) => node.entries("Properties")?.iter().find(|(key, _)| key == "FunctionName"),
        None => None,
    };
    match own {
        Some((_, node)) => Ok(scope.resolve(node)?.text("FunctionName")?.to_owned()),
        None => Ok(format!("{}-{logical_id}", scope.stack)),
    }
}

/// Reads one resource.
pub(crate) fn read(
    logical_id: &str,
    resource: &Node,
    globals: &[(String, Node)],
    scope: &Scope,
    folder: &Path,
) -> Result<FunctionSpec, SamError> {
    let mut properties = Vec::new();
    let mut build = None;
    for (key, node) in resource.entries(logical_id)? {
        match key.as_str() {
            "Type" => {}
            "Properties" => properties = scope.resolve(node)?.entries("Properties")?.to_vec(),
            "Metadata" => build = build_method(node)?,
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("'{other}' of '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    let mut code = None;
    let mut spec = FunctionSpec {
        logical_id: logical_id.to_owned(),
        name: scope.functions[logical_id].clone(),
        runtime: None,
        handler: None,
        code: Code::Path(folder.to_owned()),
        build,
        role: own_role(logical_id, scope),
        description: None,
        memory_mib: None,
        timeout_s: None,
        tmp_mib: None,
        environment: BTreeMap::new(),
        architectures: None,
        tags: BTreeMap::new(),
        layers: Vec::new(),
        publish: AutoPublish::default(),
        url: None,
    };
    for (key, node) in merged(globals, &properties) {
        match key.as_str() {
            "CodeUri" => code = Some(Code::Path(folder.join(node.text("CodeUri")?))),
            "InlineCode" => code = Some(Code::Inline(node.text("InlineCode")?.to_owned())),
            _ => spec.set(&key, &node)?,
        }
    }
    spec.code = code.ok_or_else(|| {
        SamError::at(resource.line, format!("'{logical_id}' has neither 'CodeUri' nor 'InlineCode'"))
    })?;
    Ok(spec)
}

impl FunctionSpec {
    fn set(&mut self, key: &str, node: &Node) -> Result<(), SamError> {
        let text = || node.text(key).map(|text| Some(text.to_owned()));
        match key {
            "FunctionName" => {}
            "Runtime" => self.runtime = text()?,
            "Handler" => self.handler = text()?,
            "Description" => self.description = text()?,
            "MemorySize" => self.memory_mib = Some(node.integer(key)?),
            "Timeout" => self.timeout_s = Some(node.integer(key)?),
            "EphemeralStorage" => self.tmp_mib = Some(only(node, key, "Size")?.integer("Size")?),
            "Environment" => self.environment = strings(only(node, key, "Variables")?, "Variables")?,
            "Layers" => self.layers = layer::texts(node, key)?,
            "Tags" => self.tags = strings(node, key)?,
            "Architectures" => {
                let items = node.items(key)?.iter().map(|item| item.text(key).map(str::to_owned));
                self.architectures = Some(items.collect::<Result<_, _>>()?);
            }
            "PackageType" if node.text(key)? == "Zip" => {}
            "Tracing" if node.text(key)? == "PassThrough" => {}
            "FunctionUrlConfig" => self.url = Some(url::read(node)?),
            "AutoPublishAlias" => self.publish.alias = text()?,
            "AutoPublishAliasAllProperties" => self.publish.all_properties = truth(node, key)?,
            "VersionDescription" => self.publish.description = text()?,
            "Role" => self.role = Role::Arn(node.text(key)?.to_owned()),
            "Policies" => self.add_policies(node)?,
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of '{}' is not supported yet", self.logical_id),
                ));
            }
        }
        Ok(())
    }

    fn add_policies(&mut self, node: &Node) -> Result<(), SamError> {
        let single = [node.clone()];
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => &single,
        };
        // A role that is given by ARN wins over policies, as in SAM.
        let Role::Own { managed, inline, .. } = &mut self.role else { return Ok(()) };
        for item in items {
            match &item.value {
                Value::Scalar { text, .. } if text.starts_with("arn:") => managed.push(text.clone()),
                Value::Scalar { text, .. } => managed.push(format!("arn:aws:iam::aws:policy/{text}")),
                Value::Map(entries) if entries.iter().any(|(key, _)| key == "Statement") => {
                    inline.push(policy_document(item));
                }
                Value::Map(entries) => {
                    let name = entries.first().map_or("{}", |(key, _)| key.as_str());
                    return Err(SamError::at(
                        item.line,
                        format!(
                            "the policy template '{name}' is not supported yet; write its statements out"
                        ),
                    ));
                }
                Value::List(_) => return Err(SamError::at(item.line, "a policy cannot be a list")),
            }
        }
        Ok(())
    }
}

fn policy_document(item: &Node) -> String {
    let mut document = item.to_json();
    if let Some(map) = document.as_object_mut() {
        map.entry("Version").or_insert_with(|| "2012-10-17".into());
    }
    document.to_string()
}

fn own_role(logical_id: &str, scope: &Scope) -> Role {
    let mut name = format!("{}-{logical_id}Role", scope.stack);
    name.truncate(64);
    let basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole".to_owned();
    Role::Own { name, managed: vec![basic], inline: Vec::new() }
}

fn build_method(node: &Node) -> Result<Option<BuildMethod>, SamError> {
    let entries = node.entries("Metadata")?;
    let Some((_, method)) = entries.iter().find(|(key, _)| key == "BuildMethod") else { return Ok(None) };
    match method.text("BuildMethod")? {
        "makefile" => Ok(Some(BuildMethod::Makefile)),
        "rust-cargolambda" => Ok(Some(BuildMethod::CargoLambda)),
        python_or_node if python_or_node.starts_with("python") || python_or_node.starts_with("nodejs") => {
            Ok(None)
        }
        other => Err(SamError::at(
            method.line,
            format!("the BuildMethod '{other}' is not supported yet; supported: makefile, rust-cargolambda"),
        )),
    }
}

/// The function's own properties over the globals; `Environment` and `Tags` are merged, a list or scalar is replaced.
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
    let (Value::Map(own), Value::Map(global)) = (&mut own.value, &global.value) else { return };
    for (key, node) in global {
        match own.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => merge_maps(known, node),
            None => own.push((key.clone(), node.clone())),
        }
    }
}

/// The value of a map's one key; another key is refused by name.
fn only<'a>(node: &'a Node, what: &str, key: &str) -> Result<&'a Node, SamError> {
    match node.entries(what)? {
        [(name, value)] if name == key => Ok(value),
        entries => match entries.iter().find(|(name, _)| name != key) {
            Some((other, value)) => {
                Err(SamError::at(value.line, format!("'{what}.{other}' is not supported yet")))
            }
            None => Err(SamError::at(node.line, format!("'{what}' has no '{key}'"))),
        },
    }
}

fn truth(node: &Node, what: &str) -> Result<bool, SamError> {
    match node.text(what)?.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(SamError::at(node.line, format!("{what} must be true or false, got '{other}'"))),
    }
}

fn strings(node: &Node, what: &str) -> Result<BTreeMap<String, String>, SamError> {
    node.entries(what)?.iter().map(|(key, node)| Ok((key.clone(), node.text(key)?.to_owned()))).collect()
}
