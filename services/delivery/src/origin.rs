//! In whose name a message is delivered. It decides what the target's service lets pass, and nothing of the message.

use std::sync::Arc;

use base::{AccountId, Principal, Region};
use frontdoor::OnBehalf;

/// In whose name a message is delivered.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A function hands on what came of an invoke, as its execution role.
    Function(FunctionOrigin),
    /// A service of the platform hands on what came to a resource of its.
    Service(ServiceOrigin),
}

/// A function, and the role that must be allowed to deliver.
#[derive(Clone, Debug)]
pub struct FunctionOrigin {
    /// The function's account.
    pub account: AccountId,
    /// The function's region.
    pub region: Region,
    /// The function's name.
    pub function_name: String,
    /// The function's ARN with its version or alias.
    pub function_arn: String,
    /// The ARN of its execution role.
    pub role_arn: String,
    /// The trace that its messages belong to.
    pub trace_header: Option<Arc<str>>,
}

/// A service, which the target's resource policy must let in: `"Principal": {"Service": host}`.
#[derive(Clone, Debug)]
pub struct ServiceOrigin {
    /// Such as `sns.amazonaws.com`.
    pub host: &'static str,
    /// The resource it speaks for, such as the topic's ARN: the condition key `aws:SourceArn`.
    pub source_arn: Arc<str>,
    /// Whose resource that is: the condition key `aws:SourceAccount`.
    pub source_account: AccountId,
    /// Where that resource is; for targets whose ARN names no region.
    pub region: Region,
}

impl Origin {
    /// The service `host` on behalf of a resource.
    #[must_use]
    pub fn service(
        host: &'static str,
        source_arn: impl Into<Arc<str>>,
        source_account: AccountId,
        region: Region,
    ) -> Self {
        Origin::Service(ServiceOrigin { host, source_arn: source_arn.into(), source_account, region })
    }

    pub(crate) fn account(&self) -> AccountId {
        match self {
            Origin::Function(function) => function.account,
            Origin::Service(service) => service.source_account,
        }
    }

    pub(crate) fn region(&self) -> &Region {
        match self {
            Origin::Function(function) => &function.region,
            Origin::Service(service) => &service.region,
        }
    }

    pub(crate) fn trace_header(&self) -> Option<&Arc<str>> {
        match self {
            Origin::Function(function) => function.trace_header.as_ref(),
            Origin::Service(_) => None,
        }
    }

    /// Who calls the target's service.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self {
            Origin::Function(function) => Principal::AssumedRole {
                account: function.account,
                role: function.role_name().into(),
                session: function.function_name.as_str().into(),
            },
            Origin::Service(service) => Principal::Service(service.host),
        }
    }

    /// The model id of the service that delivers.
    pub(crate) fn model_id(&self) -> &'static str {
        match self {
            Origin::Function(_) => "lambda",
            Origin::Service(service) => service.host.split('.').next().unwrap_or_default(),
        }
    }

    pub(crate) fn on_behalf_of(&self) -> Option<OnBehalf> {
        match self {
            Origin::Function(_) => None,
            Origin::Service(service) => Some(OnBehalf {
                source_arn: Arc::clone(&service.source_arn),
                source_account: service.source_account,
            }),
        }
    }
}

impl FunctionOrigin {
    /// The role's name without its path.
    fn role_name(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }
}
