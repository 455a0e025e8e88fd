//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod topics;

use std::sync::Arc;

use frontdoor::Service;

use crate::Sns;

pub(crate) fn table(sns: Arc<Sns>) -> Service {
    Service::new("sns", sns).on("CreateTopic", topics::create_topic).build()
}
