//! The role credentials that a function finds in its environment: from STS through the front door, kept per role and
//! session until five minutes before they expire.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Principal, Timestamp};
use frontdoor::FrontDoorHandle;
use serde::{Deserialize, Serialize};

use crate::function::FunctionConfig;
use crate::invoke::InvokeError;

/// Credentials with less time left than this are not handed out any more.
const MARGIN_MS: i64 = 5 * 60 * 1000;
/// AWS's execution environments hold credentials for up to 12 hours; a role's default maximum is one.
const DURATION_SECONDS: i64 = 3600;

/// A session's keys.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleCredentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
    expiration: wire::Time,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole<'a> {
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRole {
    credentials: RoleCredentials,
}

/// Role ARN and session name.
type Key = (String, String);

/// Gets and keeps credentials.
pub(crate) struct CredentialCache {
    front_door: FrontDoorHandle,
    clock: Clock,
    known: Mutex<HashMap<Key, RoleCredentials>>,
}

impl CredentialCache {
    pub(crate) fn new(front_door: FrontDoorHandle, clock: Clock) -> Self {
        CredentialCache { front_door, clock, known: Mutex::default() }
    }

    /// Credentials of the function's role that are good for new requests for so long at least. Two environments that
    /// ask at once may each get their own.
    pub(crate) async fn get(
        &self,
        function: &FunctionConfig,
        good_for: Duration,
    ) -> Result<RoleCredentials, InvokeError> {
        let key = (function.role.clone(), function.name.clone());
        let now = self.clock.now();
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && is_fresh(known, now.after(good_for))
        {
            return Ok(known.clone());
        }
        let gone = || InvokeError::Internal("the front door is closed".to_owned());
        let front_door = self.front_door.try_get().ok_or_else(gone)?;
        let service = Principal::Service("lambda.amazonaws.com");
        let call = front_door.call(service, function.account, function.region.clone());
        let request = AssumeRole {
            role_arn: &function.role,
            role_session_name: &session_name(&function.name),
            duration_seconds: DURATION_SECONDS,
        };
        let assumed: AssumedRole =
            call.service("sts").invoke("AssumeRole", &request).await.map_err(|error| {
                InvokeError::RoleNotAssumed { role: function.role.clone(), why: error.message }
            })?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, credentials| is_fresh(credentials, now));
        known.insert(key, assumed.credentials.clone());
        Ok(assumed.credentials)
    }
}

fn is_fresh(credentials: &RoleCredentials, now: Timestamp) -> bool {
    now < credentials.fresh_until()
}

impl RoleCredentials {
    /// For a box in which no function runs.
    pub(super) fn none() -> Self {
        RoleCredentials {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: String::new(),
            expiration: wire::Time(Timestamp::default()),
        }
    }

    /// When they end.
    pub(crate) fn ends(&self) -> Timestamp {
        Timestamp(self.expiration.0.as_millis())
    }

    /// From then on neither they nor an environment that has them should be used for something new.
    pub(crate) fn fresh_until(&self) -> Timestamp {
        Timestamp(self.expiration.0.as_millis().saturating_sub(MARGIN_MS))
    }
}
/// The session of a function is called as the function is. STS wants two characters at least.
fn session_name(function: &str) -> Cow<'_, str> {
    if function.len() < 2 { Cow::Owned(format!("{function}_")) } else { Cow::Borrowed(function) }
}
