//! AWS Signature Version 4, the server's side: reads a signature off a request and checks it against a secret.
//!
//! Three steps, so that the caller can look the key up between the first and the last:
//! [`Signature::find`] reads where the signature stands (header or presigned query) and refuses what is malformed,
//! [`Signature::check_time`] refuses what is too old or too new, [`Signature::verify`] recomputes the signature.
//! It knows no key, no account and no service; it signs nothing outside its tests. Chunk-signed uploads
//! (`STREAMING-*`) and the asymmetric form (SigV4a) are refused by name.
//! Defined by <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

mod canonical;
mod error;
mod keys;
mod parse;
mod sign;
mod time;

#[cfg(test)]
mod tests;

use base::Timestamp;
use bytes::Bytes;
use hmac::Mac;
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use error::{AuthError, Dialect};
pub use keys::SigningKeys;
pub use sign::{Signer, sign};

/// How far a request's date may be from now, either way, in minutes.
const ALLOWED_SKEW_MIN: i64 = 15;
/// The longest life of a presigned request: seven days, in seconds.
pub const MAX_PRESIGNED_S: u64 = 604_800;

/// How a service's canonical path is made from the path on the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// Dot segments and empty segments removed, then percent-encoded once more. Every service but one.
    EncodedTwice,
    /// As sent. The object store's keys may hold `//` and `..`.
    AsSent,
}

/// A signature as it stands on a request, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that the request claims to be signed with.
    pub access_key_id: String,
    /// `YYYYMMDD` of the credential scope.
    pub date: String,
    /// The region of the credential scope.
    pub region: String,
    /// The signing name of the credential scope.
    pub service: String,
    /// The session token, for temporary credentials.
    pub session_token: Option<String>,
    /// When the request says that it was signed.
    pub signed_at: Timestamp,
    /// `YYYYMMDD'T'HHMMSS'Z'` of the same moment, as it enters the string to sign.
    amz_date: String,
    /// Lower-case header names in the order given, separated by `;`.
    signed_headers: String,
    signature: [u8; 32],
    /// How long a presigned request lives, in seconds; `None` for a signature in the header.
    expires_s: Option<u64>,
}

impl Signature {
    /// Reads the signature of a request. `Ok(None)`: the request is not signed.
    ///
    /// # Errors
    /// [`AuthError::Incomplete`] names what is missing or malformed.
    pub fn find(parts: &Parts) -> Result<Option<Signature>, AuthError> {
        parse::find(parts)
    }

    /// Whether it stands in the query, so that the request is a presigned one.
    #[must_use]
    pub fn is_presigned(&self) -> bool {
        self.expires_s.is_some()
    }

    /// Refuses a signature that is more than 15 minutes away from `now`, or a presigned one past its life.
    ///
    /// # Errors
    /// [`AuthError::Expired`] or [`AuthError::NotYetCurrent`] with AWS's text.
    pub fn check_time(&self, now: Timestamp) -> Result<(), AuthError> {
        let skew_ms = ALLOWED_SKEW_MIN * 60_000;
        let signed_ms = self.signed_at.as_millis();
        let now_ms = now.as_millis();
        let show = |ms: i64| time::basic(Timestamp(ms));
        if signed_ms > now_ms + skew_ms {
            return Err(AuthError::NotYetCurrent(format!(
                "Signature not yet current: {} is still later than {} ({} + {ALLOWED_SKEW_MIN} min.)",
                self.amz_date,
                show(now_ms + skew_ms),
                show(now_ms)
            )));
        }
        // At most a week, see `parse`: no overflow.
        let life_ms = self.expires_s.map_or(skew_ms, |s| i64::try_from(s).unwrap_or(0) * 1000);
        if signed_ms < now_ms - life_ms {
            let life_text = match self.expires_s {
                Some(s) => format!("{s} sec."),
                None => format!("{ALLOWED_SKEW_MIN} min."),
            };
            return Err(AuthError::Expired(format!(
                "Signature expired: {} is now earlier than {} ({} - {life_text})",
                self.amz_date,
                show(now_ms - life_ms),
                show(now_ms)
            )));
        }
        Ok(())
    }

    /// Computes the signature anew with `secret` and compares, in time that does not depend on where they differ.
    ///
    /// # Errors
    /// [`AuthError::Mismatch`]; its detail holds the canonical request and the string to sign, for the log.
    pub fn verify(
        &self,
        parts: &Parts,
        body: &Bytes,
        secret: &str,
        path_form: PathForm,
        keys: &SigningKeys,
    ) -> Result<(), AuthError> {
        let payload_hash = self.payload_hash(parts, body)?;
        let canonical = canonical::request(self, parts, &payload_hash, path_form);
        let string_to_sign = self.string_to_sign(&canonical);
        let mut mac = keys.signer(secret, &self.date, &self.region, &self.service);
        mac.update(&string_to_sign);
        let expected: [u8; 32] = mac.finalize().into_bytes().into();
        if bool::from(expected.ct_eq(&self.signature)) {
            return Ok(());
        }
        Err(AuthError::Mismatch {
            detail: format!(
                "canonical request: {:?}; string to sign: {:?}",
                String::from_utf8_lossy(&canonical),
                String::from_utf8_lossy(&string_to_sign)
            ),
        })
    }

    /// What stands for the body in the canonical request: the hash of the body that arrived, never a claimed one.
    fn payload_hash(&self, parts: &Parts, body: &Bytes) -> Result<Vec<u8>, AuthError> {
        let claimed = parts.headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes);
        match claimed {
            Some(b"UNSIGNED-PAYLOAD") => return Ok(b"UNSIGNED-PAYLOAD".to_vec()),
            Some(form) if form.starts_with(b"STREAMING-") => {
                return Err(AuthError::Incomplete(format!(
                    "x-amz-content-sha256 form '{}' is not supported",
                    String::from_utf8_lossy(form)
                )));
            }
            _ => {}
        }
        let mut hash = vec![0_u8; 64];
        hex_into(&Sha256::digest(body), &mut hash);
        match claimed {
            Some(claim) if !claim.eq_ignore_ascii_case(&hash) => Err(AuthError::Mismatch {
                detail: format!(
                    "x-amz-content-sha256 is {:?} but the body's hash is {:?}",
                    String::from_utf8_lossy(claim),
                    String::from_utf8_lossy(&hash)
                ),
            }),
            _ => Ok(hash),
        }
    }

    fn string_to_sign(&self, canonical: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(200);
        for part in ["AWS4-HMAC-SHA256\n", &self.amz_date, "\n", &self.date, "/", &self.region, "/"] {
            text.extend_from_slice(part.as_bytes());
        }
        text.extend_from_slice(self.service.as_bytes());
        text.extend_from_slice(b"/aws4_request\n");
        let start = text.len();
        text.resize(start + 64, 0);
        hex_into(&Sha256::digest(canonical), &mut text[start..]);
        text
    }
}

/// Writes `bytes` as lower-case hexadecimal into `out`, which is twice as long.
fn hex_into(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}
