//! Signatures of messages, and the certificate that they are checked with.
//!
//! A server has one RSA key and a certificate that it signed itself. They are made when the first message is signed (a
//! server that signs none has none), kept in the store, which is the server's alone, and never change. With AWS the
//! certificate's authority is Amazon; here trust begins at the address in `SigningCertURL`, which is the platform's own:
//! so checkers that insist on an `amazonaws.com` host refuse it.
//!
//! Messages of FIFO topics are not signed, as with AWS.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::{Clock, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1v15::{Pkcs1v15Sign, SigningKey};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use store::{Store, value};
use tokio::sync::OnceCell;
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::{Encode, EncodePem, pem::LineEnding};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};

use super::envelope;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::message::{Kind, Protocol, Published, SignatureVersion};

/// The length of the key, in bits: AWS's.
const KEY_BITS: usize = 2048;
/// How long the certificate holds: longer than anybody moves a clock.
const VALIDITY: Duration = Duration::from_secs(100 * 365 * 86_400);
const SUBJECT: &str = "CN=Lamplighter Simple Notification Service";

/// What is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// PKCS#8, DER.
    private_key: Vec<u8>,
    /// The certificate as it is served: PEM.
    certificate: String,
    /// The first bytes of the SHA-256 of the certificate's DER form, in hexadecimal digits: a part of its address.
    digest: String,
}

/// The key, ready to sign.
struct Ready {
    key: RsaPrivateKey,
    digest: String,
}

