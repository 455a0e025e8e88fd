//! CreateFunctionUrlConfig, GetFunctionUrlConfig, UpdateFunctionUrlConfig, DeleteFunctionUrlConfig and
//! ListFunctionUrlConfigs.
//!
//! What a URL does is `url`'s business. <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::Target;
use crate::url::address;
use crate::url::record::{AuthType, Cors, InvokeMode, UrlRow, fresh_id, kept_at, no_function, no_url};

/// URLs in a page, whatever `MaxItems` says.
const MAX_PAGE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateFunctionUrlConfigRequest {
    function_name: String,
    qualifier: Option<String>,
    auth_type: AuthType,
    cors: Option<CorsShape>,
    invoke_mode: Option<InvokeMode>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateFunctionUrlConfigRequest {
    function_name: String,
    qualifier: Option<String>,
    auth_type: Option<AuthType>,
    cors: Option<CorsShape>,
    invoke_mode: Option<InvokeMode>,
}

/// GetFunctionUrlConfig and DeleteFunctionUrlConfig.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionUrlConfigRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionUrlConfigsRequest {
    function_name: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionUrlConfigsResponse {
    function_url_configs: Vec<FunctionUrlConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionUrlConfig {
    function_url: String,
    function_arn: String,
    auth_type: AuthType,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<CorsShape>,
    creation_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<String>,
    invoke_mode: InvokeMode,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CorsShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_credentials: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_headers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_methods: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_origins: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expose_headers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u32>,
}

impl From<CorsShape> for Cors {
    fn from(shape: CorsShape) -> Self {
        Cors {
            allow_credentials: shape.allow_credentials,
            allow_headers: shape.allow_headers,
            allow_methods: shape.allow_methods,
            allow_origins: shape.allow_origins,
            expose_headers: shape.expose_headers,
            max_age_s: shape.max_age,
        }
    }
}

impl From<Cors> for CorsShape {
    fn from(cors: Cors) -> Self {
        CorsShape {
            allow_credentials: cors.allow_credentials,
            allow_headers: cors.allow_headers,
            allow_methods: cors.allow_methods,
            allow_origins: cors.allow_origins,
            expose_headers: cors.expose_headers,
            max_age: cors.max_age_s,
        }
    }
}

impl FunctionUrlConfig {
    fn of(lambda: &Lambda, target: &Target, row: UrlRow) -> Self {
        FunctionUrlConfig {
            function_url: address::url(&row.id, &target.region, lambda.gateway_port),
            function_arn: target.qualified_arn(),
            auth_type: row.auth_type,
            cors: row.cors.map(CorsShape::from),
            creation_time: row.created_at.iso8601(),
            last_modified_time: Some(row.modified_at.iso8601()),
            invoke_mode: row.invoke_mode,
        }
    }
}

/// Gives a function or an alias a URL.
pub(crate) async fn create_function_url_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: CreateFunctionUrlConfigRequest,
) -> Result<FunctionUrlConfig, LambdaError> {
    let name = &request.function_name;
    let target = target(&call, "CreateFunctionUrlConfig", name, request.qualifier.as_deref())?;
    lambda.functions.check_qualifier(&target).map_err(unknown)?;
    if lambda.functions.get(&target.unqualified())?.settings.tenant_isolation {
        return Err(LambdaError::InvalidParameter(
            "Function URLs are not supported for functions with tenant isolation.".to_owned(),
        ));
    }
    let now = lambda.clock.now();
    let row = UrlRow {
        id: fresh_id(),
        auth_type: request.auth_type,
        cors: request.cors.map(Cors::from),
        invoke_mode: request.invoke_mode.unwrap_or_default(),
        created_at: now,
        modified_at: now,
    };
    lambda.functions.create_url(&target, row.clone()).await?;
    // Alone of the answers this one does not say when the URL was changed.
    Ok(FunctionUrlConfig { last_modified_time: None, ..FunctionUrlConfig::of(&lambda, &target, row) })
}

/// The URL of a function or an alias.
pub(crate) async fn get_function_url_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionUrlConfigRequest,
) -> Result<FunctionUrlConfig, LambdaError> {
    let name = &request.function_name;
    let target = target(&call, "GetFunctionUrlConfig", name, request.qualifier.as_deref())?;
    let row = lambda.functions.url_of(&target)?.ok_or_else(no_url)?;
    Ok(FunctionUrlConfig::of(&lambda, &target, row))
}

/// Changes what the request names; the address stays.
pub(crate) async fn update_function_url_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateFunctionUrlConfigRequest,
) -> Result<FunctionUrlConfig, LambdaError> {
    let name = &request.function_name;
    let target = target(&call, "UpdateFunctionUrlConfig", name, request.qualifier.as_deref())?;
    let (auth_type, invoke_mode, now) = (request.auth_type, request.invoke_mode, lambda.clock.now());
    let cors = request.cors.map(Cors::from);
    let change = move |row: &mut UrlRow| {
        row.auth_type = auth_type.unwrap_or(row.auth_type);
        row.invoke_mode = invoke_mode.unwrap_or(row.invoke_mode);
        if cors.is_some() {
            row.cors.clone_from(&cors);
        }
        row.modified_at = now;
    };
    let row = lambda.functions.change_url(&target, change).await?;
    Ok(FunctionUrlConfig::of(&lambda, &target, row))
}

/// Takes the URL away.
pub(crate) async fn delete_function_url_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionUrlConfigRequest,
) -> Result<(), LambdaError> {
    let name = &request.function_name;
    let target = target(&call, "DeleteFunctionUrlConfig", name, request.qualifier.as_deref())?;
    lambda.functions.delete_url(&target).await
}

/// The URLs of a function and its aliases.
pub(crate) async fn list_function_url_configs(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListFunctionUrlConfigsRequest,
) -> Result<ListFunctionUrlConfigsResponse, LambdaError> {
    let target = target(&call, "ListFunctionUrlConfigs", &request.function_name, None)?;
    let target = Target { qualifier: None, ..target };
    lambda.functions.check_qualifier(&target).map_err(unknown)?;
    let after =
        request.marker.filter(|marker| !marker.is_empty()).map(|marker| from_marker(&marker)).transpose()?;
    let limit = request.max_items.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let mut rows = lambda.functions.urls(&target, after.as_deref(), limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_marker = rows.last().filter(|_| more).map(|(target, _)| to_marker(kept_at(target)));
    let shown = |(target, row): (Target, UrlRow)| FunctionUrlConfig::of(&lambda, &target, row);
    Ok(ListFunctionUrlConfigsResponse {
        function_url_configs: rows.into_iter().map(shown).collect(),
        next_marker,
    })
}

/// The alias that a page ended with; the function itself has the empty one.
fn to_marker(alias: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("url:{alias}"))
}

fn from_marker(marker: &str) -> Result<String, LambdaError> {
    let decoded = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .and_then(|text| text.strip_prefix("url:").map(str::to_owned))
        .ok_or_else(|| LambdaError::InvalidParameter("Invalid Marker.".to_owned()))
}

/// AWS's words for these operations.
fn unknown(error: LambdaError) -> LambdaError {
    if matches!(error, LambdaError::NotFound(_)) { no_function() } else { error }
}
