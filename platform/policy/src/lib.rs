//! Policies: documents that say who may do what, and what they come to for one request.
//!
//! It knows no service by name and keeps nothing: what a request looks like, and where a policy is kept, is each
//! service's business.
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.
