//! SetSMSAttributes, GetSMSAttributes, CheckIfPhoneNumberIsOptedOut, ListPhoneNumbersOptedOut, OptInPhoneNumber and
//! ListOriginationNumbers. The sandbox has a room of its own.
//!
//! No text message is ever sent: settings that steer sending and its reports (`MonthlySpendLimit`,
//! `DeliveryStatusIAMRole`, ...) are checked, kept and shown, and there is nothing for them to steer.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_SetSMSAttributes.html>.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{TxError, value};

use super::paging;
use crate::Sns;
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::outside::phones::{self, OptedOut};

/// A number can be opted in once in so long.
const OPT_IN_EVERY: Duration = Duration::from_secs(30 * 86_400);
/// Numbers of one answer.
const PAGE: usize = 100;

pub(super) fn scope_of(call: &Call) -> Scope {
    Scope { account: call.account(), region: call.region().clone() }
}

#[derive(Deserialize)]
pub(crate) struct SetSmsAttributes {
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(crate) struct Done {}

pub(crate) async fn set_sms_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: SetSmsAttributes,
) -> Result<Done, SnsError> {
    for (name, value) in &request.attributes {
        check_setting(name, value)?;
    }
    let scope = scope_of(&call);
    let changes = request.attributes;
    sns.store.transact(move |tx| phones::set_settings(tx, &scope, &changes)).await?;
    Ok(Done {})
}

fn check_setting(name: &str, value: &str) -> Result<(), SnsError> {
    let is_number = |most: u64| value.parse::<u64>().is_ok_and(|number| number <= most);
    let is_fine = match name {
        "MonthlySpendLimit" => is_number(u64::from(u32::MAX)),
        "DeliveryStatusSuccessSamplingRate" => is_number(100),
        "DefaultSMSType" => ["Promotional", "Transactional"].contains(&value),
        "DefaultSenderID" => is_sender_id(value),
        "DeliveryStatusIAMRole" => value.starts_with("arn:aws:iam::") && value.contains(":role/"),
        "UsageReportS3Bucket" => (3..=63).contains(&value.len()),
        _ => {
            return Err(SnsError::InvalidParameter(format!("attributes Reason: Unknown attribute: {name}")));
        }
    };
    // Empty values take a setting back.
    if is_fine || value.is_empty() {
        return Ok(());
    }
    Err(SnsError::InvalidParameter(format!("{name} Reason: invalid value: {value}")))
}

/// Letters, digits and hyphens, 1 to 11, with a letter among them.
fn is_sender_id(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[derive(Deserialize)]
pub(crate) struct GetSmsAttributes {
    attributes: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(crate) struct SmsAttributes {
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn get_sms_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: GetSmsAttributes,
) -> Result<SmsAttributes, SnsError> {
    let mut attributes = phones::settings(&sns.store, &scope_of(&call))?;
    attributes.entry("MonthlySpendLimit".to_owned()).or_insert_with(|| "1".to_owned());
    if let Some(wanted) = request.attributes.filter(|wanted| !wanted.is_empty()) {
        attributes.retain(|name, _| wanted.contains(name));
    }
    Ok(SmsAttributes { attributes })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OnePhone {
    phone_number: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IsOptedOut {
    is_opted_out: bool,
}

fn checked(number: &str) -> Result<&str, SnsError> {
    if phones::is_number(number) {
        return Ok(number);
    }
    Err(SnsError::InvalidParameter("PhoneNumber Reason: input incorrectly formatted".to_owned()))
}

pub(crate) async fn check_if_phone_number_is_opted_out(
    sns: Arc<Sns>,
    call: Call,
    request: OnePhone,
) -> Result<IsOptedOut, SnsError> {
    let number = checked(&request.phone_number)?;
    let row = phones::opted_out(&sns.store, &scope_of(&call), number)?;
    Ok(IsOptedOut { is_opted_out: row.is_out })
}

pub(crate) async fn opt_in_phone_number(
    sns: Arc<Sns>,
    call: Call,
    request: OnePhone,
) -> Result<Done, SnsError> {
    let key = keys::opted_out(&scope_of(&call), checked(&request.phone_number)?);
    let now = sns.clock.now();
    let outcome = sns.store.transact_with(move |tx| {
        let Some(bytes) = tx.get(&key)? else { return Ok(Ok(())) };
        let row: OptedOut = value::decode(VERSION, &bytes)?;
        if !row.is_out {
            return Ok(Ok(()));
        }
        if row.opted_in_at.is_some_and(|at| at.after(OPT_IN_EVERY) > now) {
            return Ok(Err(SnsError::InvalidParameter(
                "PhoneNumber Reason: a phone number can be opted in once every 30 days".to_owned(),
            )));
        }
        let row = OptedOut { is_out: false, opted_in_at: Some(now) };
        tx.put(key.clone(), value::encode(VERSION, &row))?;
        Ok(Ok(()))
    });
    outcome.await??;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListOptedOut {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OptedOutNumbers {
    phone_numbers: Vec<String>,
    next_token: Option<String>,
}

pub(crate) async fn list_phone_numbers_opted_out(
    sns: Arc<Sns>,
    call: Call,
    request: ListOptedOut,
) -> Result<OptedOutNumbers, SnsError> {
    let scope = scope_of(&call);
    let mut range = keys::opted_out_numbers(&scope).range();
    if let Some(last) = paging::read("nextToken", request.next_token.as_deref())? {
        range.from = paging::after(keys::opted_out(&scope, &last));
    }
    let mut phone_numbers = Vec::new();
    // Numbers that came back stay as rows; there are as many as anybody opted out by hand.
    for (key, bytes) in sns.store.range(range)? {
        let row: OptedOut = value::decode(VERSION, &bytes).map_err(TxError::from)?;
        if row.is_out {
            phone_numbers.extend(keys::last_text(&key));
        }
        if phone_numbers.len() > PAGE {
            break;
        }
    }
    let next_token = paging::cut(&mut phone_numbers, PAGE, String::as_str);
    Ok(OptedOutNumbers { phone_numbers, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListOriginationNumbers {
    // There are no pages: an account has no numbers to send from, because nothing is sent.
    #[serde(rename = "NextToken")]
    _next_token: Option<String>,
    #[serde(rename = "MaxResults")]
    _max_results: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OriginationNumbers {
    phone_numbers: Vec<String>,
}

pub(crate) async fn list_origination_numbers(
    _sns: Arc<Sns>,
    _call: Call,
    _request: ListOriginationNumbers,
) -> Result<OriginationNumbers, SnsError> {
    Ok(OriginationNumbers { phone_numbers: Vec::new() })
}
