//! What SnapStart adds to the Runtime API: `/runtime/restore/next`, `/runtime/restore/error`, and the endpoint that
//! hands out credentials.
//!
//! A runtime that has initialised and run its before-snapshot hooks asks for `restore/next`. In the environment from
//! which the snapshot is taken this is the end of the initialisation: it is answered at once, and the runtime writes
//! its image. In any other one, where the function initialises without a snapshot, it is answered at once, too, and the
//! runtime goes on with its after-restore hooks. A restored process never asks: it was answered before.
//!
//! Credentials: environment variables of a snapshot would be those of its maker, and old. So functions with SnapStart
//! get none, but `AWS_CONTAINER_CREDENTIALS_FULL_URI` and a token, and SDKs ask here.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html#snapstart-credentials>.

use std::sync::Arc;

use bytes::Bytes;

use super::http1;
use crate::fleet::Later;

/// The path of the credentials, below the Runtime API's address.
pub(crate) const CREDENTIALS_PATH: &str = "/2021-04-23/credentials";

/// What an environment has to do with snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SnapRole {
    /// Nothing.
    #[default]
    None,
    /// A snapshot is taken from it.
    Template,
    /// It initialises where others are restored, or was restored.
    Instance,
}

/// Hands out credentials.
pub(crate) trait Vend: Send + Sync {
    /// What `Authorization` must be.
    fn token(&self) -> &str;
    /// The document with the credentials, or why there are none.
    fn credentials(&self) -> Later<Result<Bytes, String>>;
}

/// What a session knows of both.
#[derive(Clone, Default)]
pub(crate) struct Snap {
    pub(crate) role: SnapRole,
    pub(crate) vendor: Option<Arc<dyn Vend>>,
}

/// The answer to a request for credentials.
pub(super) async fn credentials(snap: &Snap, authorization: Option<&str>) -> Bytes {
    let Some(vendor) = &snap.vendor else {
        let message =
            "credentials are served to functions with SnapStart; others find theirs in the environment";
        return http1::error(404, "NotFound", message);
    };
    if authorization != Some(vendor.token()) {
        return http1::error(403, "AccessDenied", "the authorization token is not this environment's");
    }
    match vendor.credentials().await {
        Ok(document) => http1::json(&document),
        Err(why) => http1::error(500, "InternalError", &why),
    }
}
