//! The operations, one file for each group. Thin: check, call the domain, shape the answer.

pub(crate) mod aliases;
pub(crate) mod code;
pub(crate) mod code_signing;
pub(crate) mod create;
pub(crate) mod invoke;
pub(crate) mod read;
pub(crate) mod runtime_updates;
pub(crate) mod shapes;
pub(crate) mod tags;
pub(crate) mod unsupported;
pub(crate) mod update;
pub(crate) mod versions;

use frontdoor::Call;

use crate::error::LambdaError;
use crate::name::{FunctionName, Place, Target};

/// The function that a request names, in the place where the call is made.
fn target(
    call: &Call,
    operation: &'static str,
    function_name: &str,
    qualifier: Option<&str>,
) -> Result<Target, LambdaError> {
    let place = Place { account: call.account(), region: call.region(), caller: call.principal(), operation };
    FunctionName::parse(function_name)?.within(&place, qualifier)
}
