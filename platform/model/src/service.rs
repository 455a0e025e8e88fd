//! A service: its protocols, its operations, its shapes, its errors.
//!
//! Facts: the `metadata` of botocore's `service-2.json`, see `models/README.md`.

use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::paths::PathTable;
use crate::shape::{Shape, ShapeId};

/// A protocol family of the AWS models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// `json` with `jsonVersion` 1.0: <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>.
    Json10,
    /// `json` with `jsonVersion` 1.1.
    Json11,
    /// `rest-json`: <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html>.
    RestJson,
    /// `query`: <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>.
    Query,
    /// `rest-xml`: <https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html>.
    RestXml,
    /// `smithy-rpc-v2-cbor`: <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>.
    RpcV2Cbor,
}

/// What routing needs to know of a service before its model is loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// botocore's folder name: `lambda`.
    pub id: &'static str,
    /// The service's name in a credential scope: `lambda`.
    pub signing_name: &'static str,
    /// `2015-03-31`.
    pub api_version: &'static str,
    /// What stands before the dot in `X-Amz-Target`.
    pub target_prefix: Option<&'static str>,
    /// The protocols, the one that current SDKs use first.
    pub protocols: Vec<Protocol>,
    /// Whether a request's own URL may name the resource: see [`ServiceModel::url_member`].
    pub has_url_member: bool,
    /// Whether some operation is taken without a signature.
    pub has_unsigned: bool,
}

/// A service's model.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServiceModel {
    /// botocore's folder name: `lambda`.
    pub id: &'static str,
    /// The name in smithy-rpc-v2 paths, without spaces: `Lambda`.
    pub rpc_name: &'static str,
    /// `2015-03-31`.
    pub api_version: &'static str,
    /// The first label of the service's host name at AWS.
    pub endpoint_prefix: &'static str,
    /// The service's name in a credential scope.
    pub signing_name: &'static str,
    /// What stands before the dot in `X-Amz-Target`.
    pub target_prefix: Option<&'static str>,
    /// The namespace of its XML answers.
    pub xml_namespace: Option<&'static str>,
    /// The protocols, the one that current SDKs use first.
    pub protocols: Vec<Protocol>,
    /// The service once spoke `query` and still tells SDKs the old error codes.
    pub query_compatible: bool,
    /// The code of the error that lists violated constraints.
    pub validation_code: &'static str,
    /// What stands before `#` in `__type`, where the service writes it.
    pub error_namespace: Option<&'static str>,
    /// Code and beginning of the message for a body that is not JSON, where they are the service's own.
    pub malformed_body: Option<(&'static str, &'static str)>,
    /// Code and beginning of the message for a request without a member that must be there, where they are the
    /// service's own: the member's name follows.
    pub missing_member: Option<(&'static str, &'static str)>,
    /// What `__type` says for errors that the model does not list: by code, sorted.
    pub json_codes: Vec<(&'static str, &'static str)>,
    /// The member that is the request's own URL when the request does not tell it and goes to a path of its own, as
    /// old clients of the `query` protocol do.
    pub url_member: Option<&'static str>,
    /// XML errors have `<Error>` as their root.
    pub bare_xml_errors: bool,
    /// Sorted by name.
    pub operations: Vec<Operation>,
    /// The shapes; a [`ShapeId`] is an index.
    pub shapes: Vec<Shape>,
    /// Errors by code and by shape name, sorted by that.
    pub errors: Vec<(&'static str, ShapeId)>,
    /// Paths of the REST protocols.
    pub paths: PathTable,
}

impl ServiceModel {
    /// The operation of that name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        let at = self.operations.binary_search_by_key(&name, |operation| operation.name).ok()?;
        self.operations.get(at)
    }

    /// The shape with that id. Ids come from the model itself, so there always is one.
    #[must_use]
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0 as usize]
    }

    /// The shape of that name. For tests and tools: hot paths go by id.
    #[must_use]
    pub fn shape_named(&self, name: &str) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// The error with that code (`NoSuchEntity`) or shape name (`NoSuchEntityException`).
    #[must_use]
    pub fn error(&self, code: &str) -> Option<&Shape> {
        let at = self.errors.binary_search_by_key(&code, |(name, _)| name).ok()?;
        self.errors.get(at).map(|(_, id)| self.shape(*id))
    }
}
