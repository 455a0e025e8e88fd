//! AWS Security Token Service: who am I, and temporary credentials for a role or for the caller.
//!
//! It mints and verifies session credentials; the gateway asks it (as [`frontdoor::Credentials`]) for the secret of
//! every access key that signs a request. It stores no session: a session's claims travel in its token, sealed with
//! a key that only this server has (see [`session`]). It evaluates no policy.
//!
//! Operations: GetCallerIdentity, AssumeRole, GetSessionToken.
//! API: <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>.
//!
//! **Limits**
//! - AssumeRole lasts 900 to 43,200 s (3,600 s by default); 3,600 s at most when a role's session assumes a role.
//! - GetSessionToken lasts 900 to 129,600 s (43,200 s by default); 3,600 s at most, and by default, for root.
//! - A session cannot be revoked before it expires.
//!
//! **Not supported yet, and what happens instead**
//! - The role's trust policy is not evaluated and the role need not exist: any authenticated caller may assume any
//!   role of any account, root included (AWS refuses root). For this reason `ExternalId` is accepted and changes
//!   nothing: only a trust policy can look at it. A role's own MaxSessionDuration is not looked at either.
//! - `Policy`, `PolicyArns`, `Tags`, `TransitiveTagKeys`, `SourceIdentity`, `SerialNumber`, `TokenCode` and
//!   `ProvidedContexts` are refused by name, because nothing would honour them.
//! - The id in `AssumedRoleId` is derived from the role's ARN; it is not the `RoleId` that IAM shows.
//!
//! **Keys in the store**
//!
//! | key | value |
//! | --- | --- |
//! | `sts, "master"` | the 32 bytes every session is sealed with; one per server, made at the first start |

mod credentials;
mod errors;
mod keys;
mod operations;
mod session;

use std::sync::Arc;

use base::{Clock, Timestamp};
use store::Store;

use crate::session::Sealer;

/// What the service needs.
pub struct StsDeps {
    /// Where the master key lives.
    pub store: Store,
    /// What a session's expiry goes by.
    pub clock: Clock,
}

/// The service. One per server.
pub struct Sts {
    sealer: Sealer,
    clock: Clock,
}

impl Sts {
    /// Reads the master key, or makes one at the first start (durably, before it returns).
    ///
    /// # Errors
    /// When the store cannot be read or written, or the system has no random bytes to give.
    pub async fn new(deps: StsDeps) -> Result<Arc<Sts>, StartError> {
        let master = keys::load_or_create_master(&deps.store).await?;
        Ok(Arc::new(Sts { sealer: Sealer::new(master), clock: deps.clock }))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error("cannot read or write the key that seals session credentials: {0}")]
    Store(#[from] store::StoreError),
    /// What is stored is not a master key.
    #[error("the stored key that seals session credentials has {length} bytes, not 32")]
    BadMaster {
        /// How many bytes it has.
        length: usize,
    },
    /// The system's random source failed.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(sts: Arc<Sts>) -> frontdoor::Service {
    operations::table(sts)
}
