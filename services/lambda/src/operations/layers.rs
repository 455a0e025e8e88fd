//! PublishLayerVersion, ListLayers, ListLayerVersions, GetLayerVersion, GetLayerVersionByArn and DeleteLayerVersion.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListLayerVersions.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetLayerVersion.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::page::{self, page_size};
use super::shapes::last_modified;
use super::tags::Nothing;
use crate::Lambda;
use crate::error::LambdaError;
use crate::function::{Architecture, FunctionConfig};
use crate::layers::{Filter, LayerId, LayerVersion, LayerVersionId, denied};
use crate::name::LATEST;

/// Runtimes that the API knows besides those that a function may name here.
const MORE_RUNTIMES: [&str; 7] = [
    "nodejs4.3-edge",
    "nodejs26.x",
    "python3.15",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
    "custom",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishLayerVersionRequest {
    layer_name: String,
    description: Option<String>,
    content: LayerVersionContentInput,
    compatible_architectures: Option<Vec<String>>,
    compatible_runtimes: Option<Vec<String>>,
    license_info: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LayerVersionContentInput {
    #[serde(rename = "S3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "S3Key")]
    s3_key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    s3_object_version: Option<String>,
    zip_file: Option<wire::Blob>,
}

/// A layer version with its content, as Publish and Get answer it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersionResponse {
    content: LayerVersionContentOutput,
    layer_arn: String,
    #[serde(flatten)]
    item: LayerVersionsListItem,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerVersionContentOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    code_sha256: String,
    code_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerVersionsListItem {
    layer_version_arn: String,
    version: u64,
    description: String,
    created_date: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compatible_architectures: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compatible_runtimes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<String>,
}

/// Publishes a version of a layer, and gives it to the functions that follow the layer.
pub(crate) async fn publish_layer_version(
    lambda: Arc<Lambda>,
    call: Call,
    request: PublishLayerVersionRequest,
) -> Result<LayerVersionResponse, LambdaError> {
    const OPERATION: &str = "PublishLayerVersion";
    let layer = own_layer(&call, OPERATION, &request.layer_name)?;
    check_compatible(request.compatible_runtimes.as_deref(), request.compatible_architectures.as_deref())?;
    let content = request.content;
    let s3 = content.s3_bucket.or(content.s3_key).or(content.s3_object_version);
    let zip = match (content.zip_file, s3) {
        (Some(zip), None) => zip.0,
        (Some(_), Some(_)) => {
            return Err(LambdaError::InvalidParameter(
                "Please do not provide other Content parameters when providing a ZipFile.".to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(LambdaError::Unsupported {
                parameter: "Content.S3Bucket",
                operation: OPERATION,
                why: "send the content in ZipFile, up to 50 MB".to_owned(),
            });
        }
        (None, None) => {
            return Err(LambdaError::InvalidParameter(
                "Please provide a source for layer content.".to_owned(),
            ));
        }
    };
    let package = lambda.packages.add(zip).await?;
    let version = LayerVersion {
        description: request.description.unwrap_or_default(),
        license: request.license_info,
        runtimes: request.compatible_runtimes.unwrap_or_default(),
        architectures: request.compatible_architectures.unwrap_or_default(),
        content: package.record(),
        created_at: lambda.clock.now(),
    };
    let (id, refreshed) = lambda.functions.publish_layer(&layer, version.clone()).await?;
    for (target, record) in refreshed {
        lambda.invoker.retire(&FunctionConfig::key_of(&target.arn(), LATEST), record.generation);
        tracing::info!(function = %target.arn(), layer = %id, "function follows its layer");
    }
    tracing::info!(layer = %id, "layer version published");
    Ok(shown(&lambda, &id, version))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetLayerVersionRequest {
    layer_name: String,
    version_number: i64,
}

/// A layer version, with the address of its content.
pub(crate) async fn get_layer_version(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetLayerVersionRequest,
) -> Result<LayerVersionResponse, LambdaError> {
    let layer = LayerId::parse(&request.layer_name, call.account(), call.region())?;
    get(&lambda, &call, &layer.version(request.version_number)?)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetLayerVersionByArnRequest {
    arn: String,
}

/// [`get_layer_version`], by ARN.
pub(crate) async fn get_layer_version_by_arn(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetLayerVersionByArnRequest,
) -> Result<LayerVersionResponse, LambdaError> {
    match LayerVersionId::parse(&request.arn).filter(|id| id.layer.region == *call.region()) {
        Some(id) => get(&lambda, &call, &id),
        None => Err(not_there()),
    }
}

fn get(lambda: &Lambda, call: &Call, id: &LayerVersionId) -> Result<LayerVersionResponse, LambdaError> {
    lambda.functions.may_use_layer(call, id, "GetLayerVersion")?;
    let version = lambda.functions.layer_version(id)?.ok_or_else(not_there)?;
    Ok(shown(lambda, id, version))
}

/// Deletes a layer version. Functions that use it go on; one that is not there is no error.
pub(crate) async fn delete_layer_version(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetLayerVersionRequest,
) -> Result<Nothing, LambdaError> {
    let layer = own_layer(&call, "DeleteLayerVersion", &request.layer_name)?;
    let id = layer.version(request.version_number)?;
    lambda.functions.delete_layer_version(&id).await?;
    tracing::info!(layer = %id, "layer version deleted");
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListLayerVersionsRequest {
    layer_name: String,
    compatible_architecture: Option<String>,
    compatible_runtime: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListLayerVersionsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    layer_versions: Vec<LayerVersionsListItem>,
}

/// The versions of a layer, the newest first.
pub(crate) async fn list_layer_versions(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListLayerVersionsRequest,
) -> Result<ListLayerVersionsResponse, LambdaError> {
    let layer = own_layer(&call, "ListLayerVersions", &request.layer_name)?;
    let filter = filter(request.compatible_runtime, request.compatible_architecture)?;
    let below = after(request.marker.as_deref())?
        .map(|text| text.parse().map_err(|_| page::none_of_ours(&text)))
        .transpose()?;
    let (versions, more) =
        lambda.functions.layer_versions(&layer, &filter, below, page_size(request.max_items))?;
    let last = versions.last().filter(|_| more).map(|(number, _)| page::marker(number.to_string()));
    let item = |(number, version)| item(&LayerVersionId { layer: layer.clone(), number }, version);
    Ok(ListLayerVersionsResponse {
        next_marker: last,
        layer_versions: versions.into_iter().map(item).collect(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListLayersRequest {
    compatible_architecture: Option<String>,
    compatible_runtime: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListLayersResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    layers: Vec<LayersListItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayersListItem {
    layer_name: String,
    layer_arn: String,
    latest_matching_version: LayerVersionsListItem,
}

/// The account's layers in the region by name, each with its newest version.
pub(crate) async fn list_layers(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListLayersRequest,
) -> Result<ListLayersResponse, LambdaError> {
    let filter = filter(request.compatible_runtime, request.compatible_architecture)?;
    let after = after(request.marker.as_deref())?;
    let (account, region) = (call.account(), call.region());
    let id = |name| LayerId { account, region: region.clone(), name };
    let (layers, more) =
        lambda.functions.layers(&filter, after.as_deref(), page_size(request.max_items), id)?;
    let last = layers.last().filter(|_| more).map(|(layer, ..)| page::marker(&layer.name));
    let item = |(layer, number, version): (LayerId, u64, LayerVersion)| LayersListItem {
        layer_name: layer.name.clone(),
        layer_arn: layer.to_string(),
        latest_matching_version: item(&LayerVersionId { layer, number }, version),
    };
    Ok(ListLayersResponse { next_marker: last, layers: layers.into_iter().map(item).collect() })
}

/// The values of a listing's filter, which are checked as those of a layer are.
fn filter(runtime: Option<String>, architecture: Option<String>) -> Result<Filter, LambdaError> {
    check_compatible(
        runtime.as_ref().map(std::slice::from_ref),
        architecture.as_ref().map(std::slice::from_ref),
    )?;
    Ok(Filter { runtime, architecture })
}

/// Every runtime that AWS ever had will do: a layer may be for another house.
fn check_compatible(
    runtimes: Option<&[String]>,
    architectures: Option<&[String]>,
) -> Result<(), LambdaError> {
    let check = |member: &str, values: &[String], known: &dyn Fn(&str) -> bool, all: Vec<&str>| {
        if values.iter().all(|value| known(value)) {
            return Ok(());
        }
        let constraint = format!(
            "Member must satisfy constraint: [Member must satisfy enum value set: [{}]]",
            all.join(", ")
        );
        Err(LambdaError::constraint(&format!("[{}]", values.join(", ")), member, &constraint))
    };
    let all = runtimes::known().iter().map(|runtime| runtime.id).chain(MORE_RUNTIMES).collect();
    let known = |id: &str| runtimes::lookup(id).is_some() || MORE_RUNTIMES.contains(&id);
    check("compatibleRuntimes", runtimes.unwrap_or_default(), &known, all)?;
    let known = |name: &str| Architecture::parse(name).is_some();
    let all = vec![Architecture::X86_64.as_str(), Architecture::Arm64.as_str()];
    check("compatibleArchitectures", architectures.unwrap_or_default(), &known, all)
}

/// A layer that only its own account may change or list.
pub(super) fn own_layer(call: &Call, operation: &str, layer_name: &str) -> Result<LayerId, LambdaError> {
    let layer = LayerId::parse(layer_name, call.account(), call.region())?;
    if layer.account == call.account() { Ok(layer) } else { Err(denied(call, operation, &layer)) }
}

/// The layer name or version number after which a listing goes on.
fn after(marker: Option<&str>) -> Result<Option<String>, LambdaError> {
    const MAX_NAME_BYTES: usize = 140;
    page::read_marker(marker, MAX_NAME_BYTES)
}

fn not_there() -> LambdaError {
    LambdaError::NotFound("The resource you requested does not exist.".to_owned())
}

fn shown(lambda: &Lambda, id: &LayerVersionId, version: LayerVersion) -> LayerVersionResponse {
    let digest = version.content.digest;
    LayerVersionResponse {
        content: LayerVersionContentOutput {
            location: lambda.code_url.as_ref().map(|url| url(&digest.hex())),
            code_sha256: digest.base64(),
            code_size: version.content.size_bytes,
        },
        layer_arn: id.layer.to_string(),
        item: item(id, version),
    }
}

fn item(id: &LayerVersionId, version: LayerVersion) -> LayerVersionsListItem {
    LayerVersionsListItem {
        layer_version_arn: id.to_string(),
        version: id.number,
        description: version.description,
        created_date: last_modified(version.created_at),
        compatible_architectures: version.architectures,
        compatible_runtimes: version.runtimes,
        license_info: version.license,
    }
}
