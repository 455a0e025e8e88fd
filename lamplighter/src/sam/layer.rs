//! `AWS::Serverless::LayerVersion`: a folder that becomes a layer, published again when its content changed.
//!
//! Versions are never deleted here, whatever `RetentionPolicy` says: nothing is. A layer is packaged as it lies there
//! (`Metadata.BuildMethod` is refused).
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-layerversion.html>.

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
use super::node::Node;

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

/// Reads a layer whose properties are resolved.
pub(super) fn read(
    logical_id: &str,
    metadata: Option<&Node>,
    properties: &Node,
    folder: &Path,
) -> Result<LayerSpec, SamError> {
    let (mut name, mut content) = (logical_id.to_owned(), None);
    let (mut description, mut license) = (String::new(), None);
    let (mut runtimes, mut architectures) = (Vec::new(), Vec::new());
    let refuse = |line, what: &str| {
        Err(SamError::at(line, format!("{what} of the layer '{logical_id}' is not supported yet")))
    };
    if let Some(method) = metadata.and_then(|metadata| metadata.get("BuildMethod")) {
        return refuse(method.line, "'Metadata.BuildMethod'");
    }
    for (key, node) in properties.entries("Properties")? {
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
    let content = content.ok_or_else(|| {
        SamError::at(properties.line, format!("the layer '{logical_id}' has no 'ContentUri'"))
    })?;
    let logical_id = logical_id.to_owned();
    Ok(LayerSpec { logical_id, name, content, description, license, runtimes, architectures })
}

/// A list of texts.
pub(super) fn texts(node: &Node, name: &str) -> Result<Vec<String>, SamError> {
    node.items(name)?.iter().map(|item| item.text(name).map(str::to_owned)).collect()
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
