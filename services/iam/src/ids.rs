//! Unique ids of IAM entities: a prefix that tells the kind, and 17 random characters.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>.

use crate::errors::IamError;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const RANDOM_CHARS: usize = 17;

/// A fresh role id.
pub(crate) fn role_id() -> Result<String, IamError> {
    fresh("AROA")
}

/// A fresh id of a customer's managed policy.
pub(crate) fn policy_id() -> Result<String, IamError> {
    fresh("ANPA")
}

fn fresh(prefix: &str) -> Result<String, IamError> {
    let mut random = [0; RANDOM_CHARS];
    getrandom::fill(&mut random).map_err(IamError::Random)?;
    Ok(prefix.chars().chain(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_has_its_prefix_and_21_characters() {
        let id = super::role_id().unwrap();
        assert!(id.starts_with("AROA"));
        assert_eq!(id.len(), 21);
        assert_ne!(id, super::role_id().unwrap());
    }
}
