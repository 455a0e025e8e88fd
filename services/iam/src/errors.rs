//! What the service answers when it says no, in AWS's words.

use base::ApiError;
use store::{StoreError, TxError};

/// Errors of the operations.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IamError {
    #[error("Role with name {0} already exists.")]
    RoleExists(String),
    #[error("The role with name {0} cannot be found.")]
    NoSuchRole(String),
    #[error("The role policy with name {0} cannot be found.")]
    NoSuchRolePolicy(String),
    #[error("A policy called {0} already exists. Duplicate names are not allowed.")]
    PolicyExists(String),
    #[error("Policy {0} was not found.")]
    NoSuchPolicy(String),
    #[error("Policy {0} does not exist or is not attachable.")]
    NotAttachable(String),
    #[error("Policy {arn} version {version} does not exist or is not attachable.")]
    NoSuchVersion { arn: String, version: String },
    #[error("ARN {0} is not valid.")]
    InvalidPolicyArn(String),
    #[error("Cannot delete entity, must detach all policies first.")]
    RoleHasAttachedPolicies,
    #[error("Cannot delete entity, must delete policies first.")]
    RoleHasInlinePolicies,
    #[error("Cannot delete a policy attached to entities.")]
    PolicyIsAttached,
    #[error("{0}")]
    MalformedPolicy(String),
    #[error("Cannot exceed quota for {quota}: {limit}")]
    Quota { quota: &'static str, limit: usize },
    #[error("Maximum policy size of {limit} bytes exceeded for role {role}")]
    InlinePoliciesTooLarge { limit: usize, role: String },
    #[error("Duplicate tag keys found. Please note that Tag keys are case insensitive.")]
    DuplicateTagKeys,
    #[error("The specified value for marker is invalid.")]
    InvalidMarker,
    #[error(
        "ListPolicies supports Scope=Local only: policies that AWS manages can be attached, but are not listed here."
    )]
    ScopeNotSupported,
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

impl From<IamError> for ApiError {
    fn from(error: IamError) -> Self {
        use IamError as E;
        let message = error.to_string();
        let (code, status) = match &error {
            E::RoleExists(_) | E::PolicyExists(_) => ("EntityAlreadyExists", 409),
            E::NoSuchRole(_)
            | E::NoSuchRolePolicy(_)
            | E::NoSuchPolicy(_)
            | E::NotAttachable(_)
            | E::NoSuchVersion { .. } => ("NoSuchEntity", 404),
            E::RoleHasAttachedPolicies | E::RoleHasInlinePolicies | E::PolicyIsAttached => {
                ("DeleteConflict", 409)
            }
            E::MalformedPolicy(_) => ("MalformedPolicyDocument", 400),
            E::Quota { .. } | E::InlinePoliciesTooLarge { .. } => ("LimitExceeded", 409),
            E::DuplicateTagKeys | E::InvalidPolicyArn(_) => ("InvalidInput", 400),
            E::InvalidMarker | E::ScopeNotSupported => ("ValidationError", 400),
            E::Random(_) | E::Store(_) => return ApiError::internal(message),
        };
        ApiError::new(code, message).status(status)
    }
}

impl From<TxError> for IamError {
    /// A stored record that cannot be decoded, outside a transaction.
    fn from(error: TxError) -> Self {
        IamError::Store(error.into())
    }
}

/// What ends a transaction early: the service's own no, or the store's failure (which the store may retry).
pub(crate) enum Stop {
    No(IamError),
    Store(TxError),
}

impl From<IamError> for Stop {
    fn from(error: IamError) -> Self {
        Stop::No(error)
    }
}

impl From<TxError> for Stop {
    fn from(error: TxError) -> Self {
        Stop::Store(error)
    }
}
