//! PutFunctionConcurrency, GetFunctionConcurrency and DeleteFunctionConcurrency.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunctionConcurrency.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::capacity::Reserved;
use crate::error::LambdaError;
use crate::name::Target;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutFunctionConcurrencyRequest {
    function_name: String,
    reserved_concurrent_executions: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionRequest {
    function_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Concurrency {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_concurrent_executions: Option<u32>,
}

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Reserves concurrency for a function; 0 closes it.
pub(crate) async fn put_function_concurrency(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutFunctionConcurrencyRequest,
) -> Result<Concurrency, LambdaError> {
    let target = whole(&lambda, target(&call, "PutFunctionConcurrency", &request.function_name, None)?)?;
    // What does not fit is too much in any case.
    let count = u32::try_from(request.reserved_concurrent_executions).unwrap_or(u32::MAX);
    lambda.functions.reserve(&target, count, lambda.limits.concurrent_executions).await?;
    lambda.provision(&target).await;
    tracing::info!(function = %target.arn(), count, "concurrency reserved");
    Ok(Concurrency { reserved_concurrent_executions: Some(count) })
}

/// What is reserved for a function: no member when nothing is.
pub(crate) async fn get_function_concurrency(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionRequest,
) -> Result<Concurrency, LambdaError> {
    let target = whole(&lambda, target(&call, "GetFunctionConcurrency", &request.function_name, None)?)?;
    lambda.functions.row(&target)?;
    Ok(Concurrency { reserved_concurrent_executions: reserved(&lambda, &target)? })
}

/// Gives what was reserved back to the account.
pub(crate) async fn delete_function_concurrency(
    lambda: Arc<Lambda>,
    call: Call,
    request: FunctionRequest,
) -> Result<Nothing, LambdaError> {
    let target = whole(&lambda, target(&call, "DeleteFunctionConcurrency", &request.function_name, None)?)?;
    lambda.functions.change_aspect::<Reserved>(&target, "", |_| Ok(None)).await?;
    lambda.provision(&target).await;
    Ok(Nothing {})
}

/// What is reserved for a function.
pub(crate) fn reserved(lambda: &Lambda, target: &Target) -> Result<Option<u32>, LambdaError> {
    Ok(lambda.functions.aspect::<Reserved>(target, "")?.map(|Reserved(count)| count))
}

/// Concurrency is reserved for a function with all its versions.
fn whole(lambda: &Lambda, target: Target) -> Result<Target, LambdaError> {
    if target.qualifier.is_none() {
        return Ok(target);
    }
    lambda.functions.row(&target.unqualified())?;
    Err(LambdaError::InvalidParameter(
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please \
         specify either a function name or an unqualified function ARN."
            .to_owned(),
    ))
}
