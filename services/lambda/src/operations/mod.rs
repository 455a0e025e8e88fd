//! The operations, one file for each group. Thin: check, call the domain, shape the answer.

pub(crate) mod aliases;
pub(crate) mod code;
pub(crate) mod code_signing;
pub(crate) mod concurrency;
pub(crate) mod create;
pub(crate) mod event_invoke;
pub(crate) mod invoke;
pub(crate) mod invoke_stream;
pub(crate) mod layer_policies;
pub(crate) mod layers;
mod page;
pub(crate) mod permissions;
pub(crate) mod provisioned;
pub(crate) mod read;
pub(crate) mod recursion;
pub(crate) mod resource_policy;
pub(crate) mod runtime_updates;
pub(crate) mod shapes;
pub(crate) mod tags;
mod targets;
pub(crate) mod unsupported;
pub(crate) mod update;
pub(crate) mod urls;
pub(crate) mod versions;

use frontdoor::Call;

use crate::Lambda;
use crate::error::LambdaError;
use crate::name::{FunctionName, Place, Target};

/// The function that a request names, in the place where the call is made.
pub(crate) fn target(
    call: &Call,
    operation: &'static str,
    function_name: &str,
    qualifier: Option<&str>,
) -> Result<Target, LambdaError> {
    let place = Place { account: call.account(), region: call.region(), caller: call.principal(), operation };
    FunctionName::parse(function_name)?.within(&place, qualifier)
}

/// The function that a request wants to run: of any account, if its policy permits the caller.
fn target_to_run(
    lambda: &Lambda,
    call: &Call,
    function_name: &str,
    qualifier: Option<&str>,
) -> Result<Target, LambdaError> {
    let (caller, operation) = (call.principal(), "InvokeFunction");
    let place = Place { account: call.account(), region: call.region(), caller, operation };
    let target = FunctionName::parse(function_name)?.of_any_account(&place, qualifier)?;
    lambda.permit_invoke(call, &target)?;
    Ok(target)
}
