//! Routing: which service and operation a request is for, and in which protocol it speaks.
//!
//! All services share one port. The marks, in this order: a smithy-rpc-v2 path, `X-Amz-Target`, `Action` (in the query
//! string or a form), the paths of the REST services. The name in the credential scope, where there is one, narrows the
//! choice; a request with neither mark nor scope is matched against every REST service.

use base::ApiError;
use bytes::Bytes;
use http::request::Parts;
use model::{Catalog, Operation, Protocol, ServiceModel};

use crate::ErrorForm;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The service.
    pub service: &'static ServiceModel,
    /// The operation.
    pub operation: &'static Operation,
    /// The protocol the request speaks, and the answer will.
    pub protocol: Protocol,
    /// The client asks for the error codes of the service's `query` days.
    pub query_mode: bool,
    /// Names and decoded values of the path's labels.
    pub labels: Vec<(&'static str, String)>,
}

/// A request that cannot be routed: the answer and its form.
#[derive(Clone, Debug)]
pub struct WireError {
    /// What to answer.
    pub error: ApiError,
    /// In which form.
    pub form: ErrorForm,
}

impl Route {
    /// The form of this route's errors.
    #[must_use]
    pub fn error_form(&self) -> ErrorForm {
        ErrorForm {
            protocol: self.protocol,
            service: Some(self.service),
            operation: Some(self.operation),
            query_mode: self.query_mode,
        }
    }

    /// The answer to an operation that is in the model and has no handler.
    #[must_use]
    pub fn not_implemented(&self) -> ApiError {
        let (operation, service) = (self.operation.name, self.service.id);
        ApiError::new(
            "NotImplemented",
            format!("Operation {operation} of service {service} is not supported yet."),
        )
        .status(501)
    }
}

/// Finds service and operation of a request. `signing_name` is the service in its credential scope.
///
/// # Errors
/// When no operation is meant: the error AWS gives, in the form the client understands.
pub fn route(
    catalog: &'static Catalog,
    parts: &Parts,
    body: &Bytes,
    signing_name: Option<&str>,
) -> Result<Route, WireError> {
    let _ = (catalog, body, signing_name);
    Err(WireError {
        error: ApiError::new("UnknownOperationException", "not yet"),
        form: ErrorForm::guess(parts),
    })
}
