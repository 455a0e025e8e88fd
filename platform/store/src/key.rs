//! Keys: typed tuples whose encoding has the same order as the tuples themselves.
//!
//! | element | bytes |
//! | --- | --- |
//! | bytes | 0x01, the bytes with 0x00 written as 0x00 0xFF, 0x00 |
//! | string | 0x02, likewise |
//! | u64 | 0x03, 8 bytes, big endian |
//! | i64 | 0x04, 8 bytes, big endian, sign bit flipped |
//!
//! No element begins with 0xFF, and no element is the beginning of another one. So a tuple's encoding followed by
//! 0xFF is the end of exactly the keys below that tuple.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use base::{AccountId, Region};

use crate::tx::Range;

const BYTES: u8 = 0x01;
const STR: u8 = 0x02;
const U64: u8 = 0x03;
const I64: u8 = 0x04;
const SIGN: u64 = 1 << 63;

/// A key under construction, and a finished one: it reads as the encoded bytes.
///
/// `Key::new("lambda").str(account).str(region).str("fn").str(name)`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// The name that says what a [`Key`] does while it is being put together.
pub type KeyBuilder = Key;

impl Key {
    /// A key in the space of one service. The service's name is its first element.
    #[must_use]
    pub fn new(space: &str) -> Self {
        Key(Vec::with_capacity(64)).str(space)
    }

    /// Adds a string.
    #[must_use]
    pub fn str(mut self, value: impl Text) -> Self {
        self.0.push(STR);
        escape(&mut self.0, value.text().as_bytes());
        self.0.push(0);
        self
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, value: impl AsRef<[u8]>) -> Self {
        self.0.push(BYTES);
        escape(&mut self.0, value.as_ref());
        self.0.push(0);
        self
    }

    /// Adds an unsigned number.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.push(U64);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Adds a signed number.
    #[must_use]
    pub fn i64(mut self, value: i64) -> Self {
        self.0.push(I64);
        self.0.extend_from_slice(&(value.cast_unsigned() ^ SIGN).to_be_bytes());
        self
    }

    /// The encoded key.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        self.0
    }

    /// Just above the last key that begins with this tuple: the exclusive end of a range that starts at this key.
    #[must_use]
    pub fn prefix_end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        end.push(0xFF);
        end
    }

    /// This key and every key that begins with this tuple.
    #[must_use]
    pub fn range(&self) -> Range {
        Range::between(self.0.clone(), self.prefix_end())
    }

    /// Every key whose next element is a string that begins with `prefix`.
    #[must_use]
    pub fn range_of_strings(&self, prefix: &str) -> Range {
        let mut from = self.0.clone();
        from.push(STR);
        escape(&mut from, prefix.as_bytes());
        let mut to = from.clone();
        to.push(0xFF);
        Range::between(from, to)
    }
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Vec<u8> {
        key.0
    }
}

/// What [`Key::str`] takes: text, and the identities that are text.
pub trait Text {
    /// The text that goes into the key.
    fn text(&self) -> Cow<'_, str>;
}

impl<T: Text + ?Sized> Text for &T {
    fn text(&self) -> Cow<'_, str> {
        (**self).text()
    }
}

impl Text for AccountId {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

macro_rules! text {
    ($($type:ty: $plain:path),*) => {$(
        impl Text for $type {
            fn text(&self) -> Cow<'_, str> {
                Cow::Borrowed($plain(self))
            }
        }
    )*};
}
text!(str: AsRef::as_ref, String: String::as_str, Arc<str>: AsRef::as_ref, Cow<'_, str>: AsRef::as_ref, Region: Region::as_str);

fn escape(into: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        into.push(byte);
        if byte == 0 {
            into.push(0xFF);
        }
    }
}

/// A key that does not have the elements its reader expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored key does not have the expected form at byte {at}")]
pub struct KeyError {
    /// Where the key departs from what was expected, in bytes.
    pub at: usize,
}

/// Reads a key's elements back, in order.
#[derive(Clone, Debug)]
pub struct KeyReader<'a> {
    key: &'a [u8],
    at: usize,
}

impl<'a> KeyReader<'a> {
    /// Starts at the key's first element, the service's name.
    #[must_use]
    pub fn new(key: &'a [u8]) -> Self {
        KeyReader { key, at: 0 }
    }

    /// The next element, a string.
    ///
    /// # Errors
    /// When the next element is no string.
    pub fn str(&mut self) -> Result<String, KeyError> {
        let start = self.at;
        let bytes = self.escaped(STR)?;
        String::from_utf8(bytes).map_err(|_| KeyError { at: start })
    }

