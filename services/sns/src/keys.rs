//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sns, "topic", account, region, name` | [`crate::topic::Topic`], version 1 |

use base::{AccountId, Region};
use store::key::Key;

/// Schema version of every value.
pub(crate) const VERSION: u8 = 1;

/// The account and region whose topics are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

impl Scope {
    fn table(&self, name: &str) -> Key {
        Key::new("sns").str(name).str(self.account).str(self.region.as_str())
    }
}

pub(crate) fn topic(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("topic").str(name).build()
}
