//! A function's own environment variables: how large, and which names are taken.
//!
//! Names: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.

use std::collections::BTreeMap;

use crate::error::LambdaError;

/// All variables together, as compact JSON, in bytes.
const MAX_BYTES: usize = 4096;

/// Names that the platform sets itself.
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// Checks names and size.
///
/// # Errors
/// `InvalidParameterValueException` as AWS words it.
pub(crate) fn check(variables: &BTreeMap<String, String>) -> Result<(), LambdaError> {
    const UNABLE: &str = "Lambda was unable to configure your environment variables because the environment variables \
                          you have provided";
    let taken: Vec<&str> = RESERVED.iter().copied().filter(|name| variables.contains_key(*name)).collect();
    if !taken.is_empty() {
        return Err(LambdaError::InvalidParameter(format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            taken.join(", ")
        )));
    }
    let measured =
        serde_json::to_string(variables).map_err(|error| LambdaError::Internal(error.to_string()))?;
    if measured.len() > MAX_BYTES {
        return Err(LambdaError::InvalidParameter(format!(
            "{UNABLE} exceeded the 4KB limit. String measured: {measured}"
        )));
    }
    // An environment cannot hold a zero byte, and a name with '=' would become another name.
    if let Some((name, _)) =
        variables.iter().find(|(name, value)| name.contains(['=', '\0']) || value.contains('\0'))
    {
        return Err(LambdaError::InvalidParameter(format!(
            "{UNABLE} cannot be set: the variable '{}' has a zero byte, or '=' in its name",
            name.escape_debug()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(variables: &[(&str, &str)]) -> Option<String> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(&variables).err().map(|error| error.to_string())
    }

    #[test]
    fn reserved_names_are_listed() {
        assert_eq!(
            refusal(&[("STAGE", "x"), ("AWS_REGION", "eu-west-1")]).unwrap(),
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: AWS_REGION"
        );
        assert!(
            refusal(&[("AWS_SESSION_TOKEN", ""), ("AWS_REGION", "")])
                .unwrap()
                .ends_with(": AWS_REGION, AWS_SESSION_TOKEN")
        );
        assert_eq!(refusal(&[("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper"), ("TZ", ":UTC")]), None);
    }

    #[test]
    fn four_kilobytes_are_measured_as_json() {
        // {"A":"..."} adds 8 bytes to the value.
        assert_eq!(refusal(&[("A", &"v".repeat(4096 - 8))]), None);
        let value = "v".repeat(4096 - 7);
        let message = refusal(&[("A", &value)]).unwrap();
        assert!(
            message.ends_with(&format!("exceeded the 4KB limit. String measured: {{\"A\":\"{value}\"}}"))
        );
    }

    #[test]
    fn what_no_process_could_get_is_refused() {
        assert!(refusal(&[("A", "x\0y")]).is_some());
        assert!(refusal(&[("A=B", "x")]).is_some());
    }
}
