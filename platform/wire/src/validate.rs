//! Checks a document against the model.
use base::ApiError;
use model::Operation;

use crate::Doc;

/// Checks an input.
///
/// # Errors
/// AWS's validation error.
pub fn validate(operation: &Operation, input: &Doc) -> Result<(), ApiError> {
    let _ = (operation, input);
    Ok(())
}

/// Checks an output.
///
/// # Errors
/// What is wrong.
pub fn check_output(operation: &Operation, output: &Doc) -> Result<(), String> {
    let _ = (operation, output);
    Ok(())
}
