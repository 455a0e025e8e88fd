//! Telephone numbers: an account's settings for text messages, who does not want any, and the sandbox's list.
//!
//! Text messages are never sent, so an account is never in the sandbox; its list of numbers works all the same, and its
//! one-time passwords lie in the outbox.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sms_preferences.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-sms-sandbox.html>.

use std::collections::BTreeMap;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, Tx, TxError, value};

use crate::keys::{self, Scope, VERSION};

/// A number that stopped its messages, or did once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OptedOut {
    pub(crate) is_out: bool,
    /// When it was opted in last.
    pub(crate) opted_in_at: Option<Timestamp>,
}

/// A number on the sandbox's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxNumber {
    pub(crate) is_verified: bool,
    pub(crate) password: String,
    pub(crate) password_at: Timestamp,
    /// Wrong passwords since.
    pub(crate) mistakes: u32,
}

/// Whether a number is one that messages could go to: E.164.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

/// The account's settings in the region, those that were set.
pub(crate) fn settings(store: &Store, scope: &Scope) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(bytes) = store.get(&keys::sms_settings(scope))? else { return Ok(BTreeMap::new()) };
    Ok(value::decode(VERSION, &bytes).map_err(TxError::from)?)
}

/// Sets some of the account's settings.
pub(crate) fn set_settings(
    tx: &mut dyn Tx,
    scope: &Scope,
    changes: &BTreeMap<String, String>,
) -> Result<(), TxError> {
    let key = keys::sms_settings(scope);
    let mut all: BTreeMap<String, String> = match tx.get(&key)? {
        Some(bytes) => value::decode(VERSION, &bytes)?,
        None => BTreeMap::new(),
    };
    all.extend(changes.clone());
    all.retain(|_, value| !value.is_empty());
    tx.put(key, value::encode(VERSION, &all))
}

/// What is known of a number's wish.
pub(crate) fn opted_out(store: &Store, scope: &Scope, number: &str) -> Result<OptedOut, StoreError> {
    let Some(bytes) = store.get(&keys::opted_out(scope, number))? else { return Ok(OptedOut::default()) };
    Ok(value::decode(VERSION, &bytes).map_err(TxError::from)?)
}

/// A number's owner answered STOP.
pub(crate) fn opt_out(tx: &mut dyn Tx, scope: &Scope, number: &str) -> Result<(), TxError> {
    let key = keys::opted_out(scope, number);
    let mut row: OptedOut = match tx.get(&key)? {
        Some(bytes) => value::decode(VERSION, &bytes)?,
        None => OptedOut::default(),
    };
    row.is_out = true;
    tx.put(key, value::encode(VERSION, &row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_e164() {
        for number in ["+15550100", "+4915112345678", "+123456789012345", "+12"] {
            assert!(is_number(number), "{number}");
        }
        for number in ["15550100", "+1234567890123456", "+0123", "+", "+1", "+1 555", "", "+1a"] {
            assert!(!is_number(number), "{number}");
        }
    }
}
