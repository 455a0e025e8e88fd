//! Code signing configurations, and which functions have them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateCodeSigningConfig.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionCodeSigningConfig.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctionsByCodeSigningConfig.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::page::{self, page_size};
use super::shapes::last_modified;
use super::target;
use super::versions::check_unqualified;
use crate::Lambda;
use crate::code_signing::{self, Signing, SigningChange, SigningConfig, Untrusted};
use crate::error::LambdaError;
use crate::keys::Space;
use crate::name::function_arn;

/// A configuration's id or a function's name, as a marker has it.
const MAX_MARKED_BYTES: usize = 128;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AllowedPublishers {
    signing_profile_version_arns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeSigningPolicies {
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_artifact_on_deployment: Option<String>,
}

impl CodeSigningPolicies {
    fn policy(self) -> Option<Untrusted> {
        // The model knows no third.
        self.untrusted_artifact_on_deployment.map(|policy| match policy.as_str() {
            "Enforce" => Untrusted::Enforce,
            _ => Untrusted::Warn,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeSigningConfig {
    code_signing_config_id: String,
    code_signing_config_arn: String,
    description: String,
    allowed_publishers: AllowedPublishers,
    code_signing_policies: CodeSigningPolicies,
    last_modified: String,
}

impl CodeSigningConfig {
    fn of(space: &Space, id: &str, config: SigningConfig) -> Self {
        CodeSigningConfig {
            code_signing_config_id: id.to_owned(),
            code_signing_config_arn: code_signing::arn(space, id),
            description: config.description,
            allowed_publishers: AllowedPublishers { signing_profile_version_arns: config.publishers },
            code_signing_policies: CodeSigningPolicies {
                untrusted_artifact_on_deployment: Some(config.policy.as_str().to_owned()),
            },
            last_modified: last_modified(config.modified_at),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OneConfig {
    code_signing_config: CodeSigningConfig,
}

impl OneConfig {
    fn of(space: &Space, id: &str, config: SigningConfig) -> Self {
        OneConfig { code_signing_config: CodeSigningConfig::of(space, id, config) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateCodeSigningConfigRequest {
    description: Option<String>,
    allowed_publishers: AllowedPublishers,
    code_signing_policies: Option<CodeSigningPolicies>,
}

/// Makes a configuration.
pub(crate) async fn create_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: CreateCodeSigningConfigRequest,
) -> Result<OneConfig, LambdaError> {
    let (space, id) = (space(&call), code_signing::new_id());
    let config = SigningConfig {
        description: request.description.unwrap_or_default(),
        publishers: checked(request.allowed_publishers)?,
        policy: request.code_signing_policies.and_then(CodeSigningPolicies::policy).unwrap_or_default(),
        modified_at: lambda.clock.now(),
    };
    Ok(OneConfig::of(&space, &id, lambda.functions.create_signing(&space, &id, config).await?))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeSigningConfigRequest {
    code_signing_config_arn: String,
}

/// A configuration.
pub(crate) async fn get_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: CodeSigningConfigRequest,
) -> Result<OneConfig, LambdaError> {
    let space = space(&call);
    let id = config_id(&space, &request.code_signing_config_arn)?;
    let config = lambda.functions.signing(&space, id)?;
    let config = config.ok_or_else(|| gone(&request.code_signing_config_arn))?;
    Ok(OneConfig::of(&space, id, config))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateCodeSigningConfigRequest {
    code_signing_config_arn: String,
    description: Option<String>,
    allowed_publishers: Option<AllowedPublishers>,
    code_signing_policies: Option<CodeSigningPolicies>,
}

/// Changes a configuration. What the request does not name stays.
pub(crate) async fn update_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateCodeSigningConfigRequest,
) -> Result<OneConfig, LambdaError> {
    let space = space(&call);
    let id = config_id(&space, &request.code_signing_config_arn)?;
    let change = SigningChange {
        description: request.description,
        publishers: request.allowed_publishers.map(checked).transpose()?,
        policy: request.code_signing_policies.and_then(CodeSigningPolicies::policy),
    };
    let config = lambda.functions.change_signing(&space, id, change).await?;
    let config = config.ok_or_else(|| gone(&request.code_signing_config_arn))?;
    Ok(OneConfig::of(&space, id, config))
}

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Deletes a configuration that no function has.
pub(crate) async fn delete_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: CodeSigningConfigRequest,
) -> Result<Nothing, LambdaError> {
    let space = space(&call);
    let id = config_id(&space, &request.code_signing_config_arn)?;
    match lambda.functions.delete_signing(&space, id).await? {
        true => Ok(Nothing {}),
        false => Err(gone(&request.code_signing_config_arn)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListCodeSigningConfigsRequest {
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListCodeSigningConfigsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    code_signing_configs: Vec<CodeSigningConfig>,
}

/// The configurations of the account in the region.
pub(crate) async fn list_code_signing_configs(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListCodeSigningConfigsRequest,
) -> Result<ListCodeSigningConfigsResponse, LambdaError> {
    let space = space(&call);
    let after = page::read_marker(request.marker.as_deref(), MAX_MARKED_BYTES)?;
    let (configs, more) =
        lambda.functions.signings(&space, after.as_deref(), page_size(request.max_items))?;
    let last = configs.last().filter(|_| more).map(|(id, _)| page::marker(id));
    let shown = configs.into_iter().map(|(id, config)| CodeSigningConfig::of(&space, &id, config));
    Ok(ListCodeSigningConfigsResponse { next_marker: last, code_signing_configs: shown.collect() })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionsByCodeSigningConfigRequest {
    code_signing_config_arn: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionsByCodeSigningConfigResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    function_arns: Vec<String>,
}

/// The functions that have a configuration, by name.
pub(crate) async fn list_functions_by_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListFunctionsByCodeSigningConfigRequest,
) -> Result<ListFunctionsByCodeSigningConfigResponse, LambdaError> {
    let space = space(&call);
    let id = config_id(&space, &request.code_signing_config_arn)?;
    lambda.functions.signing(&space, id)?.ok_or_else(|| gone(&request.code_signing_config_arn))?;
    let after = page::read_marker(request.marker.as_deref(), MAX_MARKED_BYTES)?;
    let (names, more) =
        lambda.functions.signed_functions(&space, id, after.as_deref(), page_size(request.max_items))?;
    Ok(ListFunctionsByCodeSigningConfigResponse {
        next_marker: names.last().filter(|_| more).map(page::marker),
        function_arns: names.iter().map(|name| function_arn(call.account(), call.region(), name)).collect(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutFunctionCodeSigningConfigRequest {
    code_signing_config_arn: String,
    function_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionCodeSigningConfigRequest {
    function_name: String,
}

/// The configuration that a function has. The model demands both members: the ARN is empty when there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionCodeSigningConfig {
    code_signing_config_arn: String,
    function_name: String,
}

/// Gives a function a configuration. The code that it has is not looked at: the next deployment is.
pub(crate) async fn put_function_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutFunctionCodeSigningConfigRequest,
) -> Result<FunctionCodeSigningConfig, LambdaError> {
    let target = target(&call, "PutFunctionCodeSigningConfig", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let id = wanted_id(&space(&call), &request.code_signing_config_arn)?;
    lambda.functions.sign(&target, Some(id)).await?;
    Ok(FunctionCodeSigningConfig {
        code_signing_config_arn: request.code_signing_config_arn,
        function_name: target.name,
    })
}

/// The configuration that a function has.
pub(crate) async fn get_function_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionCodeSigningConfigRequest,
) -> Result<FunctionCodeSigningConfig, LambdaError> {
    let target = target(&call, "GetFunctionCodeSigningConfig", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    lambda.functions.row(&target)?;
    let signing = lambda.functions.aspect::<Signing>(&target, "")?;
    let arn = signing.map(|signing| code_signing::arn(&space(&call), &signing.config));
    Ok(FunctionCodeSigningConfig {
        code_signing_config_arn: arn.unwrap_or_default(),
        function_name: target.name,
    })
}

/// Takes a function's configuration away.
pub(crate) async fn delete_function_code_signing_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionCodeSigningConfigRequest,
) -> Result<Nothing, LambdaError> {
    let target = target(&call, "DeleteFunctionCodeSigningConfig", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    lambda.functions.sign(&target, None).await?;
    Ok(Nothing {})
}

fn space(call: &Call) -> Space {
    Space::new(call.account(), call.region())
}

/// The id in the ARN of a configuration of this account and region.
fn config_id<'a>(space: &Space, arn: &'a str) -> Result<&'a str, LambdaError> {
    let id = arn.rsplit(':').next().unwrap_or_default();
    if code_signing::arn(space, id) == arn { Ok(id) } else { Err(gone(arn)) }
}

/// The same, for a function that shall have it.
pub(super) fn wanted_id(space: &Space, arn: &str) -> Result<String, LambdaError> {
    config_id(space, arn).map(str::to_owned).map_err(|_| {
        LambdaError::SigningConfigNotFound(format!(
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}."
        ))
    })
}

fn gone(arn: &str) -> LambdaError {
    LambdaError::NotFound(format!("The Lambda code signing configuration {arn} can not be found."))
}

/// The publishers; each must be the ARN of a version of a signing profile.
fn checked(publishers: AllowedPublishers) -> Result<Vec<String>, LambdaError> {
    let arns = publishers.signing_profile_version_arns;
    let is_profile = |arn: &String| {
        let parsed = arn.parse::<base::Arn>();
        parsed.is_ok_and(|arn| arn.service == "signer" && arn.resource.starts_with("/signing-profiles/"))
    };
    match arns.iter().find(|arn| !is_profile(arn)) {
        Some(arn) => Err(LambdaError::InvalidParameter(format!(
            "{arn} is not the ARN of a signing profile version: \
             arn:aws:signer:region:account:/signing-profiles/name/version."
        ))),
        None => Ok(arns),
    }
}
