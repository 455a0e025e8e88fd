//! InvokeAsync, and how asynchronous events are treated: the operations on FunctionEventInvokeConfig. What destinations
//! may be is `targets`' business.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::invoke::{sound_payload, tenant_of};
use super::page::{self, page_size};
use super::{target, target_to_run, targets};
use crate::Lambda;
use crate::asynchronous::check_size;
use crate::asynchronous::config::EventInvokeConfig;
use crate::error::LambdaError;
use crate::invoke::{Invocation, Origin};
use crate::name::{LATEST, Target};

/// A version or alias, as a marker has it.
const MAX_QUALIFIER_BYTES: usize = 140;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InvokeAsyncRequest {
    function_name: String,
    invoke_args: wire::Blob,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InvokeAsyncResponse {
    /// The HTTP status: the model binds it.
    status: i32,
}

/// The old form of an Invoke with type `Event`.
pub(crate) async fn invoke_async(
    lambda: Arc<Lambda>,
    call: Call,
    request: InvokeAsyncRequest,
) -> Result<InvokeAsyncResponse, LambdaError> {
    let target = target_to_run(&lambda, &call, &request.function_name, None)?;
    let resolved = lambda.resolve(&target).await?;
    lambda.check_ready(&resolved.function).await?;
    check_size(request.invoke_args.0.len())?;
    let payload = sound_payload(Some(request.invoke_args)).await?;
    let invocation = Invocation {
        tenant_id: tenant_of(&resolved.function, None)?,
        ..Invocation::of_call(&call, resolved.invoked_arn, payload, Origin::Event)
    };
    lambda.accept_event(&target, invocation).await?;
    Ok(InvokeAsyncResponse { status: 202 })
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DestinationConfig {
    on_success: Option<DestinationMember>,
    on_failure: Option<DestinationMember>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationMember {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

impl DestinationConfig {
    fn on_success(&self) -> Option<&str> {
        arn_of(self.on_success.as_ref())
    }

    fn on_failure(&self) -> Option<&str> {
        arn_of(self.on_failure.as_ref())
    }
}

/// No member and an empty text are the same: no destination.
fn arn_of(member: Option<&DestinationMember>) -> Option<&str> {
    member.and_then(|member| member.destination.as_deref()).filter(|arn| !arn.is_empty())
}

/// Put and Update have the same members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventInvokeConfigRequest {
    function_name: String,
    qualifier: Option<String>,
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionEventInvokeConfig {
    last_modified: wire::Time,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: DestinationConfig,
}

impl FunctionEventInvokeConfig {
    fn of(target: &Target, qualifier: &str, config: EventInvokeConfig) -> Self {
        let member = |destination| Some(DestinationMember { destination });
        FunctionEventInvokeConfig {
            last_modified: config.modified_at.into(),
            function_arn: format!("{}:{qualifier}", target.arn()),
            maximum_retry_attempts: config.max_retries,
            maximum_event_age_in_seconds: config.max_age_s,
            destination_config: DestinationConfig {
                on_success: member(config.on_success),
                on_failure: member(config.on_failure),
            },
        }
    }
}

/// Sets the configuration; what the request does not name gets its default.
pub(crate) async fn put_function_event_invoke_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: EventInvokeConfigRequest,
) -> Result<FunctionEventInvokeConfig, LambdaError> {
    const OPERATION: &str = "PutFunctionEventInvokeConfig";
    let (target, qualifier) = checked(&lambda, &call, OPERATION, &request).await?;
    let destinations = request.destination_config.unwrap_or_default();
    let config = EventInvokeConfig {
        modified_at: lambda.clock.now(),
        max_retries: request.maximum_retry_attempts,
        max_age_s: request.maximum_event_age_in_seconds,
        on_success: destinations.on_success().map(str::to_owned),
        on_failure: destinations.on_failure().map(str::to_owned),
    };
    let put = config.clone();
    lambda.functions.change_aspect(&target, &qualifier, move |_| Ok(Some(put.clone()))).await?;
    Ok(FunctionEventInvokeConfig::of(&target, &qualifier, config))
}

/// Changes what the request names.
pub(crate) async fn update_function_event_invoke_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: EventInvokeConfigRequest,
) -> Result<FunctionEventInvokeConfig, LambdaError> {
    const OPERATION: &str = "UpdateFunctionEventInvokeConfig";
    let (target, qualifier) = checked(&lambda, &call, OPERATION, &request).await?;
    let now = lambda.clock.now();
    let missing = (target.clone(), qualifier.clone());
    let changed =
        lambda.functions.change_aspect(&target, &qualifier, move |before: Option<EventInvokeConfig>| {
            let mut config = before.ok_or_else(|| no_config(&missing.0, &missing.1))?;
            config.modified_at = now;
            config.max_retries = request.maximum_retry_attempts.or(config.max_retries);
            config.max_age_s = request.maximum_event_age_in_seconds.or(config.max_age_s);
            if let Some(destinations) = &request.destination_config {
                if destinations.on_success.is_some() {
                    config.on_success = destinations.on_success().map(str::to_owned);
                }
                if destinations.on_failure.is_some() {
                    config.on_failure = destinations.on_failure().map(str::to_owned);
                }
            }
            Ok(Some(config))
        });
    let config = changed.await?.ok_or_else(|| no_config(&target, &qualifier))?;
    Ok(FunctionEventInvokeConfig::of(&target, &qualifier, config))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WhichEventInvokeConfig {
    function_name: String,
    qualifier: Option<String>,
}

/// The configuration, if there is one.
pub(crate) async fn get_function_event_invoke_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: WhichEventInvokeConfig,
) -> Result<FunctionEventInvokeConfig, LambdaError> {
    const OPERATION: &str = "GetFunctionEventInvokeConfig";
    let target = target(&call, OPERATION, &request.function_name, request.qualifier.as_deref())?;
    let qualifier = qualifier_of(&target);
    let config =
        lambda.functions.aspect(&target, &qualifier)?.ok_or_else(|| no_config(&target, &qualifier))?;
    Ok(FunctionEventInvokeConfig::of(&target, &qualifier, config))
}

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Removes the configuration: the defaults are in force again.
pub(crate) async fn delete_function_event_invoke_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: WhichEventInvokeConfig,
) -> Result<Nothing, LambdaError> {
    const OPERATION: &str = "DeleteFunctionEventInvokeConfig";
    let target = target(&call, OPERATION, &request.function_name, request.qualifier.as_deref())?;
    let qualifier = qualifier_of(&target);
    let missing = (target.clone(), qualifier.clone());
    let removed =
        lambda.functions.change_aspect(&target, &qualifier, move |before: Option<EventInvokeConfig>| {
            before.map(|_| None).ok_or_else(|| no_config(&missing.0, &missing.1))
        });
    match removed.await {
        // Without the function there is no configuration either.
        Err(LambdaError::NotFound(_)) => Err(no_config(&target, &qualifier)),
        result => result.map(|_| Nothing {}),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionEventInvokeConfigsRequest {
    function_name: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListFunctionEventInvokeConfigsResponse {
    function_event_invoke_configs: Vec<FunctionEventInvokeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

/// The configurations of a function, its versions and its aliases, by qualifier.
pub(crate) async fn list_function_event_invoke_configs(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListFunctionEventInvokeConfigsRequest,
) -> Result<ListFunctionEventInvokeConfigsResponse, LambdaError> {
    let mut target = target(&call, "ListFunctionEventInvokeConfigs", &request.function_name, None)?;
    target.qualifier = None;
    lambda.functions.row(&target).map_err(|_| no_function())?;
    let limit = page_size(request.max_items);
    let after = page::read_marker(request.marker.as_deref(), MAX_QUALIFIER_BYTES)?;
    let mut page = lambda.functions.aspects::<EventInvokeConfig>(&target, after.as_deref(), limit + 1)?;
    let more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().filter(|_| more).map(|(qualifier, _)| page::marker(qualifier));
    let shown = page
        .into_iter()
        .map(|(qualifier, config)| FunctionEventInvokeConfig::of(&target, &qualifier, config));
    Ok(ListFunctionEventInvokeConfigsResponse {
        function_event_invoke_configs: shown.collect(),
        next_marker: last,
    })
}

/// The target of Put and Update, and the qualifier that its configuration is for, when the request is sound.
async fn checked(
    lambda: &Lambda,
    call: &Call,
    operation: &'static str,
    request: &EventInvokeConfigRequest,
) -> Result<(Target, String), LambdaError> {
    let target = target(call, operation, &request.function_name, request.qualifier.as_deref())?;
    if request.maximum_retry_attempts.is_none()
        && request.maximum_event_age_in_seconds.is_none()
        && request.destination_config.is_none()
    {
        return Err(LambdaError::InvalidParameter(
            "You must specify at least one of error handling or destination setting.".to_owned(),
        ));
    }
    lambda.functions.check_qualifier(&target).map_err(|error| match error {
        LambdaError::NotFound(_) => no_function(),
        other => other,
    })?;
    if let Some(config) = &request.destination_config {
        targets::check_destinations(lambda, &target, operation, config.on_success(), config.on_failure())
            .await?;
    }
    let qualifier = qualifier_of(&target);
    Ok((target, qualifier))
}

fn qualifier_of(target: &Target) -> String {
    target.qualifier.clone().unwrap_or_else(|| LATEST.to_owned())
}

fn no_function() -> LambdaError {
    LambdaError::NotFound("The function doesn't exist.".to_owned())
}

fn no_config(target: &Target, qualifier: &str) -> LambdaError {
    LambdaError::NotFound(format!(
        "The function {}:{qualifier} doesn't have an EventInvokeConfig",
        target.arn()
    ))
}
