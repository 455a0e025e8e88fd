//! `AWS::Serverless::LayerVersion`: a folder that becomes a layer, published again when its content changed.
//!
//! A template names a layer by `Ref`, which stands for the ARN of a version: it is not known before the layer is
//! published. Until then [`placeholder`] stands in its place; [`filled`] puts the ARN there.
//!
//! Versions are never deleted here, whatever `RetentionPolicy` says: nothing is. A layer is packaged as it lies there
//! (`Metadata.BuildMethod` is refused).
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-layerversion.html>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wire::Blob;

use super::SamError;
use super::intrinsics::Scope;
use super::node::Node;

/// The resource's type.
pub(super) const TYPE: &str = "AWS::Serverless::LayerVersion";

/// A layer as its template describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerSpec {
    pub(crate) logical_id: String,
    pub(crate) name: String,
    /// A folder, or a `.zip` to take as it is.
    pub(crate) content: PathBuf,
    description: String,
    license: Option<String>,
    runtimes: Vec<String>,
    architectures: Vec<String>,
}

/// Before and after the logical id in a placeholder: characters that no template's text has.
const MARKS: [char; 2] = ['\u{3}', '\u{4}'];

/// What stands for the ARN of a layer's version.
pub(super) fn placeholder(logical_id: &str) -> String {
    format!("{}{logical_id}{}", MARKS[0], MARKS[1])
}

/// The text with its placeholders filled in.
pub(crate) fn filled(text: &str, arns: &BTreeMap<String, String>) -> String {
    arns.iter().fold(text.to_owned(), |text, (logical_id, arn)| text.replace(&placeholder(logical_id), arn))
}

/// Whether a resource is a layer.
pub(super) fn is_layer(resource: &Node) -> bool {
    let kind = resource.entries("").ok().and_then(|entries| entries.iter().find(|(key, _)| key == "Type"));
    kind.is_some_and(|(_, kind)| kind.text("Type").is_ok_and(|kind| kind == TYPE))
}

/// Reads one resource.
pub(super) fn read(
    logical_id: &str,
    resource: &Node,
    scope: &Scope,
    folder: &Path,
) -> Result<LayerSpec, SamError> {
    let (mut name, mut content) = (logical_id.to_owned(), None);
    let (mut description, mut license) = (String::new(), None);
    let (mut runtimes, mut architectures) = (Vec::new(), Vec::new());
    let refuse = |line, what: &str| {
        Err(SamError::at(line, format!("{what} of the layer '{logical_id}' is not supported yet")))
    };
    for (key, node) in resource.entries(logical_id)? {
        match key.as_str() {
            "Type" => {}
            "Properties" => {
                for (key, node) in scope.resolve(node)?.entries("Properties")? {
                    match key.as_str() {
                        "LayerName" => name = node.text(key)?.to_owned(),
                        "ContentUri" => content = Some(folder.join(node.text(key)?)),
                        "Description" => description = node.text(key)?.to_owned(),
                        "LicenseInfo" => license = Some(node.text(key)?.to_owned()),
                        "CompatibleRuntimes" => runtimes = texts(node, key)?,
                        "CompatibleArchitectures" => architectures = texts(node, key)?,
                        // Nothing is deleted here, so each of its values is kept to.
                        "RetentionPolicy" => {}
                        other => return refuse(node.line, &format!("the property '{other}'")),
                    }
                }
            }
            other => return refuse(node.line, &format!("'{other}'")),
        }
    }
    let content = content.ok_or_else(|| {
        SamError::at(resource.line, format!("the layer '{logical_id}' has no 'ContentUri'"))
    })?;
    let logical_id = logical_id.to_owned();
    Ok(LayerSpec { logical_id, name, content, description, license, runtimes, architectures })
}

/// A list of texts.
pub(super) fn texts(node: &Node, name: &str) -> Result<Vec<String>, SamError> {
    node.items(name)?.iter().map(|item| item.text(name).map(str::to_owned)).collect()
}

/// The ARN of the layer's newest version, if it has one.
///
/// # Errors
/// What Lambda says.
pub(crate) async fn newest(call: &Call, spec: &LayerSpec) -> Result<Option<String>, ApiError> {
    Ok(newest_item(call, spec).await?.map(|item| item.layer_version_arn))
}

/// Publishes the layer if its newest version is another; the ARN of what is the newest then, and whether it is new.
///
/// # Errors
/// What Lambda says of the layer.
pub(crate) async fn deploy(
    call: &Call,
    spec: &LayerSpec,
    package: Bytes,
) -> Result<(String, bool), ApiError> {
    let lambda = call.service("lambda");
    if let Some(newest) = newest_item(call, spec).await?
        && spec.is(&newest)
    {
        let named = Version { layer_name: &spec.name, version_number: newest.version };
        let found: Found = lambda.invoke("GetLayerVersion", &named).await?;
        if found.content.code_sha256 == STANDARD.encode(Sha256::digest(&package)) {
            return Ok((newest.layer_version_arn, false));
        }
    }
    let publish = Publish {
        layer_name: &spec.name,
        description: &spec.description,
        license_info: spec.license.as_deref(),
        compatible_runtimes: &spec.runtimes,
        compatible_architectures: &spec.architectures,
        content: Content { zip_file: Blob(package) },
    };
    let item: Item = lambda.invoke("PublishLayerVersion", &publish).await?;
    Ok((item.layer_version_arn, true))
}

async fn newest_item(call: &Call, spec: &LayerSpec) -> Result<Option<Item>, ApiError> {
    let list = List { layer_name: &spec.name, max_items: 1 };
    let mut found: Listed = call.service("lambda").invoke("ListLayerVersions", &list).await?;
    Ok(found.layer_versions.pop())
}

impl LayerSpec {
    fn is(&self, item: &Item) -> bool {
        item.description.as_deref().unwrap_or_default() == self.description
            && item.license_info == self.license
            && item.compatible_runtimes == self.runtimes
            && item.compatible_architectures == self.architectures
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    layer_name: &'a str,
    max_items: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version<'a> {
    layer_name: &'a str,
    version_number: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Publish<'a> {
    layer_name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<&'a str>,
    compatible_runtimes: &'a [String],
    compatible_architectures: &'a [String],
    content: Content,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    zip_file: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    layer_versions: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    layer_version_arn: String,
    version: i64,
    description: Option<String>,
    license_info: Option<String>,
    #[serde(default)]
    compatible_runtimes: Vec<String>,
    #[serde(default)]
    compatible_architectures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    content: FoundContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FoundContent {
    code_sha256: String,
}
