//! The operations and their table of handlers.
//!
//! The model's constraints (patterns, lengths, ranges) are checked before a handler runs; here is what the model
//! does not say.

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Arn, Principal, Timestamp};
use frontdoor::{Call, Service};
use serde::{Deserialize, Serialize};

use crate::Sts;
use crate::errors::StsError;
use crate::session::{SessionKeys, Subject};

const ASSUME_ROLE_DEFAULT_S: u64 = 3_600;
const CHAINED_ROLE_MAX_S: u64 = 3_600;
const GET_SESSION_TOKEN_DEFAULT_S: u64 = 43_200;
const ROOT_SESSION_MAX_S: u64 = 3_600;

pub(crate) fn table(sts: Arc<Sts>) -> Service {
    Service::new("sts", sts)
        .on("GetCallerIdentity", get_caller_identity)
        .on("AssumeRole", assume_role)
        .on("GetSessionToken", get_session_token)
        .build()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: wire::Time,
}

impl From<SessionKeys> for Credentials {
    fn from(keys: SessionKeys) -> Self {
        Credentials {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret,
            session_token: keys.token,
            expiration: wire::Time(keys.expires),
        }
    }
}

#[derive(Deserialize)]
struct GetCallerIdentity {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    user_id: String,
    account: String,
    arn: String,
}

async fn get_caller_identity(
    sts: Arc<Sts>,
    call: Call,
    _input: GetCallerIdentity,
) -> Result<CallerIdentity, StsError> {
    let principal = call.principal();
    let user_id = match principal {
        Principal::AssumedRole { account, role, session } => {
            format!("{}:{session}", sts.sealer.role_id(*account, role))
        }
        Principal::User { name, .. } => name.to_string(),
        Principal::Root { account } => account.to_string(),
        Principal::Service(_) | Principal::Anonymous => call.account().to_string(),
    };
    // An unsigned call gets here only where signatures are off; it is then taken for the account's root.
    let arn = match principal {
        Principal::Anonymous => Principal::Root { account: call.account() }.arn(),
        known => known.arn(),
    };
    Ok(CallerIdentity { user_id, account: call.account().to_string(), arn })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<u64>,
    /// Only a trust policy can look at it, and none is evaluated yet; see `lib.rs`.
    #[serde(rename = "ExternalId")]
    _external_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRole {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

async fn assume_role(sts: Arc<Sts>, call: Call, input: AssumeRole) -> Result<AssumedRole, StsError> {
    let (account, role) = parse_role(&input.role_arn)?;
    let duration_s = input.duration_seconds.unwrap_or(ASSUME_ROLE_DEFAULT_S);
    if matches!(call.principal(), Principal::AssumedRole { .. }) && duration_s > CHAINED_ROLE_MAX_S {
        return Err(StsError::ChainingTooLong);
    }
    let subject = Subject::Role { role: role.into(), session: input.role_session_name.as_str().into() };
    let arn = subject.clone().principal(account).arn();
    let keys = sts.sealer.mint(account, subject, expiry(&sts, duration_s))?;
    Ok(AssumedRole {
        credentials: keys.into(),
        assumed_role_user: AssumedRoleUser {
            assumed_role_id: format!("{}:{}", sts.sealer.role_id(account, role), input.role_session_name),
            arn,
        },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSessionToken {
    duration_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SessionToken {
    credentials: Credentials,
}

async fn get_session_token(
    sts: Arc<Sts>,
    call: Call,
    input: GetSessionToken,
) -> Result<SessionToken, StsError> {
    let (account, subject) = match call.principal() {
        Principal::Root { account } => (*account, Subject::Root),
        Principal::User { account, name } => (*account, Subject::User { name: name.clone() }),
        Principal::AssumedRole { .. } | Principal::Service(_) => return Err(StsError::SessionFromSession),
        Principal::Anonymous => return Err(StsError::Anonymous),
    };
    let asked_s = input.duration_seconds.unwrap_or(GET_SESSION_TOKEN_DEFAULT_S);
    // AWS shortens a longer request of root to an hour; it does not refuse it.
    let duration_s = if subject == Subject::Root { asked_s.min(ROOT_SESSION_MAX_S) } else { asked_s };
    let keys = sts.sealer.mint(account, subject, expiry(&sts, duration_s))?;
    Ok(SessionToken { credentials: keys.into() })
}

/// The account and the name without its path of `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
fn parse_role(text: &str) -> Result<(AccountId, &str), StsError> {
    let arn: Arn = text.parse().map_err(|_| StsError::InvalidArn(text.to_owned()))?;
    if arn.service != "iam" || !arn.region.is_empty() {
        return Err(StsError::NotARole);
    }
    let account = arn.account.parse().map_err(|_| StsError::NotARole)?;
    if !arn.resource.starts_with("role/") {
        return Err(StsError::NotARole);
    }
    let name = text.rsplit('/').next().unwrap_or_default();
    let name_fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if name_fits { Ok((account, name)) } else { Err(StsError::NotARole) }
}

fn expiry(sts: &Sts, duration_s: u64) -> Timestamp {
    sts.now().after(Duration::from_secs(duration_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_arn_gives_account_and_bare_name() {
        let (account, name) = parse_role("arn:aws:iam::000000000042:role/team/a/worker").unwrap();
        assert_eq!((account.to_string().as_str(), name), ("000000000042", "worker"));
        for bad in [
            "arn:aws:iam::000000000042:user/worker",
            "arn:aws:iam::42:role/worker",
            "arn:aws:iam::000000000042:role/",
            "arn:aws:iam:us-east-1:000000000042:role/worker",
            "arn:aws:s3::000000000042:role/worker",
            "arn:aws:iam::000000000042:role/bad name",
        ] {
            assert!(matches!(parse_role(bad), Err(StsError::NotARole)), "{bad}");
        }
        assert!(matches!(parse_role("worker-role-without-arn"), Err(StsError::InvalidArn(_))));
    }
}
