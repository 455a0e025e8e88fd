//! An operation: its HTTP binding and its shapes.

use serde::{Deserialize, Serialize};

use crate::Catalog;
use crate::service::ServiceModel;
use crate::shape::{Shape, ShapeId};

/// An operation of a service.
#[derive(Debug, Serialize, Deserialize)]
pub struct Operation {
    /// `CreateFunction`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path with labels, and constant query parameters: `/2015-03-31/functions/{FunctionName}`.
    pub uri: &'static str,
    /// The HTTP status of success.
    pub status: u16,
    /// The input structure; none means no input.
    pub input: Option<ShapeId>,
    /// The output structure; none means an empty answer.
    pub output: Option<ShapeId>,
    /// The element round a `query` answer's members.
    pub result_wrapper: Option<&'static str>,
    /// The root element of a `rest-xml` request without payload member, where it differs from the input's name.
    pub input_name: Option<&'static str>,
    /// The errors it may answer.
    pub errors: Vec<ShapeId>,
    /// A label that SDKs put before the host name.
    pub host_prefix: Option<&'static str>,
    /// The request must carry a checksum.
    pub checksum_required: bool,
    /// No signature is needed.
    pub unsigned: bool,
    /// AWS marks it as deprecated.
    pub deprecated: bool,
    /// Position of the service in the catalog; set when the table is loaded.
    #[serde(skip)]
    pub(crate) slot: usize,
}

impl Operation {
    /// An operation of no loaded table, for the tool that makes the tables. Everything else keeps its default.
    #[must_use]
    pub fn unbound(name: &'static str, method: &'static str, uri: &'static str, status: u16) -> Self {
        Operation {
            name,
            method,
            uri,
            status,
            input: None,
            output: None,
            result_wrapper: None,
            input_name: None,
            errors: Vec::new(),
            host_prefix: None,
            checksum_required: false,
            unsigned: false,
            deprecated: false,
            slot: 0,
        }
    }

    /// The service that it belongs to.
    #[must_use]
    pub fn service(&self) -> &'static ServiceModel {
        // Operations outside the tool come from `Catalog::at`, which sets the slot.
        #[allow(clippy::expect_used)]
        Catalog::embedded().at(self.slot).expect("an operation's slot is its service's")
    }

    /// The input structure.
    #[must_use]
    pub fn input_shape(&self) -> Option<&'static Shape> {
        self.input.map(|id| self.service().shape(id))
    }

    /// The output structure.
    #[must_use]
    pub fn output_shape(&self) -> Option<&'static Shape> {
        self.output.map(|id| self.service().shape(id))
    }
}
