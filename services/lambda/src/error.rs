//! What can go wrong at Lambda's edge, one variant for each code of AWS, with AWS's words where AWS has some.
//!
//! The layers below (`package`, `invoke`, the store) have errors of their own; they become these here.
//!
//! Codes: the errors of each operation in <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>.

use base::ApiError;
use store::StoreError;
use store::value::ValueError;

use crate::invoke::InvokeError;
use crate::package::PackageError;

/// What AWS says of a chain of invokes that it stopped.
pub(crate) const RECURSIVE: &str = "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources and stopped your function's invocation.";

/// An error answer of the Lambda API. The variant is the code, the text is the message.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// `ResourceNotFoundException`, 404.
    #[error("{0}")]
    NotFound(String),
    /// `ResourceConflictException`, 409.
    #[error("{0}")]
    Conflict(String),
    /// `InvalidParameterValueException`, 400.
    #[error("{0}")]
    InvalidParameter(String),
    /// `ValidationException`, 400: what the API model's constraints would have refused.
    #[error("{0}")]
    Validation(String),
    /// `InvalidRequestContentException`, 400: the payload of an invoke is not JSON.
    #[error("{0}")]
    InvalidContent(String),
    /// `RequestEntityTooLargeException`, 413.
    #[error("{0}")]
    TooLarge(String),
    /// `PreconditionFailedException`, 412: the revision id is an older one.
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve \
         the latest Revision Id"
    )]
    Precondition,
    /// `PreconditionFailedException`, 412: the policy's revision id is an older one.
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest \
         Revision Id"
    )]
    PolicyPrecondition,
    /// `PreconditionFailedException`, 412: the same of a layer version's policy.
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the \
         latest Revision Id"
    )]
    LayerPolicyPrecondition,
    /// `PolicyLengthExceededException`, 400: the policy would have this many bytes.
    #[error("The final policy size ({0}) is bigger than the limit ({limit}).", limit = crate::policy::MAX_POLICY_BYTES)]
    PolicyLength(usize),
    /// `CodeSigningConfigNotFoundException`, 404.
    #[error("{0}")]
    SigningConfigNotFound(String),
    /// `CodeVerificationFailedException`, 400: nobody who may has signed the package of this function.
    #[error(
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is \
         not configured to accept. Check the provided signature for {0}."
    )]
    CodeVerification(String),
    /// `RecursiveInvocationException`, 400: the chain of invokes passed the function too often.
    #[error("{RECURSIVE}")]
    Recursive,
    /// `ProvisionedConcurrencyConfigNotFoundException`, 404.
    #[error("No Provisioned Concurrency Config found for this function")]
    NotProvisioned,
    /// `EFSMountFailureException`, 403.
    #[error("{0}")]
    EfsMountFailure(String),
    /// `CodeStorageExceededException`, 400.
    #[error("Code storage limit exceeded.")]
    CodeStorage,
    /// `AccessDeniedException`, 403.
    #[error("{0}")]
    AccessDenied(String),
    /// `UnsupportedParameterException`, 400: the platform's own, for what AWS has and we have not.
    #[error("parameter {parameter} of operation {operation} is not supported yet: {why}")]
    Unsupported {
        /// The member's path, with its value where that matters.
        parameter: &'static str,
        /// The operation.
        operation: &'static str,
        /// What is supported instead.
        why: String,
    },
    /// The function was not run.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// Our fault; for the log.
    #[error("{0}")]
    Internal(String),
}

impl LambdaError {
    /// AWS's words for a member whose value is above its limit.
    pub(crate) fn above(member: &str, limit: u32) -> Self {
        LambdaError::InvalidParameter(format!(
            "'{member}' value failed to satisfy constraint: Member must have value less than or equal to {limit}"
        ))
    }

    /// AWS's words for a member whose value is below its limit.
    pub(crate) fn below(member: &str, limit: u32) -> Self {
        LambdaError::InvalidParameter(format!(
            "'{member}' value failed to satisfy constraint: Member must have value greater than or equal to {limit}"
        ))
    }

    /// AWS's words for one value that breaks a constraint of the model.
    pub(crate) fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        LambdaError::Validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        ))
    }
}

impl From<LambdaError> for ApiError {
    fn from(error: LambdaError) -> Self {
        let error = match error {
            LambdaError::Invoke(error) => return error.into(),
            LambdaError::Internal(detail) => return ApiError::internal(detail),
            error => error,
        };
        let (code, status) = match &error {
            LambdaError::NotFound(_) => ("ResourceNotFoundException", 404),
            LambdaError::Conflict(_) => ("ResourceConflictException", 409),
            LambdaError::InvalidParameter(_) => ("InvalidParameterValueException", 400),
            LambdaError::Validation(_) => ("ValidationException", 400),
            LambdaError::InvalidContent(_) => ("InvalidRequestContentException", 400),
            LambdaError::TooLarge(_) => ("RequestEntityTooLargeException", 413),
            LambdaError::EfsMountFailure(_) => ("EFSMountFailureException", 403),
            LambdaError::PolicyLength(_) => ("PolicyLengthExceededException", 400),
            LambdaError::Precondition
            | LambdaError::PolicyPrecondition
            | LambdaError::LayerPolicyPrecondition => ("PreconditionFailedException", 412),
            LambdaError::Recursive => ("RecursiveInvocationException", 400),
            LambdaError::NotProvisioned => ("ProvisionedConcurrencyConfigNotFoundException", 404),
            LambdaError::CodeStorage => ("CodeStorageExceededException", 400),
            LambdaError::SigningConfigNotFound(_) => ("CodeSigningConfigNotFoundException", 404),
            LambdaError::CodeVerification(_) => ("CodeVerificationFailedException", 400),
            LambdaError::AccessDenied(_) => ("AccessDeniedException", 403),
            LambdaError::Unsupported { .. } => ("UnsupportedParameterException", 400),
            LambdaError::Invoke(_) | LambdaError::Internal(_) => ("ServiceException", 500),
        };
        ApiError::new(code, error.to_string()).status(status).member("Type", "User")
    }
}

impl From<StoreError> for LambdaError {
    fn from(error: StoreError) -> Self {
        LambdaError::Internal(format!("store: {error}"))
    }
}

impl From<ValueError> for LambdaError {
    fn from(error: ValueError) -> Self {
        LambdaError::Internal(format!("store: {error}"))
    }
}

impl From<PackageError> for LambdaError {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Refused(message) => LambdaError::InvalidParameter(message),
            PackageError::Failed(detail) => LambdaError::Internal(detail),
        }
    }
}
