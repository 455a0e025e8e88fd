//! Who sends a request: from its signature to a principal, an account and a region.
//!
//! It happens in two steps round the reading of the body, so that a stranger cannot make the gateway read one:
//! [`claim`] reads the signature, looks the key up and checks the time; [`Claim::confirm`] checks the signature over
//! the body. What a principal may do is decided behind the front door, not here.

use base::{AccountId, ApiError, Principal, Region, Timestamp};
use bytes::Bytes;
use frontdoor::KnownKey;
use http::request::Parts;
use wire::sigv4::{AuthError, Dialect, PathForm, Signature};

use crate::Inner;

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Signatures are not checked. A 12-digit access key id is the account; any other, or none, is the default one.
    Off,
    /// Signatures are checked; keys must be known. IAM policies are not evaluated yet.
    Audit,
    /// As [`AuthMode::Audit`] today: IAM policies are not evaluated yet.
    Enforce,
}

/// An authenticated request's sender.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) principal: Principal,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

/// A sender whose signature is still to be checked.
pub(crate) struct Claim {
    sender: Sender,
    /// The signature and the secret to check it with; `None` when nothing is checked.
    to_check: Option<(Signature, String)>,
}

/// Why a request is refused.
pub(crate) enum Refusal {
    /// In AWS's words, which differ by protocol.
    Auth(AuthError),
    /// As the keeper of the keys said.
    Other(ApiError),
}

impl Refusal {
    pub(crate) fn to_api(&self, dialect: Dialect) -> ApiError {
        match self {
            Refusal::Auth(error) => error.to_api(dialect),
            Refusal::Other(error) => error.clone(),
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Refusal::Auth(error)
    }
}

impl From<ApiError> for Refusal {
    /// The keeper of the keys knows no protocol; its two usual errors get their protocol's form.
    fn from(error: ApiError) -> Self {
        match error.code.as_ref() {
            "InvalidClientTokenId" | "UnrecognizedClientException" => Refusal::Auth(AuthError::UnknownKey),
            "ExpiredToken" | "ExpiredTokenException" => Refusal::Auth(AuthError::ExpiredToken),
            _ => Refusal::Other(error),
        }
    }
}

/// Reads what the request says of its sender. `found` is what [`Signature::find`] gave; `unsigned_allowed` is the
/// model's word for operations that take unsigned requests.
pub(crate) fn claim(
    inner: &Inner,
    found: Result<Option<Signature>, AuthError>,
    unsigned_allowed: bool,
) -> Result<Claim, Refusal> {
    if inner.config.auth == AuthMode::Off {
        return Ok(unchecked(inner, found.ok().flatten()));
    }
    let Some(signature) = found? else {
        if unsigned_allowed {
            let region = inner.config.default_region.clone();
            let sender = Sender { principal: Principal::Anonymous, account: AccountId::DEFAULT, region };
            return Ok(Claim { sender, to_check: None });
        }
        return Err(AuthError::Missing.into());
    };
    let region = region_of(&signature)?;
    let now = inner.config.clock.now();
    let key = inner.credentials.look_up(&signature.access_key_id, signature.session_token.as_deref(), now)?;
    // Clients sign by their own clock: one that the operator moves forward must not age their signatures.
    let offset_ms = i64::try_from(inner.config.clock.offset().as_millis()).unwrap_or(i64::MAX);
    signature.check_time(Timestamp(now.as_millis().saturating_sub(offset_ms)))?;
    let KnownKey { secret, principal, account } = key;
    Ok(Claim { sender: Sender { principal, account, region }, to_check: Some((signature, secret)) })
}

impl Claim {
    /// Checks the signature over the request and its body.
    pub(crate) fn confirm(self, inner: &Inner, parts: &Parts, body: &Bytes) -> Result<Sender, Refusal> {
        if let Some((signature, secret)) = &self.to_check {
            signature.verify(parts, body, secret, PathForm::EncodedTwice, &inner.signing_keys)?;
        }
        Ok(self.sender)
    }
}

/// Without authentication: a key that is known keeps its principal (a function's role stays its role), any other is
/// the root of an account.
fn unchecked(inner: &Inner, signature: Option<Signature>) -> Claim {
    let region = signature.as_ref().and_then(|signature| region_of(signature).ok());
    let known = signature.as_ref().and_then(|signature| {
        let now = inner.config.clock.now();
        inner.credentials.look_up(&signature.access_key_id, signature.session_token.as_deref(), now).ok()
    });
    let (principal, account) = match known {
        Some(key) => (key.principal, key.account),
        None => {
            let id = signature.as_ref().and_then(|signature| signature.access_key_id.parse().ok());
            let account = id.unwrap_or(AccountId::DEFAULT);
            (Principal::Root { account }, account)
        }
    };
    let region = region.unwrap_or_else(|| inner.config.default_region.clone());
    Claim { sender: Sender { principal, account, region }, to_check: None }
}

fn region_of(signature: &Signature) -> Result<Region, AuthError> {
    signature
        .region
        .parse()
        .map_err(|_| AuthError::Incomplete("Credential should be scoped to a valid region. ".to_owned()))
}
