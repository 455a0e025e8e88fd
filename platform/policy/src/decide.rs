//! What a policy says of a request: a statement that denies wins over one that allows, and that over silence.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

use base::{AccountId, Principal};

use crate::context::Request;
use crate::document::{CURRENT_VERSION, Document, Effect, OneOrMany, Statement};
use crate::operator;
use crate::principal::account_of;
use crate::wildcard::{Filled, matches};

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement is about it.
    Silent,
}

impl Decision {
    /// Of two policies for one resource: a denial wins over a permission, and that over silence.
    #[must_use]
    pub fn and(self, other: Decision) -> Decision {
        match (self, other) {
            (Decision::Denied, _) | (_, Decision::Denied) => Decision::Denied,
            (Decision::Allowed, _) | (_, Decision::Allowed) => Decision::Allowed,
            _ => Decision::Silent,
        }
    }
}

/// A decision, and which statement made it.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'d> {
    /// The decision.
    pub decision: Decision,
    /// The first statement that denies, or else the first that allows; `None` when no statement is about the request.
    pub statement: Option<&'d Statement>,
}

/// Whether a resource's policy lets a principal in: whoever is of the owner's account unless it is denied; another
/// account, a service or a stranger only if it is allowed. (What identity policies add within the account is not looked at.)
#[must_use]
pub fn resource_permits(owner: AccountId, principal: &Principal, decision: Decision) -> bool {
    match decision {
        Decision::Allowed => true,
        Decision::Denied => false,
        Decision::Silent => account_of(principal) == Some(owner),
    }
}

impl Document {
    /// What the policy says of a request.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.judge(request).decision
    }

    /// What the policy says of a request, and by which statement.
    #[must_use]
    pub fn judge(&self, request: &Request<'_>) -> Verdict<'_> {
        // Variables came with the version of 2012; before, they were text like any other.
        let has_variables = self.version.as_deref() == Some(CURRENT_VERSION);
        let mut verdict = Verdict { decision: Decision::Silent, statement: None };
        for statement in self.statement.iter().filter(|statement| statement.applies(request, has_variables)) {
            match statement.effect {
                Effect::Deny => {
                    return Verdict { decision: Decision::Denied, statement: Some(statement) };
                }
                Effect::Allow if verdict.statement.is_none() => {
                    verdict = Verdict { decision: Decision::Allowed, statement: Some(statement) };
                }
                Effect::Allow => {}
            }
        }
        verdict
    }
}

impl Statement {
    fn applies(&self, request: &Request<'_>, has_variables: bool) -> bool {
        self.is_about_action(request.action)
            && self.is_about_principal(request.principal)
            && self.is_about_resource(request, has_variables)
            && self
                .condition
                .as_ref()
                .is_none_or(|conditions| operator::all_hold(conditions, request, has_variables))
    }

    fn is_about_principal(&self, principal: &Principal) -> bool {
        match (&self.principal, &self.not_principal) {
            (Some(block), _) => block.covers(principal),
            (None, Some(block)) => !block.covers(principal),
            (None, None) => false,
        }
    }

    fn is_about_action(&self, action: &str) -> bool {
        listed(&self.action, &self.not_action, |pattern| action_matches(pattern, action))
    }

    fn is_about_resource(&self, request: &Request<'_>, has_variables: bool) -> bool {
        // A resource's policy may leave out what it is about.
        if self.resource.is_none() && self.not_resource.is_none() {
            return true;
        }
        listed(&self.resource, &self.not_resource, |pattern| {
            Filled::of(pattern, request, has_variables)
                .is_some_and(|pattern| pattern.is_like_resource(request.resource))
        })
    }
}

/// In the list, or not in the other one. A statement with neither is about nothing.
fn listed(
    names: &Option<OneOrMany<String>>,
    not: &Option<OneOrMany<String>>,
    is: impl Fn(&str) -> bool,
) -> bool {
    match (names, not) {
        (Some(names), _) => names.items().iter().any(|name| is(name)),
        (None, Some(not)) => !not.items().iter().any(|name| is(name)),
        (None, None) => false,
    }
}

/// Actions are compared without regard to case.
fn action_matches(pattern: &str, action: &str) -> bool {
    pattern == "*"
        || pattern.eq_ignore_ascii_case(action)
        || (pattern.contains(['*', '?'])
            && matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
}
