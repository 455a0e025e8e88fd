//! The address of the certificate that messages are checked with: anybody may read it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gateway::{Body, Refused, Serving, Site, Sites, Visit};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::signature::FILE_STEM;
use crate::Sns;

/// The certificates of the service's signatures, for the gateway: `GET /SimpleNotificationService-<digest>.pem`.
#[derive(Clone)]
pub struct Certificates {
    sns: Arc<Sns>,
}

impl Certificates {
    /// The certificate of this service.
    #[must_use]
    pub fn new(sns: Arc<Sns>) -> Self {
        Certificates { sns }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

impl Sites for Certificates {
    fn claim(&self, head: &Parts) -> Option<Box<dyn Site>> {
        let name = head.uri.path().strip_prefix('/').filter(|name| name.starts_with(FILE_STEM))?;
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let found = self.sns.outside.signer.certificate(name).unwrap_or_else(|error| {
            tracing::error!(%error, "the signing certificate cannot be read");
            None
        });
        Some(Box::new(Certificate { pem: found }))
    }
}

/// A certificate that was asked for; `None`: there is none of this name.
struct Certificate {
    pem: Option<String>,
}

impl Certificate {
    fn answer(&self) -> Response<Body> {
        let Some(pem) = &self.pem else { return status(StatusCode::NOT_FOUND) };
        let mut response = Response::new(Body::from(Bytes::from(pem.clone())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
        response
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

impl Site for Certificate {
    fn max_body_bytes(&self) -> usize {
        0
    }

    fn signing_name(&self) -> Option<&'static str> {
        None
    }

    fn answer_early(&self, _head: &Parts) -> Option<Response<Body>> {
        Some(self.answer())
    }

    fn refuse(&self, _head: &Parts, _refused: &Refused) -> Response<Body> {
        status(StatusCode::BAD_REQUEST)
    }

    fn serve(self: Box<Self>, _visit: Visit) -> Serving {
        // Answered early.
        Box::pin(async move { self.answer() })
    }
}
