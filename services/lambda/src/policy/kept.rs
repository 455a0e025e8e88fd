//! The policies of functions, versions and aliases: where they are kept, and what they come to for a call.
//!
//! A function's own policy has the qualifier "" ; a version's or alias's goes by its name. `$LATEST` is the function.
//! For a call both the function's policy and that of the version or alias it names are looked at, and a statement counts
//! when its `Resource` is the ARN that the call names: so a permission for a function is none for its aliases, unless
//! its resource ends in `:*`.

use std::sync::Arc;

use frontdoor::Call;
use policy::{Decision, Document, Request, account_of};
use serde::{Deserialize, Serialize};

use super::unreadable;
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

/// The policies that are looked at for one target.
#[derive(Debug)]
pub(crate) struct Policies(Vec<Arc<Document>>);

impl Policies {
    /// What they say of a request, together.
    pub(crate) fn decide(&self, request: &Request<'_>) -> Decision {
        self.0.iter().fold(Decision::Silent, |so_far, policy| so_far.and(policy.decide(request)))
    }
}

impl Lambda {
    /// The function's policy, and that of the version or alias.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn policies(&self, target: &Target) -> Result<Policies, LambdaError> {
        let mut policies = Vec::new();
        let qualifier = Some(kept_at(target)).filter(|qualifier| !qualifier.is_empty());
        for at in [Some(""), qualifier].into_iter().flatten() {
            if let Some(row) = self.functions.aspect::<PolicyRow>(target, at)? {
                policies.push(Document::remembered(&row.text).map_err(unreadable)?);
            }
        }
        Ok(Policies(policies))
    }

    /// Whether the caller may run the target. Within one account the policy can only deny; services and other accounts
    /// need its permission. Whether the function exists is not looked at.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub(crate) fn permit_invoke(&self, call: &Call, target: &Target) -> Result<(), LambdaError> {
        const ACTION: &str = "lambda:InvokeFunction";
        let policies = self.policies(target)?;
        let own = account_of(call.principal()) == Some(target.account);
        if own && policies.0.is_empty() {
            return Ok(());
        }
        let resource = resource_of(target);
        let context = call.policy_context().with("lambda:InvokedViaFunctionUrl", "false");
        let request = Request::new(ACTION, call.principal(), &resource).within(context);
        let why = match policies.decide(&request) {
            Decision::Allowed => return Ok(()),
            Decision::Silent if own => return Ok(()),
            Decision::Silent => format!("because no resource-based policy allows the {ACTION} action"),
            Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        };
        let caller = call.principal().arn();
        Err(LambdaError::AccessDenied(format!(
            "User: {caller} is not authorized to perform: {ACTION} on resource: {resource} {why}"
        )))
    }
}
