//! The encoding of values: one byte that tells the schema's version, then postcard.
//!
//! It is compact and not self-describing: a struct that changes gets a new version, and its reader looks at
//! [`version_of`] first. Keys are [`crate::key`]'s business.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value cannot be encoded or decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    /// There is not even a version byte.
    #[error("a stored value is empty")]
    Empty,
    /// The value has another schema version than the reader knows.
    #[error("a stored value has schema version {found}, expected {expected}")]
    Version {
        /// The version found.
        found: u8,
        /// The version expected.
        expected: u8,
    },
    /// The bytes do not fit the type.
    #[error("a stored value does not fit its type: {0}")]
    Decode(postcard::Error),
    /// There are bytes left after the value.
    #[error("a stored value has {left} bytes too many")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// The type cannot be encoded at all.
    #[error("a value cannot be encoded: {0}")]
    Encode(postcard::Error),
}

/// Encodes a value with its schema version.
///
/// # Panics
/// When the type has no postcard form (a sequence of unknown length, `#[serde(flatten)]`): a mistake in the type,
/// the same for every value of it. Use [`try_encode`] for types that are not known here.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Vec<u8> {
    match try_encode(version, value) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}", std::any::type_name::<T>()),
    }
}

/// Encodes a value with its schema version.
///
/// # Errors
/// [`ValueError::Encode`] when the type has no postcard form.
pub fn try_encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Result<Vec<u8>, ValueError> {
    postcard::to_extend(value, vec![version]).map_err(ValueError::Encode)
}

/// The schema version of an encoded value.
///
/// # Errors
/// [`ValueError::Empty`].
pub fn version_of(bytes: &[u8]) -> Result<u8, ValueError> {
    bytes.first().copied().ok_or(ValueError::Empty)
}

/// Decodes a value that must have the given schema version.
///
/// # Errors
/// When the version is another, or the bytes do not fit the type exactly.
pub fn decode<T: DeserializeOwned>(expected_version: u8, bytes: &[u8]) -> Result<T, ValueError> {
    let found = version_of(bytes)?;
    if found != expected_version {
        return Err(ValueError::Version { found, expected: expected_version });
    }
    let (value, rest) = postcard::take_from_bytes(&bytes[1..]).map_err(ValueError::Decode)?;
    if rest.is_empty() { Ok(value) } else { Err(ValueError::TrailingBytes { left: rest.len() }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::testing::Random;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        size: Option<u64>,
        delta: i64,
        tags: BTreeMap<String, String>,
        data: Vec<u8>,
    }

    fn sample(random: &mut Random) -> Sample {
        let text = |random: &mut Random| String::from_utf8_lossy(&random.bytes(12)).into_owned();
        Sample {
            name: text(random),
            size: (random.below(2) == 0).then(|| random.next()),
            delta: random.next().cast_signed(),
            tags: (0..random.below(4)).map(|_| (text(random), text(random))).collect(),
            data: random.bytes(40),
        }
    }

    #[test]
    fn every_value_comes_back() {
        let mut random = Random::printed("value");
        for _ in 0..2_000 {
            let value = sample(&mut random);
            assert_eq!(decode::<Sample>(7, &encode(7, &value)).unwrap(), value);
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let mut random = Random::printed("value damage");
        for _ in 0..2_000 {
            let mut bytes = encode(1, &sample(&mut random));
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1 << random.below(8);
            }
            let _ = decode::<Sample>(1, &bytes);
        }
        assert_eq!(decode::<u64>(1, &[]), Err(ValueError::Empty));
        assert_eq!(decode::<u64>(2, &encode(1, &5_u64)), Err(ValueError::Version { found: 1, expected: 2 }));
        assert_eq!(decode::<u8>(1, &[1, 5, 6]), Err(ValueError::TrailingBytes { left: 1 }));
    }
}
