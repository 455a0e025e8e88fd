//! A function: its properties, with the globals merged in, as a typed specification.
//!
//! Its role, its URL and what feeds it are resources of their own (`expand.rs`).
//!
//! Values are not judged here: what Lambda itself checks (memory, time-outs, names) is left to CreateFunction, so
//! that a template gets the very error that AWS gives.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::SamError;
use super::alias::AutoPublish;
use super::layer;
use super::node::Node;

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
    /// The ARN of its execution role.
    pub(crate) role: String,
    pub(crate) description: Option<String>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) timeout_s: Option<i64>,
    pub(crate) tmp_mib: Option<i64>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) tags: BTreeMap<String, String>,
    /// ARNs of layer versions.
    pub(crate) layers: Vec<String>,
    pub(crate) publish: AutoPublish,
    /// `DeadLetterConfig.TargetArn`.
    pub(crate) dead_letter_arn: Option<String>,
    /// `SnapStart.ApplyOn`.
    pub(crate) snap_start: Option<String>,
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

/// Reads a function whose properties are resolved.
pub(crate) fn read(
    logical_id: &str,
    name: &str,
    metadata: Option<&Node>,
    properties: &Node,
    folder: &Path,
) -> Result<FunctionSpec, SamError> {
    let mut code = None;
    let mut spec = FunctionSpec {
        logical_id: logical_id.to_owned(),
        name: name.to_owned(),
        runtime: None,
        handler: None,
        code: Code::Path(folder.to_owned()),
        build: metadata.map(build_method).transpose()?.flatten(),
        role: String::new(),
        description: None,
        memory_mib: None,
        timeout_s: None,
        tmp_mib: None,
        environment: BTreeMap::new(),
        architectures: None,
        tags: BTreeMap::new(),
        layers: Vec::new(),
        publish: AutoPublish::default(),
        dead_letter_arn: None,
        snap_start: None,
    };
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "CodeUri" => code = Some(Code::Path(folder.join(node.text("CodeUri")?))),
            "InlineCode" => code = Some(Code::Inline(node.text("InlineCode")?.to_owned())),
            _ => spec.set(key, node)?,
        }
    }
    spec.code = code.ok_or_else(|| {
        SamError::at(properties.line, format!("'{logical_id}' has neither 'CodeUri' nor 'InlineCode'"))
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
            "DeadLetterConfig" => {
                self.dead_letter_arn = Some(only(node, key, "TargetArn")?.text("TargetArn")?.to_owned());
            }
            "SnapStart" => self.snap_start = Some(only(node, key, "ApplyOn")?.text("ApplyOn")?.to_owned()),
            "AutoPublishAlias" => self.publish.alias = text()?,
            "AutoPublishAliasAllProperties" => self.publish.all_properties = node.truth(key)?,
            "VersionDescription" => self.publish.description = text()?,
            "Role" => node.text(key)?.clone_into(&mut self.role),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of '{}' is not supported yet", self.logical_id),
                ));
            }
        }
        Ok(())
    }
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

fn strings(node: &Node, what: &str) -> Result<BTreeMap<String, String>, SamError> {
    node.entries(what)?.iter().map(|(key, node)| Ok((key.clone(), node.text(key)?.to_owned()))).collect()
}
