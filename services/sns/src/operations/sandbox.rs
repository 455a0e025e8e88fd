//! The sandbox for text messages: CreateSMSSandboxPhoneNumber, VerifySMSSandboxPhoneNumber, DeleteSMSSandboxPhoneNumber,
//! ListSMSSandboxPhoneNumbers and GetSMSSandboxAccountStatus.
//!
//! An account here is never in the sandbox: no message leaves, so none has to be held back. The one-time password that
//! would be sent to a number lies in the outbox.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-sms-sandbox-verifying-phone-numbers.html>.

use std::sync::Arc;
use std::time::Duration;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use super::paging;
use super::sms::{Done, scope_of};
use crate::Sns;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::outside::outbox::{self, OutboxKind, OutboxRecord};
use crate::outside::phones::SandboxNumber;

/// The most numbers of an account.
const MAX_NUMBERS: usize = 10;
/// How long a password holds.
const PASSWORD_LIFE: Duration = Duration::from_secs(15 * 60);
/// After so many wrong ones a new password must be asked for.
const MAX_MISTAKES: u32 = 3;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateNumber {
    phone_number: String,
    // The text is in English whatever is asked for; its language steers nothing else.
    #[serde(rename = "LanguageCode")]
    _language_code: Option<String>,
}

pub(crate) async fn create_number(
    sns: Arc<Sns>,
    call: Call,
    request: CreateNumber,
) -> Result<Done, SnsError> {
    let number = checked(request.phone_number)?;
    let (scope, now) = (scope_of(&call), sns.clock.now());
    let password = one_time_password()?;
    let outcome = sns.store.transact_with(move |tx| {
        let key = keys::sandbox_number(&scope, &number);
        match find(tx, &key)? {
            // Nothing is asked of a number that is verified.
            Some(row) if row.is_verified => return Ok(Ok(())),
            Some(_) => {}
            None if tx.range(keys::sandbox_numbers(&scope).range())?.len() >= MAX_NUMBERS => {
                return Ok(Err(user_error(format!(
                    "An account can have {MAX_NUMBERS} destination phone numbers in the SMS sandbox."
                ))));
            }
            None => {}
        }
        let row =
            SandboxNumber { is_verified: false, password: password.clone(), password_at: now, mistakes: 0 };
        tx.put(key, value::encode(VERSION, &row))?;
        let record = OutboxRecord {
            kind: OutboxKind::Sms,
            to: number.clone(),
            at: now.iso8601(),
            region: scope.region.as_str().to_owned(),
            topic_arn: None,
            message_id: uuid::Uuid::new_v4().to_string(),
            subject: None,
            text: format!("Your verification code for the SMS sandbox is {password}"),
            channel: Some("Transactional".to_owned()),
            link: None,
        };
        outbox::record(tx, scope.account, record)?;
        Ok(Ok(()))
    });
    outcome.await??;
    Ok(Done {})
}

fn find(tx: &dyn Tx, key: &[u8]) -> Result<Option<SandboxNumber>, TxError> {
    Ok(tx.get(key)?.map(|bytes| value::decode(VERSION, &bytes)).transpose()?)
}

fn checked(number: String) -> Result<String, SnsError> {
    // The model lets numbers without a country through, as AWS does for some; nobody could be told them apart here.
    match crate::outside::phones::is_number(&number) {
        true => Ok(number),
        false => {
            Err(SnsError::InvalidParameter("PhoneNumber Reason: input incorrectly formatted".to_owned()))
        }
    }
}

fn user_error(message: String) -> SnsError {
    SnsError::Other { code: "UserErrorException", message }
}

/// Six digits.
fn one_time_password() -> Result<String, SnsError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| SnsError::Other {
        code: "InternalErrorException",
        message: format!("no random numbers: {error}"),
    })?;
    Ok(format!("{:06}", u64::from_be_bytes(bytes) % 1_000_000))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VerifyNumber {
    phone_number: String,
    one_time_password: String,
}

/// What came of a password.
enum Verified {
    Yes,
    NoSuchNumber,
    Wrong,
}

pub(crate) async fn verify_number(
    sns: Arc<Sns>,
    call: Call,
    request: VerifyNumber,
) -> Result<Done, ApiError> {
    let number = checked(request.phone_number)?;
    let (key, now) = (keys::sandbox_number(&scope_of(&call), &number), sns.clock.now());
    let given = request.one_time_password;
    let outcome = sns.store.transact(move |tx| {
        let Some(mut row) = find(tx, &key)? else { return Ok(Verified::NoSuchNumber) };
        if row.is_verified {
            return Ok(Verified::Yes);
        }
        let is_right = row.password == given
            && row.password_at.after(PASSWORD_LIFE) > now
            && row.mistakes < MAX_MISTAKES;
        if is_right {
            row.is_verified = true;
        } else {
            row.mistakes = row.mistakes.saturating_add(1);
        }
        tx.put(key.clone(), value::encode(VERSION, &row))?;
        Ok(if is_right { Verified::Yes } else { Verified::Wrong })
    });
    match outcome.await.map_err(SnsError::from)? {
        Verified::Yes => Ok(Done {}),
        Verified::NoSuchNumber => Err(not_found()),
        Verified::Wrong => {
            let mut error = ApiError::new("VerificationException", "The one-time password is not valid.");
            error.members.push(("Status", "Pending".to_owned()));
            Err(error)
        }
    }
}

fn not_found() -> ApiError {
    ApiError::new("ResourceNotFoundException", "The phone number is not in the SMS sandbox.").status(404)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteNumber {
    phone_number: String,
}

pub(crate) async fn delete_number(
    sns: Arc<Sns>,
    call: Call,
    request: DeleteNumber,
) -> Result<Done, ApiError> {
    let number = checked(request.phone_number)?;
    let key = keys::sandbox_number(&scope_of(&call), &number);
    let deleted = sns.store.transact(move |tx| {
        let is_there = tx.get(&key)?.is_some();
        tx.delete(&key)?;
        Ok(is_there)
    });
    if deleted.await.map_err(SnsError::from)? { Ok(Done {}) } else { Err(not_found()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListNumbers {
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Numbers {
    phone_numbers: Vec<Number>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Number {
    phone_number: String,
    status: &'static str,
}

pub(crate) async fn list_numbers(
    sns: Arc<Sns>,
    call: Call,
    request: ListNumbers,
) -> Result<Numbers, SnsError> {
    let scope = scope_of(&call);
    let page = request.max_results.unwrap_or(MAX_NUMBERS);
    let mut range = keys::sandbox_numbers(&scope).range().limit(page + 1);
    if let Some(last) = paging::read("NextToken", request.next_token.as_deref())? {
        range.from = paging::after(keys::sandbox_number(&scope, &last));
    }
    let mut phone_numbers = Vec::new();
    for (key, bytes) in sns.store.range(range)? {
        let row: SandboxNumber = value::decode(VERSION, &bytes).map_err(TxError::from)?;
        let status = if row.is_verified { "Verified" } else { "Pending" };
        phone_numbers.extend(keys::last_text(&key).map(|phone_number| Number { phone_number, status }));
    }
    let next_token = paging::cut(&mut phone_numbers, page, |number| &number.phone_number);
    Ok(Numbers { phone_numbers, next_token })
}

#[derive(Deserialize)]
pub(crate) struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountStatus {
    is_in_sandbox: bool,
}

pub(crate) async fn account_status(
    _sns: Arc<Sns>,
    _call: Call,
    _request: Nothing,
) -> Result<AccountStatus, SnsError> {
    Ok(AccountStatus { is_in_sandbox: false })
}
