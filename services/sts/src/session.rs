//! Session credentials that need no storage: the claims travel in the token, sealed by the server's master key.
//!
//! `token = base64(claims || HMAC-SHA256(seal key, claims))`, `secret = base64(HMAC-SHA256(secret key, claims))[..40]`,
//! the two keys being derived from the master key. Opening a token costs two HMACs of about a hundred bytes, so there
//! is no cache. It decides nothing about who may have a session; it only makes forging one infeasible.

use std::sync::Arc;

use base::{AccountId, Principal, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a master key.
pub(crate) const MASTER_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// Random bytes of an access key id; they become 16 characters.
const ID_BYTES: usize = 10;
/// A token longer than this is not ours (claims hold at most a role's and a session's name).
const MAX_TOKEN_CHARS: usize = 1_024;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Who a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    Root,
    User { name: Arc<str> },
    Role { role: Arc<str>, session: Arc<str> },
}

impl Subject {
    /// The subject as the principal of a call.
    pub(crate) fn principal(self, account: AccountId) -> Principal {
        match self {
            Subject::Root => Principal::Root { account },
            Subject::User { name } => Principal::User { account, name },
            Subject::Role { role, session } => Principal::AssumedRole { account, role, session },
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    key_id: [u8; ID_BYTES],
    account: AccountId,
    subject: Subject,
    expires: Timestamp,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub(crate) struct SessionKeys {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedSession {
    pub(crate) secret: String,
    pub(crate) account: AccountId,
    pub(crate) subject: Subject,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// Not sealed by this server, or for another access key id.
    Forged,
    Expired,
}

/// Seals and opens sessions.
pub(crate) struct Sealer {
    seal_key: Hmac<Sha256>,
    secret_key: Hmac<Sha256>,
    role_id_key: Hmac<Sha256>,
}

impl Sealer {
    pub(crate) fn new(master: [u8; MASTER_BYTES]) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = keyed(&master);
            mac.update(purpose);
            keyed(&mac.finalize().into_bytes())
        };
        Sealer {
            seal_key: derive(b"lamplighter session seal"),
            secret_key: derive(b"lamplighter session secret"),
            role_id_key: derive(b"lamplighter role id"),
        }
    }

    /// Mints credentials; fails only when the system gives no random bytes or the claims cannot be encoded.
    pub(crate) fn mint(
        &self,
        account: AccountId,
        subject: Subject,
        expires: Timestamp,
    ) -> Result<SessionKeys, MintError> {
        let mut key_id = [0; ID_BYTES];
        getrandom::fill(&mut key_id).map_err(MintError::Random)?;
        let mut sealed = postcard::to_stdvec(&Claims { key_id, account, subject, expires })?;
        let secret = self.secret_of(&sealed);
        let mac = tag(&self.seal_key, &sealed);
        sealed.extend_from_slice(&mac);
        Ok(SessionKeys {
            access_key_id: format!("ASIA{}", base32(&key_id)),
            secret,
            token: BASE64.encode(sealed),
            expires,
        })
    }

    /// What the token says, if this server sealed it for this access key id and it has not expired.
    pub(crate) fn open(
        &self,
        access_key_id: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<OpenedSession, BadToken> {
        if token.len() > MAX_TOKEN_CHARS {
            return Err(BadToken::Forged);
        }
        let sealed = BASE64.decode(token).map_err(|_| BadToken::Forged)?;
        let claims_length = sealed.len().checked_sub(MAC_BYTES).ok_or(BadToken::Forged)?;
        let (claims_bytes, mac) = sealed.split_at(claims_length);
        let mut expected = self.seal_key.clone();
        expected.update(claims_bytes);
        // Constant time: the comparison must not tell how much of a forged seal is right.
        expected.verify_slice(mac).map_err(|_| BadToken::Forged)?;
        let claims: Claims = postcard::from_bytes(claims_bytes).map_err(|_| BadToken::Forged)?;
        if access_key_id.strip_prefix("ASIA") != Some(base32(&claims.key_id).as_str()) {
            return Err(BadToken::Forged);
        }
        if claims.expires <= now {
            return Err(BadToken::Expired);
        }
        Ok(OpenedSession {
            secret: self.secret_of(claims_bytes),
            account: claims.account,
            subject: claims.subject,
        })
    }

    /// A role's id as it stands in assumed-role ids: `AROA` and 17 characters, the same for the same role.
    pub(crate) fn role_id(&self, account: AccountId, role: &str) -> String {
        let mac = tag(&self.role_id_key, format!("{account}/{role}").as_bytes());
        let mut id = base32(&mac[..11]);
        id.truncate(17);
        format!("AROA{id}")
    }

    fn secret_of(&self, claims: &[u8]) -> String {
        let mut secret = BASE64.encode(tag(&self.secret_key, claims));
        secret.truncate(40);
        secret
    }
}

/// Why credentials could not be made; a fault of the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MintError {
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("claims cannot be encoded: {0}")]
    Encode(#[from] postcard::Error),
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length (RFC 2104), so this cannot fail.
    #[allow(clippy::expect_used)]
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn tag(key: &Hmac<Sha256>, data: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = key.clone();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// RFC 4648 base32, upper case, without padding: 10 bytes give 16 characters.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut window, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        window = (window << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(window >> bits & 31) as usize]));
        }
        window &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(window << (5 - bits) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const LATER: Timestamp = Timestamp(1_700_003_600_000);

    fn role() -> Subject {
        Subject::Role { role: "worker".into(), session: "hello".into() }
    }

    #[test]
    fn base32_agrees_with_the_rfc() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(base32(b"foob"), "MZXW6YQ");
        assert_eq!(base32(&[255; 10]), "7777777777777777");
    }

    #[test]
    fn a_minted_token_opens_to_what_was_sealed() {
        let sealer = Sealer::new([7; 32]);
        let keys = sealer.mint(AccountId::DEFAULT, role(), LATER).unwrap();
        assert_eq!(keys.access_key_id.len(), 20);
        assert_eq!(keys.secret.len(), 40);
        let opened = sealer.open(&keys.access_key_id, &keys.token, NOW).unwrap();
        assert_eq!(
            opened,
            OpenedSession { secret: keys.secret, account: AccountId::DEFAULT, subject: role() }
        );
    }

    #[test]
    fn every_flipped_bit_of_a_token_is_noticed() {
        let sealer = Sealer::new([7; 32]);
        let keys = sealer.mint(AccountId::DEFAULT, role(), LATER).unwrap();
        let sealed = BASE64.decode(&keys.token).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let token = BASE64.encode(forged);
            assert_eq!(sealer.open(&keys.access_key_id, &token, NOW), Err(BadToken::Forged), "bit {bit}");
        }
    }

    #[test]
    fn a_token_belongs_to_its_key_its_server_and_its_time() {
        let sealer = Sealer::new([7; 32]);
        let one = sealer.mint(AccountId::DEFAULT, role(), LATER).unwrap();
        let other = sealer.mint(AccountId::DEFAULT, role(), LATER).unwrap();
        assert_ne!(one.access_key_id, other.access_key_id);
        assert_ne!(one.secret, other.secret);
        assert_eq!(sealer.open(&other.access_key_id, &one.token, NOW), Err(BadToken::Forged));
        assert_eq!(Sealer::new([8; 32]).open(&one.access_key_id, &one.token, NOW), Err(BadToken::Forged));
        assert_eq!(sealer.open(&one.access_key_id, &one.token, LATER), Err(BadToken::Expired));
        assert!(sealer.open(&one.access_key_id, &one.token, Timestamp(LATER.0 - 1)).is_ok());
        for nonsense in ["", "not base64!", "QUJD", &"A".repeat(5_000)] {
            assert_eq!(sealer.open(&one.access_key_id, nonsense, NOW), Err(BadToken::Forged));
        }
    }
}
