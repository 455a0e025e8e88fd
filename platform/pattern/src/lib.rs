//! Patterns: what an event must look like to be meant.
//!
//! One engine for the dialects that AWS has: event patterns (EventBridge, Pipes, Lambda's filter criteria) and SNS's filter
//! policies. It knows no service by name and keeps nothing.
