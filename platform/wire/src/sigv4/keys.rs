//! Signing keys, derived once per secret, day, region and service.
//!
//! Deriving one costs four HMACs; every request of a client uses the same one all day. The cache is bounded: when it
//! is full it starts anew, which costs each live client one derivation.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The most keys that are kept: about 0.5 KiB each.
const MAX_KEYS: usize = 1024;

/// Derived signing keys. One per process is enough.
#[derive(Default)]
pub struct SigningKeys {
    /// By `secret \0 date \0 region \0 service`; the value is an HMAC that has the key absorbed already.
    known: RwLock<HashMap<Box<[u8]>, Hmac<Sha256>>>,
}

impl SigningKeys {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An HMAC keyed with the signing key of this scope.
    pub(super) fn signer(&self, secret: &str, date: &str, region: &str, service: &str) -> Hmac<Sha256> {
        let mut name = Vec::with_capacity(secret.len() + date.len() + region.len() + service.len() + 3);
        for (index, part) in [secret, date, region, service].into_iter().enumerate() {
            if index > 0 {
                name.push(0);
            }
            name.extend_from_slice(part.as_bytes());
        }
        // A poisoned lock is no danger: the map is whole between any two statements.
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&name[..]) {
            return known.clone();
        }
        let signer = derive(secret, date, region, service);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KEYS {
            known.clear();
        }
        known.insert(name.into_boxed_slice(), signer.clone());
        signer
    }
}

impl fmt::Debug for SigningKeys {
    /// Shows no key: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").finish_non_exhaustive()
    }
}

/// kSigning = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request").
fn derive(secret: &str, date: &str, region: &str, service: &str) -> Hmac<Sha256> {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, service, "aws4_request"] {
        let mut mac = keyed(&key);
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    keyed(&key)
}

#[allow(clippy::expect_used)] // HMAC takes keys of any length; the error exists for other algorithms of the trait
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded() {
        let keys = SigningKeys::new();
        for n in 0..=MAX_KEYS {
            keys.signer(&n.to_string(), "20150830", "us-east-1", "iam");
        }
        assert!(keys.known.read().unwrap().len() <= MAX_KEYS);
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        let keys = SigningKeys::new();
        let mut one = keys.signer("s", "20150830", "us-east-1a", "b");
        let mut other = keys.signer("s", "20150830", "us-east-1", "ab");
        one.update(b"x");
        other.update(b"x");
        assert_ne!(one.finalize().into_bytes(), other.finalize().into_bytes());
    }
}
