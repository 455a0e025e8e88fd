//! GetFunctionRecursionConfig and PutFunctionRecursionConfig, and the check of a synchronous invoke.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionRecursionConfig.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target;
use super::versions::check_unqualified;
use crate::Lambda;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::invoke::lineage::{self, RecursiveLoop};
use crate::name::Target;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetFunctionRecursionConfigRequest {
    function_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutFunctionRecursionConfigRequest {
    function_name: String,
    recursive_loop: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionRecursionConfig {
    recursive_loop: &'static str,
}

/// What is done about loops through the function.
pub(crate) async fn get_function_recursion_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetFunctionRecursionConfigRequest,
) -> Result<FunctionRecursionConfig, LambdaError> {
    let target = target(&call, "GetFunctionRecursionConfig", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    lambda.functions.row(&target)?;
    let config = lambda.functions.aspect::<RecursiveLoop>(&target, "")?.unwrap_or_default();
    Ok(FunctionRecursionConfig { recursive_loop: config.as_str() })
}

/// Says what is to be done about loops through the function.
pub(crate) async fn put_function_recursion_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutFunctionRecursionConfigRequest,
) -> Result<FunctionRecursionConfig, LambdaError> {
    let target = target(&call, "PutFunctionRecursionConfig", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    // The model's constraint leaves these two.
    let config = match request.recursive_loop.as_str() {
        "Allow" => RecursiveLoop::Allow,
        _ => RecursiveLoop::Terminate,
    };
    lambda.functions.change_aspect(&target, "", move |_| Ok(Some(config))).await?;
    Ok(FunctionRecursionConfig { recursive_loop: config.as_str() })
}

impl FunctionConfig {
    /// The function itself, without its version.
    pub(crate) fn target(&self) -> Target {
        let (account, region, name) = (self.account, self.region.clone(), self.name.clone());
        Target { account, region, name, qualifier: None }
    }
}

impl Lambda {
    /// Refuses an invoke whose chain passed the function too often. Costs nothing without a chain.
    ///
    /// # Errors
    /// `RecursiveInvocationException`.
    pub(crate) fn check_loop(
        &self,
        function: &FunctionConfig,
        trace_header: Option<&str>,
    ) -> Result<(), LambdaError> {
        if lineage::is_loop(trace_header, &function.arn) && self.stops_loops(function)? {
            tracing::warn!(function = function.arn, "a recursive loop was stopped");
            return Err(LambdaError::Recursive);
        }
        Ok(())
    }

    /// Whether the function wants its loops to end.
    pub(crate) fn stops_loops(&self, function: &FunctionConfig) -> Result<bool, LambdaError> {
        let config = self.functions.aspect::<RecursiveLoop>(&function.target(), "")?.unwrap_or_default();
        Ok(config == RecursiveLoop::Terminate)
    }
}
