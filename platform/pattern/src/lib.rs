//! Patterns: what an event must look like to be meant.
//!
//! One engine for the dialects that AWS has: event patterns (EventBridge, Pipes, Lambda's filter criteria) and SNS's filter
//! policies. It knows no service by name and keeps nothing.
//!
//! A pattern is read once ([`reader`], [`compile`]) into alternatives (`$or` taken apart); an event matches if one of them
//! does ([`matching`]). Matching costs time in proportion to the event, wildcards and arrays included, and allocates only for
//! `exists: false` and for events with dots in their field names.
//! Languages: <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html> and
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>; what those pages leave open
//! (positions in errors, arrays, dots in names) follows AWS's published `event-ruler`.

mod address;
mod compile;
mod condition;
mod error;
mod event;
mod expression;
mod filter;
mod letters;
mod matching;
mod number;
mod reader;
mod wildcard;

pub use error::PatternError;
pub use event::EventPattern;
pub use filter::{AttributeValue, FilterPolicy, Scope};
