//! The wire: what AWS clients send and expect, one codec per protocol, driven by the models.
//!
//! A request goes [`route`] -> [`decode`] -> [`validate`] -> (handler) -> [`encode_output`] or [`encode_error`]. Between
//! the codecs and the handlers stands the [`Doc`]. The crate knows no service by name and does no I/O: bytes in, bytes
//! out. `sigv4` verifies signatures.

pub mod codec;
pub mod doc;
pub mod error_form;
#[cfg(test)]
mod golden;
pub mod route;
pub mod sigv4;
#[cfg(test)]
mod speed;
mod text;
pub mod validate;

pub use codec::events::{EventEncoder, Pieces, encode_stream_head};
pub use codec::{decode, encode_error, encode_output};
pub use doc::{Blob, Doc, DocError, Time};
pub use error_form::ErrorForm;
pub use model::Protocol;
pub use route::{Route, WireError, route};
pub use validate::{check_event, check_output, validate};
