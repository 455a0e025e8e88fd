//! PutRuntimeManagementConfig and GetRuntimeManagementConfig.
//!
//! AWS replaces the runtime below a function now and then, and this says when it may. Here a runtime is the host's own
//! interpreter, which the host's owner replaces: the mode is kept and shown, and a version that is asked for by its ARN
//! must be the one that there is.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::Target;
use crate::runtime_updates::RuntimeUpdates;
use crate::settings::runtime_version_arn;
use crate::version::{Named, Version};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRuntimeManagementConfigRequest {
    function_name: String,
    qualifier: Option<String>,
    update_runtime_on: String,
    runtime_version_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRuntimeManagementConfigRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RuntimeManagementConfig {
    update_runtime_on: &'static str,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version_arn: Option<String>,
}

impl RuntimeManagementConfig {
    fn of(target: &Target, updates: RuntimeUpdates) -> Self {
        let (update_runtime_on, runtime_version_arn) = match updates {
            RuntimeUpdates::Auto => ("Auto", None),
            RuntimeUpdates::FunctionUpdate => ("FunctionUpdate", None),
            RuntimeUpdates::Manual(arn) => ("Manual", Some(arn)),
        };
        RuntimeManagementConfig {
            update_runtime_on,
            function_arn: target.qualified_arn(),
            runtime_version_arn,
        }
    }
}

/// Says when the runtime of a version may be replaced.
pub(crate) async fn put_runtime_management_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutRuntimeManagementConfigRequest,
) -> Result<RuntimeManagementConfig, LambdaError> {
    const OPERATION: &str = "PutRuntimeManagementConfig";
    let target = target(&call, OPERATION, &request.function_name, request.qualifier.as_deref())?;
    let at = row_of(&target)?;
    let (_, record) = lambda.functions.version(&target)?;
    let given = request.runtime_version_arn.filter(|arn| !arn.is_empty());
    let updates = match (request.update_runtime_on.as_str(), given) {
        ("Manual", None) => {
            return invalid("Runtime Version ARN is required for the Manual runtime update mode.".to_owned());
        }
        ("Manual", Some(arn)) => {
            let there = runtime_version_arn(&record.settings.runtime, &target.region);
            if arn != there {
                return invalid(format!(
                    "Runtime version {arn} is not there for {}: this host has one version of each runtime, {there}.",
                    record.settings.runtime
                ));
            }
            RuntimeUpdates::Manual(arn)
        }
        (mode, Some(_)) => {
            return invalid(format!(
                "Runtime Version ARN is not allowed for the {mode} runtime update mode."
            ));
        }
        ("FunctionUpdate", None) => RuntimeUpdates::FunctionUpdate,
        (_, None) => RuntimeUpdates::Auto,
    };
    let stored = updates.clone();
    lambda.functions.change_aspect(&target, &at, move |_| Ok(Some(stored.clone()))).await?;
    Ok(RuntimeManagementConfig::of(&target, updates))
}

/// When the runtime of a version may be replaced.
pub(crate) async fn get_runtime_management_config(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetRuntimeManagementConfigRequest,
) -> Result<RuntimeManagementConfig, LambdaError> {
    const OPERATION: &str = "GetRuntimeManagementConfig";
    let target = target(&call, OPERATION, &request.function_name, request.qualifier.as_deref())?;
    let at = row_of(&target)?;
    lambda.functions.check_qualifier(&target)?;
    let updates = lambda.functions.aspect::<RuntimeUpdates>(&target, &at)?.unwrap_or_default();
    Ok(RuntimeManagementConfig::of(&target, updates))
}

/// Where the aspect of a version is. An alias has none of its own.
fn row_of(target: &Target) -> Result<String, LambdaError> {
    match target.named() {
        Named::Version(Version::Latest) => Ok(String::new()),
        Named::Version(version) => Ok(version.to_string()),
        Named::Alias(alias) => invalid(format!(
            "The runtime management configuration belongs to a version: {alias} is neither $LATEST nor a number."
        )),
    }
}

fn invalid<T>(message: String) -> Result<T, LambdaError> {
    Err(LambdaError::InvalidParameter(message))
}
