//! Who sent a message: the principal's unique id, as `GetCallerIdentity` tells it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base::{ApiError, Principal};
use frontdoor::Call;
use serde::Deserialize;

/// Ids that are remembered: a session's id never changes.
const REMEMBERED: usize = 1_000;

/// Ids of sessions that have sent messages.
#[derive(Default)]
pub(crate) struct Senders {
    ids: Mutex<HashMap<Principal, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    user_id: String,
}

impl Senders {
    /// The unique id of whoever calls.
    ///
    /// # Errors
    /// What STS answers.
    pub(super) async fn id(&self, call: &Call) -> Result<String, ApiError> {
        match call.principal() {
            Principal::Root { account } => return Ok(account.to_string()),
            Principal::User { name, .. } => return Ok(name.to_string()),
            Principal::Service(_) | Principal::Anonymous => return Ok(call.account().to_string()),
            Principal::AssumedRole { .. } => {}
        }
        let ids = || self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = ids().get(call.principal()) {
            return Ok(id.clone());
        }
        let identity: CallerIdentity = call.service("sts").invoke("GetCallerIdentity", &()).await?;
        let mut ids = ids();
        if ids.len() >= REMEMBERED {
            ids.clear();
        }
        ids.insert(call.principal().clone(), identity.user_id.clone());
        Ok(identity.user_id)
    }
}
