//! Files that are given out under addresses which nobody can guess and which expire: what AWS does with presigned
//! URLs of its own buckets, such as `Code.Location` of GetFunction.
//!
//! An address is `/_download/<kind>/<name>?expires=<ms>&token=<hex>`. The token is an HMAC over the rest under a key
//! that lives as long as the process: whoever has the address may read the file, nobody else, and not after a restart.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::{ApiError, Clock};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use sha2::Sha256;

/// Where the addresses start.
pub(crate) const PREFIX: &str = "/_download/";
/// How long an address is good for; AWS's are good for ten minutes.
const LIFE: Duration = Duration::from_secs(600);

type Locate = Arc<dyn Fn(&str) -> Option<PathBuf> + Send + Sync>;

/// The files on offer. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Downloads {
    inner: Arc<Inner>,
}

struct Inner {
    key: [u8; 32],
    clock: Clock,
    endpoint: String,
    kinds: RwLock<HashMap<&'static str, Locate>>,
}

impl Downloads {
    /// Nothing on offer yet. `endpoint` is where clients reach the gateway, such as `http://127.0.0.1:4566`.
    ///
    /// # Errors
    /// The system has no random bytes to give.
    pub fn new(clock: Clock, endpoint: impl Into<String>) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Downloads {
            inner: Arc::new(Inner { key, clock, endpoint: endpoint.into(), kinds: RwLock::default() }),
        })
    }

    /// Offers a kind of files; `locate` says where a name's file is.
    pub fn offer(
        &self,
        kind: &'static str,
        locate: impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        let mut kinds = self.inner.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(kind, Arc::new(locate));
    }

    /// An address for a file, good for ten minutes.
    #[must_use]
    pub fn url(&self, kind: &str, name: &str) -> String {
        let expires_ms = self.inner.clock.now().after(LIFE).as_millis();
        let token: String = self
            .mac(kind, name, expires_ms)
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{}{PREFIX}{kind}/{name}?expires={expires_ms}&token={token}", self.inner.endpoint)
    }

    #[allow(clippy::expect_used)] // HMAC takes keys of any length; the error exists for other algorithms of the trait
    fn mac(&self, kind: &str, name: &str, expires_ms: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.inner.key).expect("HMAC takes keys of any length");
        mac.update(format!("{kind}\0{name}\0{expires_ms}").as_bytes());
        mac
    }

    /// Answers a request below [`PREFIX`].
    pub(crate) async fn answer(&self, parts: &Parts) -> Result<Response<Bytes>, ApiError> {
        let path = self.permitted(parts)?;
        let content = tokio::fs::read(&path).await.map_err(|error| {
            ApiError::new("NoSuchKey", "The specified key does not exist.").status(404).detail(error)
        })?;
        let mut response = Response::new(Bytes::from(content));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
        Ok(response)
    }

    fn permitted(&self, parts: &Parts) -> Result<PathBuf, ApiError> {
        let denied = || ApiError::new("AccessDenied", "Access Denied").status(403);
        let rest = parts.uri.path().strip_prefix(PREFIX).ok_or_else(denied)?;
        let (kind, name) = rest.split_once('/').ok_or_else(denied)?;
        let query = parts.uri.query().unwrap_or_default();
        let parameter = |wanted: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == wanted)
                .map(|(_, v)| v)
        };
        let expires_ms: i64 = parameter("expires").and_then(|value| value.parse().ok()).ok_or_else(denied)?;
        let token = parameter("token").and_then(unhex).ok_or_else(denied)?;
        self.mac(kind, name, expires_ms).verify_slice(&token).map_err(|_| denied())?;
        if self.inner.clock.now().as_millis() > expires_ms {
            return Err(ApiError::new("AccessDenied", "Request has expired").status(403));
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(ApiError::new("MethodNotAllowed", "This address can only be read.").status(405));
        }
        let kinds = self.inner.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || ApiError::new("NoSuchKey", "The specified key does not exist.").status(404);
        kinds.get(kind).and_then(|locate| locate(name)).ok_or_else(gone)
    }
}

impl std::fmt::Debug for Downloads {
    /// Shows no key: it is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Downloads").field("endpoint", &self.inner.endpoint).finish_non_exhaustive()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Timestamp;

    fn get(url: &str) -> Parts {
        let path = url.strip_prefix("http://here").unwrap();
        http::Request::get(path).body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn an_address_opens_its_file_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.zip");
        std::fs::write(&file, "content").unwrap();
        let clock = Clock::frozen(Timestamp(0));
        let downloads = Downloads::new(clock.clone(), "http://here").unwrap();
        downloads.offer("code", move |name| (name == "a").then(|| file.clone()));
        let url = downloads.url("code", "a");
        assert_eq!(downloads.answer(&get(&url)).await.unwrap().body(), "content");
        assert_eq!(downloads.answer(&get(&downloads.url("code", "b"))).await.unwrap_err().http_status(), 404);
        for forged in [url.replace("/a?", "/b?"), url.replace("expires=", "expires=9"), format!("{url}0")] {
            assert_eq!(downloads.answer(&get(&forged)).await.unwrap_err().code, "AccessDenied", "{forged}");
        }
        clock.advance(LIFE + Duration::from_secs(1));
        assert!(downloads.answer(&get(&url)).await.unwrap_err().message.contains("expired"));
    }
}