/// A signature, and where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Base64.
    pub(crate) signature: String,
    pub(crate) version: SignatureVersion,
    pub(crate) cert_url: String,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("the signing key: {0}")]
    Key(#[from] rsa::Error),
    #[error("the signing key's form: {0}")]
    Pkcs8(#[from] rsa::pkcs8::Error),
    #[error("the signing key's public half: {0}")]
    Spki(#[from] rsa::pkcs8::spki::Error),
    #[error("the certificate: {0}")]
    Certificate(#[from] x509_cert::builder::Error),
    #[error("the certificate's form: {0}")]
    Der(#[from] x509_cert::der::Error),
}

/// Signs for the whole server.
pub(crate) struct Signer {
    store: Store,
    clock: Clock,
    ready: OnceCell<Arc<Ready>>,
}

impl Signer {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Signer { store, clock, ready: OnceCell::new() }
    }

    /// Signs what subscribers of this protocol get; `None` for FIFO topics.
    pub(crate) async fn sign(
        &self,
        published: &Published,
        protocol: Protocol,
    ) -> Result<Option<Signed>, SnsError> {
        if published.is_fifo() && published.kind == Kind::Notification {
            return Ok(None);
        }
        let ready = Arc::clone(self.ready.get_or_try_init(|| self.prepare()).await?);
        let version = published.signature_version;
        let cert_url = format!("{}/{}", published.base_url, file_name(&ready.digest));
        let text = to_sign(published, protocol);
        // A millisecond of pure computing: not on the threads that serve requests.
        let signing = tokio::task::spawn_blocking(move || sign(&ready.key, version, text.as_bytes()));
        let bytes = signing.await.map_err(failed)?.map_err(failed)?;
        Ok(Some(Signed { signature: STANDARD.encode(bytes), version, cert_url }))
    }

    /// The key that is kept, or a new one.
    async fn prepare(&self) -> Result<Arc<Ready>, SnsError> {
        let kept = match self.kept()? {
            Some(kept) => kept,
            None => {
                let now = self.clock.now();
                let made = tokio::task::spawn_blocking(move || make(now)).await.map_err(failed)?;
                self.keep(made.map_err(failed)?).await?
            }
        };
        let digest = kept.digest.clone();
        let read = tokio::task::spawn_blocking(move || RsaPrivateKey::from_pkcs8_der(&kept.private_key));
        let key = read.await.map_err(failed)?.map_err(failed)?;
        Ok(Arc::new(Ready { key, digest }))
    }

    fn kept(&self) -> Result<Option<Kept>, SnsError> {
        let Some(bytes) = self.store.get(&keys::signing_key())? else { return Ok(None) };
        Ok(Some(value::decode(VERSION, &bytes).map_err(store::TxError::from)?))
    }

    /// Keeps a new key, unless there is one by now: that is the one then.
    async fn keep(&self, made: Kept) -> Result<Kept, SnsError> {
        let kept = self.store.transact(move |tx| match tx.get(&keys::signing_key())? {
            Some(bytes) => Ok(value::decode(VERSION, &bytes)?),
            None => {
                tx.put(keys::signing_key(), value::encode(VERSION, &made))?;
                Ok(made.clone())
            }
        });
        Ok(kept.await?)
    }

    /// The certificate (PEM) of this file name, if it is ours.
    pub(crate) fn certificate(&self, name: &str) -> Result<Option<String>, SnsError> {
        let kept = self.kept()?.filter(|kept| file_name(&kept.digest) == name);
        Ok(kept.map(|kept| kept.certificate))
    }
}

fn failed(error: impl std::error::Error) -> SnsError {
    SnsError::Other { code: "InternalError", message: format!("a message cannot be signed: {error}") }
}

/// What the certificate's address begins with, after the slash.
pub(crate) const FILE_STEM: &str = "SimpleNotificationService-";

fn file_name(digest: &str) -> String {
    format!("{FILE_STEM}{digest}.pem")
}

fn sign(key: &RsaPrivateKey, version: SignatureVersion, text: &[u8]) -> rsa::Result<Vec<u8>> {
    let rng = &mut OsRng; // blinds the computation against whoever measures it
    match version {
        SignatureVersion::V1 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(text)),
        SignatureVersion::V2 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(text)),
    }
}

/// A new key and its certificate.
fn make(now: Timestamp) -> Result<Kept, MakeError> {
    let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS)?;
    let public = SubjectPublicKeyInfoOwned::from_key(RsaPublicKey::from(&key))?;
    let subject = Name::from_str(SUBJECT)?;
    let from = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let validity =
        Validity { not_before: Time::try_from(from)?, not_after: Time::try_from(from + VALIDITY)? };
    let profile = Profile::Leaf {
        issuer: subject.clone(),
        enable_key_agreement: false,
        enable_key_encipherment: false,
    };
    let signer = SigningKey::<Sha256>::new(key.clone());
    let serial = SerialNumber::from(uuid::Uuid::new_v4().as_u64_pair().0 >> 1);
    let builder = CertificateBuilder::new(profile, serial, validity, subject, public, &signer)?;
    let certificate = builder.build::<rsa::pkcs1v15::Signature>()?;
    let digest = Sha256::digest(certificate.to_der()?);
    Ok(Kept {
        private_key: key.to_pkcs8_der()?.as_bytes().to_vec(),
        certificate: certificate.to_pem(LineEnding::LF)?,
        digest: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// What is signed: names and values, one a line, in the order of the names.
fn to_sign(published: &Published, protocol: Protocol) -> String {
    let message = envelope::message(published, protocol);
    let at = published.at.iso8601();
    let mut parts = vec![("Message", message.as_ref()), ("MessageId", &published.message_id)];
    let link = envelope::subscribe_url(published);
    match (&link, published.kind.token()) {
        (Some(link), Some(token)) => {
            parts.extend([("SubscribeURL", link.as_str()), ("Timestamp", &at), ("Token", token)]);
        }
        _ => {
            parts.extend(published.subject.as_deref().map(|subject| ("Subject", subject)));
            parts.push(("Timestamp", &at));
        }
    }
    parts.extend([("TopicArn", published.topic_arn.as_str()), ("Type", published.kind.as_str())]);
    parts.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use rsa::pkcs1v15::VerifyingKey;
    use rsa::pkcs8::DecodePublicKey;
    use rsa::signature::Verifier;
    use x509_cert::der::DecodePem;

    use super::*;
    use crate::outside::testing::published;

    #[tokio::test]
    async fn what_is_signed_can_be_checked_with_the_certificate_also_by_the_next_server() {
        let (store, clock) = (Store::in_memory().unwrap(), Clock::frozen(Timestamp(1_795_420_000_123)));
        let signer = Signer::new(store.clone(), clock.clone());
        let mut message = published("hello");
        let first = signer.sign(&message, Protocol::Http).await.unwrap().unwrap();
        message.signature_version = SignatureVersion::V2;
        let second = signer.sign(&message, Protocol::Http).await.unwrap().unwrap();
        let next = Signer::new(store.clone(), clock);
        let name = second.cert_url.rsplit('/').next().unwrap();
        let certificate = next.certificate(name).unwrap().unwrap();
        assert_eq!(next.sign(&message, Protocol::Http).await.unwrap().unwrap(), second);
        assert_eq!(next.certificate("SimpleNotificationService-0.pem").unwrap(), None);

        let certificate = x509_cert::Certificate::from_pem(certificate).unwrap();
        let key = certificate.tbs_certificate.subject_public_key_info.to_der().unwrap();
        let key = RsaPublicKey::from_public_key_der(&key).unwrap();
        let text = "Message\nhello\nMessageId\nm-1\nTimestamp\n2026-11-23T07:46:40.123Z\nTopicArn\n\
                    arn:aws:sns:us-east-1:000000000000:t\nType\nNotification\n";
        let bytes = |signed: &Signed| {
            rsa::pkcs1v15::Signature::try_from(STANDARD.decode(&signed.signature).unwrap().as_slice())
                .unwrap()
        };
        VerifyingKey::<Sha1>::new(key.clone()).verify(text.as_bytes(), &bytes(&first)).unwrap();
        VerifyingKey::<Sha256>::new(key).verify(text.as_bytes(), &bytes(&second)).unwrap();
    }
}
