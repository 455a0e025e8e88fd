//! PutProvisionedConcurrencyConfig, GetProvisionedConcurrencyConfig, DeleteProvisionedConcurrencyConfig and
//! ListProvisionedConcurrencyConfigs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListProvisionedConcurrencyConfigs.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::concurrency::Nothing;
use super::page::{self, page_size};
use super::target;
use crate::Lambda;
use crate::capacity::{Provisioned, ProvisionedStatus};
use crate::error::LambdaError;
use crate::name::Target;
use crate::version::{Named, Version};

/// A version or alias, as a marker has it.
const MAX_QUALIFIER_BYTES: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutProvisionedConcurrencyConfigRequest {
    function_name: String,
    qualifier: String,
    provisioned_concurrent_executions: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProvisionedConcurrencyConfigRequest {
    function_name: String,
    qualifier: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProvisionedConcurrencyConfig {
    /// Only in listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    function_arn: Option<String>,
    requested_provisioned_concurrent_executions: u32,
    available_provisioned_concurrent_executions: u32,
    allocated_provisioned_concurrent_executions: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    last_modified: String,
}

impl ProvisionedConcurrencyConfig {
    fn of(lambda: &Lambda, target: &Target, at: &str, config: &Provisioned) -> Result<Self, LambdaError> {
        let state = lambda.provisioned_state(target, at, config.count)?;
        let (status, status_reason) = match state.status {
            ProvisionedStatus::InProgress => ("IN_PROGRESS", None),
            ProvisionedStatus::Ready => ("READY", None),
            ProvisionedStatus::Failed(why) => ("FAILED", Some(why)),
        };
        let mut last_modified = config.modified_at.iso8601();
        // Here AWS shows whole seconds.
        last_modified.truncate(last_modified.len() - ".000Z".len());
        Ok(ProvisionedConcurrencyConfig {
            function_arn: None,
            requested_provisioned_concurrent_executions: config.count,
            available_provisioned_concurrent_executions: state.ready,
            allocated_provisioned_concurrent_executions: state.ready,
            status,
            status_reason,
            last_modified: last_modified + "+0000",
        })
    }
}

/// Has environments of a version started ahead, and kept.
pub(crate) async fn put_provisioned_concurrency_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutProvisionedConcurrencyConfigRequest,
) -> Result<ProvisionedConcurrencyConfig, LambdaError> {
    let operation = "PutProvisionedConcurrencyConfig";
    let target = target(&call, operation, &request.function_name, Some(&request.qualifier))?;
    let count = u32::try_from(request.provisioned_concurrent_executions).unwrap_or(u32::MAX);
    let config = Provisioned { count, modified_at: lambda.clock.now() };
    lambda.functions.provision(&target, config, lambda.limits.concurrent_executions).await?;
    lambda.provision(&target).await;
    tracing::info!(function = %target.qualified_arn(), count, "concurrency provisioned");
    ProvisionedConcurrencyConfig::of(&lambda, &target, &request.qualifier, &config)
}

/// How far that is.
pub(crate) async fn get_provisioned_concurrency_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: ProvisionedConcurrencyConfigRequest,
) -> Result<ProvisionedConcurrencyConfig, LambdaError> {
    let operation = "GetProvisionedConcurrencyConfig";
    let target = target(&call, operation, &request.function_name, Some(&request.qualifier))?;
    check_published(&lambda, &target)?;
    let config = lambda.functions.aspect::<Provisioned>(&target, &request.qualifier)?;
    let config = config.ok_or(LambdaError::NotProvisioned)?;
    ProvisionedConcurrencyConfig::of(&lambda, &target, &request.qualifier, &config)
}

/// Lets the environments go.
pub(crate) async fn delete_provisioned_concurrency_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: ProvisionedConcurrencyConfigRequest,
) -> Result<Nothing, LambdaError> {
    let operation = "DeleteProvisionedConcurrencyConfig";
    let target = target(&call, operation, &request.function_name, Some(&request.qualifier))?;
    check_published(&lambda, &target)?;
    lambda.functions.change_aspect::<Provisioned>(&target, &request.qualifier, |_| Ok(None)).await?;
    lambda.provision(&target).await;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListProvisionedConcurrencyConfigsRequest {
    function_name: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListProvisionedConcurrencyConfigsResponse {
    provisioned_concurrency_configs: Vec<ProvisionedConcurrencyConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

/// All that is provisioned of a function.
pub(crate) async fn list_provisioned_concurrency_configs(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListProvisionedConcurrencyConfigsRequest,
) -> Result<ListProvisionedConcurrencyConfigsResponse, LambdaError> {
    let target = target(&call, "ListProvisionedConcurrencyConfigs", &request.function_name, None)?;
    lambda.functions.row(&target.unqualified())?;
    let after = page::read_marker(request.marker.as_deref(), MAX_QUALIFIER_BYTES)?;
    let limit = page_size(request.max_items);
    let mut all = lambda.functions.aspects::<Provisioned>(&target, after.as_deref(), limit + 1)?;
    let more = all.len() > limit;
    all.truncate(limit);
    let mut configs = Vec::new();
    for (at, config) in &all {
        let function_arn = Some(target.at(at).qualified_arn());
        let config = ProvisionedConcurrencyConfig::of(&lambda, &target, at, config)?;
        configs.push(ProvisionedConcurrencyConfig { function_arn, ..config });
    }
    let last = all.last().filter(|_| more);
    Ok(ListProvisionedConcurrencyConfigsResponse {
        provisioned_concurrency_configs: configs,
        next_marker: last.map(|(at, _)| page::marker(at)),
    })
}

/// A published version, or an alias, that is there.
fn check_published(lambda: &Lambda, target: &Target) -> Result<(), LambdaError> {
    if target.named() == Named::Version(Version::Latest) {
        lambda.functions.row(&target.unqualified())?;
        return Err(LambdaError::InvalidParameter(
            "The function resource provided must be an alias or a published version.".to_owned(),
        ));
    }
    if let Named::Alias(alias) = target.named() {
        lambda.functions.row(&target.unqualified())?;
        if lambda.functions.alias(target, alias)?.is_none() {
            let arn = target.qualified_arn();
            return Err(LambdaError::NotFound(format!("Cannot find alias arn: {arn}")));
        }
    }
    lambda.functions.check_qualifier(target)
}
