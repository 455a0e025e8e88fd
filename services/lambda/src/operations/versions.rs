//! PublishVersion and ListVersionsByFunction.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListVersionsByFunction.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::page::page_size;
use super::read::{next_marker, read_marker, snapshot_of};
use super::shapes::{FunctionConfiguration, Shown};
use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::Target;
use crate::version::{Named, Version};
use crate::versions::{PublishRequest, Published};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishVersionRequest {
    function_name: String,
    #[serde(rename = "CodeSha256")]
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
}

/// Publishes `$LATEST` as a version; when nothing was changed since the last one, gives that one.
pub(crate) async fn publish_version(
    lambda: Arc<Lambda>,
    call: Call,
    request: PublishVersionRequest,
) -> Result<FunctionConfiguration, LambdaError> {
    let target = target(&call, "PublishVersion", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let conditions = PublishRequest {
        description: request.description,
        code_sha256: request.code_sha256,
        revision_id: request.revision_id,
    };
    let published = lambda.functions.publish(&target, conditions).await?;
    tracing::info!(function = %target.arn(), version = published.number, new = published.is_new, "version published");
    order_snapshot(&lambda, &target, &published);
    // A version with SnapStart is shown as AWS shows it while its snapshot is taken.
    let version = Version::Number(published.number);
    let snapshot = snapshot_of(&lambda, &target, version, &published.record)?;
    Ok(shown(&target, &published, Shown::Settled).with_snapshot(snapshot.as_ref()))
}

/// Has the snapshot of a version made that was just published, if it has SnapStart.
pub(super) fn order_snapshot(lambda: &Arc<Lambda>, target: &Target, published: &Published) {
    if published.is_new && published.record.settings.snap_start {
        lambda.order_snapshot(target, published.number);
    }
}

/// A version as the answer to its publication shows it.
pub(crate) fn shown(target: &Target, published: &Published, shown: Shown) -> FunctionConfiguration {
    let shown = if published.is_new { shown } else { Shown::Settled };
    let version = Version::Number(published.number);
    FunctionConfiguration::of(&target.at(version), version, &published.record, shown)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListVersionsByFunctionRequest {
    function_name: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListVersionsByFunctionResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    versions: Vec<FunctionConfiguration>,
}

/// The versions of a function, `$LATEST` first.
pub(crate) async fn list_versions_by_function(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListVersionsByFunctionRequest,
) -> Result<ListVersionsByFunctionResponse, LambdaError> {
    let target = target(&call, "ListVersionsByFunction", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let after = read_marker(request.marker.as_deref())?.map(|(_, version)| version);
    let page = lambda.functions.versions(&target, after, page_size(request.max_items))?;
    let shown = page.versions.iter().map(|(_, version, record)| {
        let shown = FunctionConfiguration::of(&target.at(version), *version, record, Shown::Listed);
        Ok(shown.with_snapshot(snapshot_of(&lambda, &target, *version, record)?.as_ref()))
    });
    let versions = shown.collect::<Result<_, LambdaError>>()?;
    Ok(ListVersionsByFunctionResponse { versions, next_marker: next_marker(&page) })
}

/// Refuses a version or alias where a function as a whole is meant.
pub(super) fn check_unqualified(lambda: &Lambda, target: &Target) -> Result<(), LambdaError> {
    if target.named() == Named::Version(Version::Latest) {
        return Ok(());
    }
    lambda.functions.check_qualifier(target)?;
    Err(LambdaError::InvalidParameter(format!(
        "{} names a version or an alias: name the function without a qualifier.",
        target.qualified_arn()
    )))
}
