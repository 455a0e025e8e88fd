//! Until the wire's validation lands, every input and answer is taken for valid.

use base::ApiError;
use model::Operation;
use wire::Doc;

pub(crate) fn validate(_: &Operation, _: &Doc) -> Result<(), ApiError> {
    Ok(())
}

pub(crate) fn check_output(_: &Operation, _: &Doc) -> Result<(), String> {
    Ok(())
}
