//! The policies of functions, versions and aliases: where they are kept, and what they come to for a call.
//!
//! A function's own policy has the qualifier "" ; a version's or alias's goes by its name. `$LATEST` is the function.
//! For a call both the function's policy and that of the version or alias it names are looked at, and a statement counts
//! when its `Resource` is the ARN that the call names: so a permission for a function is none for its aliases, unless
//! its resource ends in `:*`.

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Decision, Policy, Request, account_of};
use crate::Lambda;
use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::name::{LATEST, Target};

/// A policy as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    /// A random UUID, new with every change.
    pub(crate) revision_id: String,
    /// The document, as JSON.
    pub(crate) text: String,
}

impl Aspect for PolicyRow {
    const KIND: &'static str = "policy";
}

impl PolicyRow {
    /// # Errors
    /// `PreconditionFailedException` unless the revision id is this policy's, or none was given.
    pub(crate) fn check(row: Option<&PolicyRow>, revision_id: Option<&str>) -> Result<(), LambdaError> {
        match revision_id {
            Some(expected) if row.is_none_or(|row| row.revision_id != expected) => {
                Err(LambdaError::PolicyPrecondition)
            }
            _ => Ok(()),
        }
    }
}

/// The qualifier under which a target's policy is kept.
pub(crate) fn kept_at(target: &Target) -> &str {
    target.qualifier.as_deref().filter(|qualifier| *qualifier != LATEST).unwrap_or_default()
}

/// The ARN that statements about a target have as their resource.
pub(crate) fn resource_of(target: &Target) -> String {
    match kept_at(target) {
        "" => target.arn(),
        qualifier => format!("{}:{qualifier}", target.arn()),
    }
}

impl Lambda {
    /// What the policies say of a request to the target.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn policy_decision(
        &self,
        target: &Target,
        request: &Request<'_>,
    ) -> Result<Decision, LambdaError> {
        let decide = |at: &str| -> Result<Decision, LambdaError> {
            match self.functions.aspect::<PolicyRow>(target, at)? {
                Some(row) => Ok(Policy::stored(&row.text)?.decide(request)),
                None => Ok(Decision::Silent),
            }
        };
        let own = decide("")?;
        match kept_at(target) {
            "" => Ok(own),
            qualifier => Ok(own.and(decide(qualifier)?)),
        }
    }

    /// Whether the caller may run the target. Within one account the policy can only deny; services and other accounts
    /// need its permission. Whether the function exists is not looked at.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub(crate) fn permit_invoke(&self, call: &Call, target: &Target) -> Result<(), LambdaError> {
        const ACTION: &str = "lambda:InvokeFunction";
        let resource = resource_of(target);
        let mut request = Request::new(ACTION, call.principal(), &resource);
        let source_account = call.on_behalf().map(|on_behalf| on_behalf.source_account.to_string());
        request.source_arn = call.on_behalf().map(|on_behalf| on_behalf.source_arn.as_ref());
        request.source_account = source_account.as_deref();
        let why = match self.policy_decision(target, &request)? {
            Decision::Allowed => return Ok(()),
            Decision::Silent if account_of(call.principal()) == Some(target.account) => return Ok(()),
            Decision::Silent => format!("because no resource-based policy allows the {ACTION} action"),
            Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        };
        let caller = call.principal().arn();
        Err(LambdaError::AccessDenied(format!(
            "User: {caller} is not authorized to perform: {ACTION} on resource: {resource} {why}"
        )))
    }
}
