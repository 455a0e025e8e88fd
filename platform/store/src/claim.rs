//! Claims: one worker takes the first keys of a range that nobody holds, for a while.
//!
//! The lock of a key is an entry of the store like any other, under a reserved prefix: it survives a restart, and a
//! worker that died loses it when its lease runs out. Time is what the caller says it is.
//!
//! | key | value |
//! | --- | --- |
//! | 0xFF `c`, the claimed key | version 1: owner, end of the lease in ms since 1970, token |

use base::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::TxError;
use crate::tx::{RESERVED, Tx, TxState};
use crate::value;

const LOCK: u8 = b'c';
const VERSION: u8 = 1;
/// Entries looked at in one step of the search for free ones.
const STEP: usize = 256;

/// The first lock's place, and the end of the locks.
pub(crate) const LOCKS: (&[u8], &[u8]) = (&[RESERVED, LOCK], &[RESERVED, LOCK + 1]);

/// A key that its owner holds until the lease ends: then it is anybody's again. Until it is extended, released or
/// acknowledged by this very claim, or the key is deleted, nobody else gets the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claimed key.
    pub key: Bytes,
    /// Its value when it was claimed.
    pub value: Bytes,
    /// Who holds it.
    pub owner: String,
    /// When the lease ends, unless it is extended.
    pub lease_until: Timestamp,
    /// Tells this claim from a later one of the same owner.
    token: u64,
}

#[derive(Serialize, Deserialize)]
struct Lock {
    owner: String,
    lease_until: Timestamp,
    token: u64,
}

fn lock_key(key: &[u8]) -> Vec<u8> {
    let mut lock = Vec::with_capacity(key.len() + 2);
    lock.extend_from_slice(&[RESERVED, LOCK]);
    lock.extend_from_slice(key);
    lock
}

fn write(tx: &mut TxState<'_>, claim: &Claim, lease_until: Timestamp) -> Result<(), TxError> {
    let lock = Lock { owner: claim.owner.clone(), lease_until, token: claim.token };
    tx.note_claims();
    tx.write_raw(lock_key(&claim.key), Some(value::encode(VERSION, &lock).into()))
}

pub(crate) fn take(
    tx: &mut TxState<'_>,
    from: &[u8],
    to: &[u8],
    limit: usize,
    owner: &str,
    lease_until: Timestamp,
    now: Timestamp,
) -> Result<Vec<Claim>, TxError> {
    let mut taken = Vec::new();
    let mut from = from.to_vec();
    while taken.len() < limit {
        let entries = tx.range_raw(&from, to, false, STEP)?;
        let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { break };
        let mut next = last.to_vec();
        next.push(0);
        let held = held(tx, first, &next, now)?;
        let more = entries.len() == STEP;
        let free = entries.into_iter().filter(|(key, _)| held.binary_search(key).is_err());
        for (key, value) in free.take(limit - taken.len()) {
            let token = tx.version_stamp()?;
            let claim = Claim { key, value, owner: owner.to_owned(), lease_until, token };
            write(tx, &claim, lease_until)?;
            taken.push(claim);
        }
        if !more {
            break;
        }
        from = next;
    }
    Ok(taken)
}

/// The keys from `from` up to, without, `to` that somebody holds at `now`, in order.
fn held(tx: &TxState<'_>, from: &[u8], to: &[u8], now: Timestamp) -> Result<Vec<Bytes>, TxError> {
    let locks = tx.range_raw(&lock_key(from), &lock_key(to), false, usize::MAX)?;
    let mut held = Vec::with_capacity(locks.len());
    for (key, bytes) in locks {
        let lock: Lock = value::decode(VERSION, &bytes)?;
        if lock.lease_until > now {
            held.push(key.slice(2..));
        }
    }
    Ok(held)
}

/// A claim is held as long as its lock is there: a lease that ran out ends it only when somebody else took the key.
fn check_held(tx: &TxState<'_>, claim: &Claim) -> Result<(), TxError> {
    let bytes = tx.get_raw(&lock_key(&claim.key))?.ok_or(TxError::ClaimLost)?;
    let lock: Lock = value::decode(VERSION, &bytes)?;
    if lock.token == claim.token { Ok(()) } else { Err(TxError::ClaimLost) }
}

pub(crate) fn extend(tx: &mut TxState<'_>, claim: &Claim, lease_until: Timestamp) -> Result<(), TxError> {
    check_held(tx, claim)?;
    write(tx, claim, lease_until)
}

pub(crate) fn release(tx: &mut TxState<'_>, claim: &Claim) -> Result<(), TxError> {
    check_held(tx, claim)?;
    tx.write_raw(lock_key(&claim.key), None)
}

pub(crate) fn acknowledge(tx: &mut TxState<'_>, claim: &Claim) -> Result<(), TxError> {
    check_held(tx, claim)?;
    tx.delete(&claim.key)
}

/// Removes the lock of a key that goes.
pub(crate) fn forget(tx: &mut TxState<'_>, key: &[u8]) -> Result<(), TxError> {
    let lock = lock_key(key);
    if tx.get_raw(&lock)?.is_some() {
        tx.write_raw(lock, None)?;
    }
    Ok(())
}
