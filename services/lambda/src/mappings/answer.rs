//! What a function says of single messages of its batch: `ReportBatchItemFailures`.
//!
//! | answer | meaning |
//! | --- | --- |
//! | nothing, `null`, `{}`, no or a `null` or an empty list of `batchItemFailures` | all were handled |
//! | a list that names messages of the batch | these were not |
//! | anything else: another shape, an empty or unknown id | none was |
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>.

use std::collections::HashSet;

use serde::Deserialize;

/// Which messages of a batch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// These; none is possible.
    These(HashSet<String>),
    /// All: the answer is no report, for this reason.
    Unfit(String),
}

#[derive(Deserialize)]
struct Form {
    #[serde(rename = "batchItemFailures")]
    failures: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "itemIdentifier")]
    id: String,
}

/// Reads a function's answer about a batch of messages with these ids.
pub(super) fn read(answer: &[u8], is_of_batch: impl Fn(&str) -> bool) -> Report {
    let text = answer.trim_ascii();
    if text.is_empty() || text == b"null" || text == b"\"\"" {
        return Report::These(HashSet::new());
    }
    let form: Form = match serde_json::from_slice(text) {
        Ok(form) => form,
        Err(error) => {
            return Report::Unfit(format!("the answer is no report of batch item failures: {error}"));
        }
    };
    let mut failed = HashSet::new();
    for item in form.failures.unwrap_or_default() {
        if !is_of_batch(&item.id) {
            return Report::Unfit(format!(
                "the function reports the failure of '{}', which is no message of its batch",
                item.id.chars().take(100).collect::<String>()
            ));
        }
        failed.insert(item.id);
    }
    Report::These(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answer: &str) -> Report {
        read(answer.as_bytes(), |id| ["a", "b"].contains(&id))
    }

    #[test]
    fn nothing_said_means_all_went_well() {
        for answer in [
            "",
            "null",
            " null ",
            "\"\"",
            "{}",
            "{\"batchItemFailures\":[]}",
            "{\"batchItemFailures\":null}",
            "{\"statusCode\":200}",
        ] {
            assert_eq!(report(answer), Report::These(HashSet::new()), "{answer}");
        }
    }

    #[test]
    fn named_messages_failed() {
        let named = |ids: &[&str]| Report::These(ids.iter().map(|&id| id.to_owned()).collect());
        assert_eq!(report("{\"batchItemFailures\":[{\"itemIdentifier\":\"b\"}]}"), named(&["b"]));
        let twice =
            "{\"batchItemFailures\":[{\"itemIdentifier\":\"a\",\"x\":1},{\"itemIdentifier\":\"a\"}],\"y\":2}";
        assert_eq!(report(twice), named(&["a"]));
    }

    #[test]
    fn what_is_no_report_fails_all() {
        for answer in [
            "{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}",
            "{\"batchItemFailures\":[{\"itemIdentifier\":null}]}",
            "{\"batchItemFailures\":[{\"itemIdentifier\":\"c\"}]}",
            "{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},{\"itemIdentifier\":\"c\"}]}",
            "{\"batchItemFailures\":[{\"messageId\":\"a\"}]}",
            "{\"batchItemFailures\":[\"a\"]}",
            "{\"batchItemFailures\":\"a\"}",
            "{\"batchItemFailures\":{}}",
            "\"done\"",
            "[1]",
            "{",
        ] {
            assert!(matches!(report(answer), Report::Unfit(_)), "{answer}");
        }
    }
}
