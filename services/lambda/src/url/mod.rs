//! Function URLs: an HTTP address of its own for a function or an alias.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `record` | the URLs in the store, by function and by id |
//! | `address` | the forms of an address, read and written |
//! | `site` | what the gateway passes on: who may, then run, then answer |
//! | `event` | from a request to the event that the function gets |
//! | `answer`, `stream` | from the function's answer to a response: all there, or on its way |
//! | `cors` | which pages may ask, in the browser's terms |
//!
//! It knows no AWS operation (`operations::urls` has those), and the gateway knows nothing of it but its trait.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html>.

pub(crate) mod address;
mod answer;
mod cors;
mod event;
pub(crate) mod record;
mod site;
mod stream;

pub use site::FunctionUrls;
