//! Policies: documents that say who may do what, and what they come to for one request.
//!
//! [`Document::parse`] reads a resource's policy, [`Document::judge`] says what it means for a [`Request`]: who wants to do
//! what to which resource, and what else is known ([`Context`]). It is a function of these alone.
//!
//! It knows no service by name and keeps nothing: what a request looks like, which keys it has, where a policy is kept and
//! how its errors are worded is each service's business. Policies of identities, boundaries and sessions are not evaluated
//! yet: within one account a resource's policy can only deny ([`resource_permits`]).
//!
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>; evaluation:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

mod check;
mod context;
mod decide;
mod document;
mod operator;
mod principal;
mod values;
mod wildcard;

pub use check::{Flaw, PolicyError};
pub use context::{Context, Request};
pub use decide::{Decision, Verdict, resource_permits};
pub use document::{Conditions, Document, Effect, OneOrMany, Pairs, PrincipalBlock, Scalar, Statement};
pub use principal::account_of;
pub use wildcard::matches;
