//! GetFunction, GetFunctionConfiguration, ListFunctions and GetAccountSettings.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::shapes::{FunctionConfiguration, Shown};
use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::functions::Tags;
use crate::keys::Space;
use crate::name::{LATEST, Target};
use crate::package::MAX_UNPACKED_BYTES;

/// A page of ListFunctions has this many functions at most, whatever `MaxItems` says.
const MAX_PAGE: usize = 50;
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
    target.latest()?;
    let record = lambda.functions.get(&target)?;
    let location = lambda.code_url.as_ref().map(|url| url(&record.code.digest.hex()));
    Ok(GetFunctionResponse {
        configuration: FunctionConfiguration::of(&target, &record, Shown::Settled),
        code: FunctionCodeLocation { repository_type: "S3", location },
        tags: lambda.functions.tags(&target)?,
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
    target.latest()?;
    Ok(FunctionConfiguration::of(&target, &lambda.functions.get(&target)?, Shown::Settled))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionsRequest {
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
    let limit =
        request.max_items.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let after = request.marker.as_deref().filter(|marker| !marker.is_empty()).map(read_marker).transpose()?;
    let page = lambda.functions.list(&Space::new(call.account(), call.region()), after.as_deref(), limit)?;
    // All versions of a function are its $LATEST alone, shown then with its qualified ARN.
    let qualifier = (request.function_version.as_deref() == Some("ALL")).then(|| LATEST.to_owned());
    let functions = page.functions.iter().map(|(name, record)| {
        let (account, region) = (call.account(), call.region().clone());
        let target = Target { account, region, name: name.clone(), qualifier: qualifier.clone() };
        FunctionConfiguration::of(&target, record, Shown::Listed)
    });
    Ok(ListFunctionsResponse {
        functions: functions.collect(),
        next_marker: page.next.map(|name| URL_SAFE_NO_PAD.encode(name)),
    })
}

fn read_marker(marker: &str) -> Result<String, LambdaError> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|name| name.len() <= 140).ok_or_else(|| {
        LambdaError::InvalidParameter(format!(
            "Marker '{marker}' is none that a listing gave: start without one."
        ))
    })
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
    let usage = lambda.functions.usage(&Space::new(call.account(), call.region()))?;
    let limits = &lambda.limits;
    Ok(GetAccountSettingsResponse {
        account_limit: AccountLimit {
            total_code_size: limits.code_bytes,
            code_size_unzipped: MAX_UNPACKED_BYTES,
            code_size_zipped: MAX_ZIPPED_BYTES,
            concurrent_executions: limits.concurrent_executions,
            unreserved_concurrent_executions: limits.concurrent_executions,
        },
        account_usage: AccountUsage { total_code_size: usage.code_bytes, function_count: usage.functions },
    })
}
