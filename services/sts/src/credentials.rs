//! The gateway's question: what is the secret of this access key, and who is its owner?
//!
//! Three kinds of keys are known: `test` (root of account 000000000000), any 12-digit id (root of that account), both
//! with the secret `test`; and session keys of this server, which need their token. No store is read.
//! Texts: <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>.

use base::{AccountId, ApiError, Principal, Timestamp};
use frontdoor::{Credentials, KnownKey};

use crate::Sts;
use crate::session::BadToken;

const DEFAULT_KEY_ID: &str = "test";
const STATIC_SECRET: &str = "test";

impl Credentials for Sts {
    fn look_up(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        now: Timestamp,
    ) -> Result<KnownKey, ApiError> {
        // A token only goes with a session key; sent with any other it is a mistake, as on AWS.
        match (account_of_static_key(access_key_id), session_token.filter(|token| !token.is_empty())) {
            (Some(account), None) => Ok(KnownKey {
                secret: STATIC_SECRET.to_owned(),
                principal: Principal::Root { account },
                account,
            }),
            (None, Some(token)) => {
                let session = self.sealer.open(access_key_id, token, now).map_err(|reason| match reason {
                    BadToken::Forged => unknown_key(),
                    BadToken::Expired => expired(),
                })?;
                let account = session.account;
                Ok(KnownKey {
                    secret: session.secret,
                    principal: session.subject.principal(account),
                    account,
                })
            }
            _ => Err(unknown_key()),
        }
    }
}

/// The account whose root an access key with the well-known secret is.
fn account_of_static_key(access_key_id: &str) -> Option<AccountId> {
    if access_key_id == DEFAULT_KEY_ID { Some(AccountId::DEFAULT) } else { access_key_id.parse().ok() }
}

fn unknown_key() -> ApiError {
    ApiError::new("InvalidClientTokenId", "The security token included in the request is invalid.")
        .status(403)
}

fn expired() -> ApiError {
    ApiError::new("ExpiredToken", "The security token included in the request is expired").status(403)
}
