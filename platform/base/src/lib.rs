//! The words every other crate speaks: identities, names, time, errors.
//!
//! It is not a place for helpers. A type belongs here when at least two floors of the house need it and it names
//! something that AWS's documentation names too. It knows no service, no protocol and no file.
//!
//! **Invariant:** nothing here reads the wall clock but [`clock::Clock::system`].

pub mod arn;
pub mod clock;
pub mod error;
pub mod identity;

pub use arn::Arn;
pub use clock::{Clock, Timestamp};
pub use error::ApiError;
pub use identity::{AccountId, Principal, Region, RequestId};
