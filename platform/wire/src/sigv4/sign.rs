//! Signing a request in its header: the client's side of the same rules, for our own command line.
//!
//! Defined by <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use base::Timestamp;
use bytes::Bytes;
use hmac::Mac;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::{PathForm, Signature, SigningKeys, canonical, time};

/// Credentials to sign with.
#[derive(Clone)]
pub struct Signer {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: String,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Signer {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Signs a request that has its `Host` header already; adds the headers of the signature.
///
/// # Errors
/// A credential or a name holds a character that no header can carry.
pub fn sign(
    parts: &mut Parts,
    body: &Bytes,
    signer: &Signer,
    region: &str,
    service: &str,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let amz_date = time::basic(now);
    let payload_hash = hex(&Sha256::digest(body));
    let mut insert = |name: &'static str, value: &str| {
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        Ok(())
    };
    insert("x-amz-date", &amz_date)?;
    insert("x-amz-content-sha256", &payload_hash)?;
    if let Some(token) = &signer.session_token {
        insert("x-amz-security-token", token)?;
    }
    let mut names: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let mut signature = Signature {
        access_key_id: signer.access_key_id.clone(),
        date: amz_date[..8].to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        session_token: None,
        signed_at: now,
        amz_date,
        signed_headers: names.join(";"),
        signature: [0; 32],
        expires_s: None,
    };
    let canonical = canonical::request(&signature, parts, payload_hash.as_bytes(), PathForm::EncodedTwice);
    let mut mac = SigningKeys::new().signer(&signer.secret, &signature.date, region, service);
    mac.update(&signature.string_to_sign(&canonical));
    signature.signature = mac.finalize().into_bytes().into();
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}/{region}/{service}/aws4_request, SignedHeaders={}, Signature={}",
        signature.access_key_id,
        signature.date,
        signature.signed_headers,
        hex(&signature.signature)
    );
    parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&value)?);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_sign_we_verify() {
        let body = Bytes::from_static(b"{}");
        let request = http::Request::post("/2015-03-31/functions/a%3Ab/invocations?Qualifier=1")
            .header("host", "127.0.0.1:4566")
            .header("x-amz-log-type", "Tail")
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        let signer =
            Signer { access_key_id: "test".into(), secret: "test".into(), session_token: Some("t".into()) };
        let now = Timestamp(1_795_420_000_000);
        sign(&mut parts, &body, &signer, "us-east-1", "lambda", now).unwrap();
        let found = Signature::find(&parts).unwrap().unwrap();
        assert_eq!((found.region.as_str(), found.service.as_str()), ("us-east-1", "lambda"));
        found.check_time(now).unwrap();
        let keys = SigningKeys::new();
        found.verify(&parts, &body, "test", PathForm::EncodedTwice, &keys).unwrap();
        assert!(found.verify(&parts, &Bytes::new(), "test", PathForm::EncodedTwice, &keys).is_err());
        assert!(found.verify(&parts, &body, "other", PathForm::EncodedTwice, &keys).is_err());
    }
}