    /// The next element, bytes.
    ///
    /// # Errors
    /// When the next element is not bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, KeyError> {
        self.escaped(BYTES)
    }

    /// The next element, an unsigned number.
    ///
    /// # Errors
    /// When the next element is no unsigned number.
    pub fn u64(&mut self) -> Result<u64, KeyError> {
        self.number(U64)
    }

    /// The next element, a signed number.
    ///
    /// # Errors
    /// When the next element is no signed number.
    pub fn i64(&mut self) -> Result<i64, KeyError> {
        self.number(I64).map(|raw| (raw ^ SIGN).cast_signed())
    }

    /// Whether all elements were read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at == self.key.len()
    }

    fn tag(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        match self.key.get(self.at..).and_then(<[u8]>::split_first) {
            Some((&found, rest)) if found == tag => Ok(rest),
            _ => Err(KeyError { at: self.at }),
        }
    }

    fn number(&mut self, tag: u8) -> Result<u64, KeyError> {
        let rest = self.tag(tag)?;
        let bytes = rest.first_chunk::<8>().ok_or(KeyError { at: self.at })?;
        self.at += 9;
        Ok(u64::from_be_bytes(*bytes))
    }

    fn escaped(&mut self, tag: u8) -> Result<Vec<u8>, KeyError> {
        let rest = self.tag(tag)?;
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            match (rest.get(at), rest.get(at + 1)) {
                (Some(0), Some(0xFF)) => {
                    out.push(0);
                    at += 2;
                }
                (Some(0), _) => break,
                (Some(&byte), _) => {
                    out.push(byte);
                    at += 1;
                }
                (None, _) => return Err(KeyError { at: self.key.len() }),
            }
        }
        self.at += at + 2;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Part {
        Bytes(Vec<u8>),
        Str(String),
        U64(u64),
        I64(i64),
    }

    /// Small alphabets, so that equal beginnings, escapes and edges are common.
    fn part(random: &mut Random) -> Part {
        match random.below(4) {
            0 => Part::Bytes(
                (0..random.below(4)).map(|_| [0, 1, 0xFF, 0x61][random.below(4) as usize]).collect(),
            ),
            1 => Part::Str(
                (0..random.below(4)).map(|_| ['\0', '\u{1}', 'a', 'ÿ'][random.below(4) as usize]).collect(),
            ),
            2 => Part::U64([0, 1, 255, 256, u64::MAX][random.below(5) as usize]),
            _ => Part::I64([i64::MIN, -256, -1, 0, 1, i64::MAX][random.below(6) as usize]),
        }
    }

    fn tuple(random: &mut Random) -> Vec<Part> {
        (0..=random.below(3)).map(|_| part(random)).collect()
    }

    fn encode(parts: &[Part]) -> Key {
        parts.iter().fold(Key::new("s"), |key, part| match part {
            Part::Bytes(value) => key.bytes(value),
            Part::Str(value) => key.str(value),
            Part::U64(value) => key.u64(*value),
            Part::I64(value) => key.i64(*value),
        })
    }

    #[test]
    fn keys_are_ordered_as_their_tuples_and_come_back() {
        let mut random = Random::printed("key order");
        for _ in 0..20_000 {
            let (a, b) = (tuple(&mut random), tuple(&mut random));
            assert_eq!(a.cmp(&b), encode(&a).cmp(&encode(&b)), "{a:?} {b:?}");
            let key = encode(&a);
            let mut reader = KeyReader::new(&key);
            assert_eq!(reader.str().unwrap(), "s");
            for part in &a {
                let read = match part {
                    Part::Bytes(_) => Part::Bytes(reader.bytes().unwrap()),
                    Part::Str(_) => Part::Str(reader.str().unwrap()),
                    Part::U64(_) => Part::U64(reader.u64().unwrap()),
                    Part::I64(_) => Part::I64(reader.i64().unwrap()),
                };
                assert_eq!(&read, part);
            }
            assert!(reader.is_at_end());
        }
    }

    #[test]
    fn a_range_holds_exactly_the_keys_below_its_tuple() {
        let mut random = Random::printed("key prefix");
        for _ in 0..20_000 {
            let (a, b) = (tuple(&mut random), tuple(&mut random));
            let (range, key) = (encode(&a).range(), encode(&b));
            let inside = range.from.as_slice() <= &*key && &*key < range.to.as_slice();
            assert_eq!(inside, b.starts_with(&a), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_range_of_strings_holds_exactly_the_strings_with_that_beginning() {
        let mut random = Random::printed("key string prefix");
        for _ in 0..20_000 {
            let parts = tuple(&mut random);
            let prefix = match part(&mut random) {
                Part::Str(prefix) => prefix,
                _ => "a".to_owned(),
            };
            let (range, key) = (Key::new("s").range_of_strings(&prefix), encode(&parts));
            let inside = range.from.as_slice() <= &*key && &*key < range.to.as_slice();
            let expected = matches!(parts.first(), Some(Part::Str(text)) if text.starts_with(&prefix));
            assert_eq!(inside, expected, "{prefix:?} {parts:?}");
        }
    }

    #[test]
    fn a_foreign_key_is_an_error() {
        let key = Key::new("s").u64(1);
        let mut reader = KeyReader::new(&key);
        assert_eq!(reader.u64(), Err(KeyError { at: 0 }));
        assert_eq!(reader.str().as_deref(), Ok("s"));
        assert_eq!(reader.str(), Err(KeyError { at: 3 }));
        assert!(KeyReader::new(&[STR, 1, 2]).str().is_err());
        assert!(KeyReader::new(&[U64, 1]).u64().is_err());
        assert!(KeyReader::new(&[STR, 0xC3, 0]).str().is_err());
    }
}
