//! What authentication needs to know about keys. The service that issues them implements it; the gateway asks it.

use base::{AccountId, ApiError, Principal, Timestamp};

/// A key that exists and is valid now.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The secret that signatures are checked with.
    pub secret: String,
    /// Who the key belongs to.
    pub principal: Principal,
    /// The account that the key's requests are for.
    pub account: AccountId,
}

impl std::fmt::Debug for KnownKey {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownKey")
            .field("principal", &self.principal)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Looks up access keys. It is asked on every signed request: keep it fast, and free of I/O.
pub trait Credentials: Send + Sync {
    /// The key with this id. Temporary keys are valid with their session token only.
    ///
    /// # Errors
    /// `InvalidClientTokenId` (no such key, or a wrong session token) or `ExpiredToken` (a temporary key past its
    /// end). The gateway turns these into the code and status of the request's protocol; other errors pass as they
    /// are.
    fn look_up(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        now: Timestamp,
    ) -> Result<KnownKey, ApiError>;
}
