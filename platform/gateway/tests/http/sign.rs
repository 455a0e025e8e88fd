//! A signer for tests: the client's side of SigV4, in its plainest form.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// What a request is signed with.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) service: &'static str,
    pub(crate) date: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

impl Signer {
    pub(crate) fn new(service: &'static str) -> Self {
        Signer { key: "test", secret: "test", token: None, service, date: "20261123T120000Z".to_owned() }
    }

    fn scope(&self) -> String {
        format!("{}/eu-west-1/{}/aws4_request", &self.date[..8], self.service)
    }

    fn signature(&self, canonical: &str) -> String {
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.date,
            self.scope(),
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&self.date[..8], "eu-west-1", self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        hex(&hmac(&key, &text))
    }

    /// The headers that sign a request whose path needs no encoding.
    pub(crate) fn headers(&self, method: &str, path: &str, host: &str, body: &[u8]) -> Vec<(String, String)> {
        let canonical = format!(
            "{method}\n{path}\n\nhost:{host}\nx-amz-date:{}\n\nhost;x-amz-date\n{}",
            self.date,
            hex(&Sha256::digest(body))
        );
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders=host;x-amz-date, Signature={}",
            self.key,
            self.scope(),
            self.signature(&canonical)
        );
        let mut headers =
            vec![("x-amz-date".to_owned(), self.date.clone()), ("authorization".to_owned(), authorization)];
        if let Some(token) = self.token {
            headers.push(("x-amz-security-token".to_owned(), token.to_owned()));
        }
        headers
    }

    /// The target of a presigned GET of `/` with this query, whose names sort before `X-Amz-`.
    pub(crate) fn presigned(&self, query: &str, host: &str, expires_s: u64) -> String {
        let query = format!(
            "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={}\
             &X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host",
            self.key,
            self.scope().replace('/', "%2F"),
            self.date
        );
        let canonical = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{}", hex(&Sha256::digest(b"")));
        format!("/?{query}&X-Amz-Signature={}", self.signature(&canonical))
    }
}
