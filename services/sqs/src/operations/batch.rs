//! What the batch operations have in common: the rules of entries and their ids, and failures of single entries.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api-actions.html>.

use std::collections::HashSet;

use base::ApiError;
use serde::Serialize;

use crate::errors::SqsError;

/// The most entries of a request.
const MAX_ENTRIES: usize = 10;
/// The longest id of an entry, in characters.
const MAX_ID: usize = 80;

/// An entry that failed, while others may not have.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failure {
    id: String,
    sender_fault: bool,
    code: String,
    message: String,
}

impl Failure {
    pub(super) fn new(id: String, error: SqsError) -> Self {
        let error = ApiError::from(error);
        Failure {
            id,
            sender_fault: error.http_status() < 500,
            code: error.code.into_owned(),
            message: error.message,
        }
    }
}

/// Checks the ids of a batch's entries. `kind` is the entries' name in the API.
///
/// # Errors
/// `EmptyBatchRequest`, `TooManyEntriesInBatchRequest`, `InvalidBatchEntryId`, `BatchEntryIdsNotDistinct`.
pub(super) fn check<'a>(kind: &str, ids: impl ExactSizeIterator<Item = &'a str>) -> Result<(), SqsError> {
    let count = ids.len();
    if count == 0 {
        let message = format!("There should be at least one {kind} in the request.");
        return Err(SqsError::other("EmptyBatchRequest", message));
    }
    if count > MAX_ENTRIES {
        let message =
            format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {count}.");
        return Err(SqsError::other("TooManyEntriesInBatchRequest", message));
    }
    let mut seen = HashSet::new();
    for id in ids {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=MAX_ID).contains(&id.len()) || !id.bytes().all(is_allowed) {
            return Err(SqsError::other(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most \
                 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(SqsError::other("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_distinct_ids_of_a_certain_form() {
        let code = |ids: &[&str]| match check("XEntry", ids.iter().copied()) {
            Ok(()) => "",
            Err(SqsError::Other { code, .. }) => code,
            Err(other) => panic!("{other}"),
        };
        let (longest, too_long) = ("a".repeat(80), "a".repeat(81));
        let ten: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
        assert_eq!(code(&["a", "b-_9", &longest]), "");
        assert_eq!(code(&ten[..10]), "");
        assert_eq!(code(&ten), "TooManyEntriesInBatchRequest");
        assert_eq!(code(&[]), "EmptyBatchRequest");
        assert_eq!(code(&["a", "a"]), "BatchEntryIdsNotDistinct");
        for bad in ["", "a b", "ä", "a.b", &too_long] {
            assert_eq!(code(&[bad]), "InvalidBatchEntryId", "{bad}");
        }
    }
}
