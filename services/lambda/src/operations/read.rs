//! GetFunction, GetFunctionConfiguration, ListFunctions and GetAccountSettings.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::concurrency::{Concurrency, reserved};
use super::page;
use super::shapes::{FunctionConfiguration, Shown};
use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::functions::Tags;
use crate::keys::Space;
use crate::name::Target;
use crate::package::MAX_UNPACKED_BYTES;
use crate::record::FunctionRecord;
use crate::snapstart::SnapshotState;
use crate::version::Version;
use crate::versions::VersionPage;

/// A function's or alias's name and a version, as a marker has them.
const MAX_MARKED_BYTES: usize = 200;
/// A zip sent in a request.
const MAX_ZIPPED_BYTES: u64 = 52_428_800;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetFunctionRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetFunctionResponse {
    configuration: FunctionConfiguration,
    code: FunctionCodeLocation,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Concurrency>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionCodeLocation {
    repository_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// A function's settings, code location and tags.
pub(crate) async fn get_function(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetFunctionRequest,
) -> Result<GetFunctionResponse, LambdaError> {
    let target = target(&call, "GetFunction", &request.function_name, request.qualifier.as_deref())?;
    let (version, record) = lambda.functions.version(&target)?;
    let location = lambda.code_url.as_ref().map(|url| url(&record.code.digest.hex()));
    Ok(GetFunctionResponse {
        configuration: settled(&lambda, &target, version, &record)?,
        code: FunctionCodeLocation { repository_type: "S3", location },
        tags: lambda.functions.tags(&target)?,
        concurrency: reserved(&lambda, &target)?
            .map(|count| Concurrency { reserved_concurrent_executions: Some(count) }),
    })
}

/// A function's settings.
pub(crate) async fn get_function_configuration(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetFunctionRequest,
) -> Result<FunctionConfiguration, LambdaError> {
    let target =
        target(&call, "GetFunctionConfiguration", &request.function_name, request.qualifier.as_deref())?;
    let (version, record) = lambda.functions.version(&target)?;
    settled(&lambda, &target, version, &record)
}

/// A version as it is shown when nothing is changed about it.
fn settled(
    lambda: &Lambda,
    target: &Target,
    version: Version,
    record: &FunctionRecord,
) -> Result<FunctionConfiguration, LambdaError> {
    let shown = FunctionConfiguration::of(target, version, record, Shown::Settled);
    Ok(shown.with_snapshot(snapshot_of(lambda, target, version, record)?.as_ref()))
}

/// Where the snapshot of a version stands, if it has SnapStart.
pub(super) fn snapshot_of(
    lambda: &Lambda,
    target: &Target,
    version: Version,
    record: &FunctionRecord,
) -> Result<Option<SnapshotState>, LambdaError> {
    match version.number().filter(|_| record.settings.snap_start) {
        Some(number) => lambda.functions.snapshot_state(target, number),
        None => Ok(None),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionsRequest {
    master_region: Option<String>,
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    functions: Vec<FunctionConfiguration>,
}

/// The functions of the account in the region, by name.
pub(crate) async fn list_functions(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListFunctionsRequest,
) -> Result<ListFunctionsResponse, LambdaError> {
    let space = Space::new(call.account(), call.region());
    let limit = page::page_size(request.max_items);
    let after = read_marker(request.marker.as_deref())?;
    let all = request.function_version.as_deref() == Some("ALL");
    if request.master_region.is_some() && !all {
        return Err(LambdaError::InvalidParameter(
            "FunctionVersion must be set to ALL when MasterRegion is specified.".to_owned(),
        ));
    }
    // No function here is a replica of another region's.
    if request.master_region.is_some_and(|region| region != "ALL") {
        return Ok(ListFunctionsResponse { next_marker: None, functions: Vec::new() });
    }
    let named = |name: &str, qualifier: Option<String>| {
        let (account, region) = (call.account(), call.region().clone());
        Target { account, region, name: name.to_owned(), qualifier }
    };
    if all {
        let after = after.as_ref().map(|(name, version)| (name.as_str(), *version));
        let page = lambda.functions.all_versions(&space, after, limit)?;
        let next_marker = next_marker(&page);
        let shown = |(name, version, record): &(String, Version, FunctionRecord)| {
            let target = named(name, Some(version.to_string()));
            let shown = FunctionConfiguration::of(&target, *version, record, Shown::Listed);
            Ok(shown.with_snapshot(snapshot_of(&lambda, &target, *version, record)?.as_ref()))
        };
        return Ok(ListFunctionsResponse {
            next_marker,
            functions: page.versions.iter().map(shown).collect::<Result<_, LambdaError>>()?,
        });
    }
    let page = lambda.functions.list(&space, after.as_ref().map(|(name, _)| name.as_str()), limit)?;
    let functions = page.functions.iter().map(|(name, record)| {
        FunctionConfiguration::of(&named(name, None), Version::Latest, record, Shown::Listed)
    });
    Ok(ListFunctionsResponse {
        functions: functions.collect(),
        next_marker: page.next.map(|name| marker(&name, Version::Latest)),
    })
}

/// The marker after which a listing of versions goes on, if it does.
pub(crate) fn next_marker(page: &VersionPage) -> Option<String> {
    let (name, version, _) = page.versions.last().filter(|_| page.more)?;
    Some(marker(name, *version))
}

/// The last item of a page: a function, or one version of it, or an alias by its name.
fn marker(name: &str, version: Version) -> String {
    page::marker(format!("{name}:{version}"))
}

/// What [`marker`] made.
pub(crate) fn read_marker(marker: Option<&str>) -> Result<Option<(String, Version)>, LambdaError> {
    let Some(text) = page::read_marker(marker, MAX_MARKED_BYTES)? else { return Ok(None) };
    let read = || {
        let (name, version) = text.rsplit_once(':')?;
        Some((name.to_owned(), Version::parse(version)?))
    };
    read().map(Some).ok_or_else(|| page::none_of_ours(marker.unwrap_or_default()))
}

#[derive(Debug, Deserialize)]
pub(crate) struct GetAccountSettingsRequest {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetAccountSettingsResponse {
    account_limit: AccountLimit,
    account_usage: AccountUsage,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    total_code_size: u64,
    code_size_unzipped: u64,
    code_size_zipped: u64,
    concurrent_executions: u32,
    unreserved_concurrent_executions: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountUsage {
    total_code_size: u64,
    function_count: u64,
}

/// The limits in force, and what of them is used.
pub(crate) async fn get_account_settings(
    lambda: Arc<Lambda>,
    call: Call,
    _request: GetAccountSettingsRequest,
) -> Result<GetAccountSettingsResponse, LambdaError> {
    let space = Space::new(call.account(), call.region());
    let (usage, ledger) = (lambda.functions.usage(&space)?, lambda.functions.ledger(&space)?);
    let limits = &lambda.limits;
    Ok(GetAccountSettingsResponse {
        account_limit: AccountLimit {
            total_code_size: limits.code_bytes,
            code_size_unzipped: MAX_UNPACKED_BYTES,
            code_size_zipped: MAX_ZIPPED_BYTES,
            concurrent_executions: limits.concurrent_executions,
            unreserved_concurrent_executions: ledger.unreserved(limits.concurrent_executions),
        },
        account_usage: AccountUsage { total_code_size: usage.code_bytes, function_count: usage.functions },
    })
}
