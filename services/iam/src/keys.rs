//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `iam, account, "role", name in lower case` | [`crate::role::Role`], version 1 |
//! | `iam, account, "policy", name in lower case` | [`crate::policy::Policy`], version 1 |
//!
//! Names are unique whatever their case, as on AWS, so the key is in lower case and the record keeps the spelling.
//! A role's inline policies, attachments and tags live in its record: they are bounded (see `lib.rs`) and are read
//! together.

use base::AccountId;
use store::Range;
use store::key::Key;

pub(crate) const ROLE_VERSION: u8 = 1;
pub(crate) const POLICY_VERSION: u8 = 1;

/// A kind of entity with records of its own.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Role,
    Policy,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Role => "role",
            Kind::Policy => "policy",
        }
    }
}

/// Where an entity's record is.
pub(crate) fn entity(kind: Kind, account: AccountId, name: &str) -> Vec<u8> {
    Key::new("iam").str(account).str(kind.word()).str(name.to_lowercase()).build()
}

/// All records of a kind, in the order of their names in lower case.
pub(crate) fn all(kind: Kind, account: AccountId) -> Range {
    Key::new("iam").str(account).str(kind.word()).range()
}
