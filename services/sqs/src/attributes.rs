//! A queue's attributes as clients give and read them: names, texts, bounds.
//!
//! It checks one queue's attributes by themselves. Whether a dead-letter queue exists and lets this queue in is
//! [`crate::dead_letters`]'s business.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::dead_letters;
use crate::errors::SqsError;
use crate::messages::manage::Counts;
use crate::queue::{Attributes, Fifo, Queue};
use crate::statements;

/// Attributes as a request gives them. A value that is JSON's `null` is as if it were not there.
pub(crate) type Given = BTreeMap<String, Option<String>>;

/// Attributes that can be read only.
const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];
/// Attributes that can be set, those of FIFO queues included.
const SETTABLE: [&str; 15] = [
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

/// Whether there is such an attribute, or `All`.
pub(crate) fn is_known(name: &str) -> bool {
    name == "All" || READ_ONLY.contains(&name) || SETTABLE.contains(&name)
}

/// Whether an attribute is one of the three that count messages.
pub(crate) fn is_number(name: &str) -> bool {
    name == "All" || name.starts_with("ApproximateNumberOf")
}

pub(crate) fn unknown(name: &str) -> SqsError {
    SqsError::other("InvalidAttributeName", format!("Unknown Attribute {name}."))
}

pub(crate) fn invalid(name: &str) -> SqsError {
    SqsError::other("InvalidAttributeValue", format!("Invalid value for the parameter {name}."))
}

/// Sets what a request gives. On an error the attributes are to be thrown away.
///
/// # Errors
/// `InvalidAttributeName`, `InvalidAttributeValue`, `InvalidParameterValue`, `OverLimit`: in AWS's words.
pub(crate) fn set(attributes: &mut Attributes, given: &Given, queue_name: &str) -> Result<(), SqsError> {
    let given: Vec<(&str, &str)> =
        given.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))).collect();
    for (name, value) in &given {
        set_one(attributes, name, value, queue_name)?;
    }
    let value_of = |wanted: &str| given.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    one_encryption(attributes, value_of("KmsMasterKeyId"), value_of("SqsManagedSseEnabled"))?;
    match attributes.fifo {
        Some(fifo) if fifo.limit_per_group && !fifo.deduplicate_per_group => Err(SqsError::other(
            "InvalidAttributeValue",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup",
        )),
        _ => Ok(()),
    }
}

fn set_one(attributes: &mut Attributes, name: &str, value: &str, queue_name: &str) -> Result<(), SqsError> {
    let number = |bounds| whole(name, value, bounds);
    match name {
        "DelaySeconds" => attributes.delay_s = number(0..=900)?,
        "MaximumMessageSize" => attributes.maximum_message_bytes = number(1024..=1_048_576)?,
        "MessageRetentionPeriod" => attributes.retention_s = number(60..=1_209_600)?,
        "ReceiveMessageWaitTimeSeconds" => attributes.receive_wait_s = number(0..=20)?,
        "VisibilityTimeout" => attributes.visibility_timeout_s = number(0..=43_200)?,
        "KmsDataKeyReusePeriodSeconds" => attributes.kms_data_key_reuse_s = number(60..=86_400)?,
        "KmsMasterKeyId" => attributes.kms_master_key_id = some(value),
        "SqsManagedSseEnabled" => attributes.sqs_managed_sse = truth(name, value)?,
        "Policy" => attributes.policy = statements::check(value)?,
        "RedrivePolicy" => attributes.redrive = dead_letters::redrive(value, queue_name)?,
        "RedriveAllowPolicy" => attributes.redrive_allow = dead_letters::redrive_allow(value)?,
        "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "FifoThroughputLimit" => {
            let Some(fifo) = &mut attributes.fifo else { return Err(of_fifo_only(name)) };
            set_fifo(fifo, name, value)?;
        }
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn of_fifo_only(name: &str) -> SqsError {
    match name {
        "DeduplicationScope" | "FifoThroughputLimit" => SqsError::other(
            "InvalidAttributeName",
            format!("You can specify the {name} only when FifoQueue is set to true."),
        ),
        _ => unknown(name),
    }
}

fn set_fifo(fifo: &mut Fifo, name: &str, value: &str) -> Result<(), SqsError> {
    let one_of = |yes: &str, no: &str| match value {
        _ if value == yes => Ok(true),
        _ if value == no => Ok(false),
        _ => Err(invalid(name)),
    };
    match name {
        "ContentBasedDeduplication" => fifo.content_based_deduplication = truth(name, value)?,
        "DeduplicationScope" => fifo.deduplicate_per_group = one_of("messageGroup", "queue")?,
        "FifoThroughputLimit" => fifo.limit_per_group = one_of("perMessageGroupId", "perQueue")?,
        _ if truth(name, value)? => {}
        _ => {
            return Err(SqsError::other(
                "InvalidAttributeValue",
                "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
            ));
        }
    }
    Ok(())
}

/// Only one kind of encryption is on: the one that was asked for last.
fn one_encryption(
    attributes: &mut Attributes,
    key: Option<&str>,
    managed: Option<&str>,
) -> Result<(), SqsError> {
    let wants_key = key.is_some_and(|key| !key.is_empty());
    let wants_managed = managed == Some("true");
    if wants_key && wants_managed {
        return Err(SqsError::other(
            "InvalidAttributeName",
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
        ));
    }
    if wants_key {
        attributes.sqs_managed_sse = false;
    }
    if wants_managed {
        attributes.kms_master_key_id = None;
    }
    Ok(())
}

/// A whole number within bounds, in digits alone.
fn whole(name: &str, value: &str, bounds: RangeInclusive<u32>) -> Result<u32, SqsError> {
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse::<u32>().ok().filter(|number| plain && bounds.contains(number));
    number.ok_or_else(|| invalid(name))
}

fn truth(name: &str, value: &str) -> Result<bool, SqsError> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(invalid(name))
    }
}

fn some(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// The attribute that differs between two sets among those given, if one does.
pub(crate) fn difference<'a>(given: &'a Given, now: &Attributes, wanted: &Attributes) -> Option<&'a str> {
    let mut names = given.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_str());
    names.find(|name| show(now, name) != show(wanted, name))
}

/// The value of an attribute of a queue, if it has it.
pub(crate) fn value(queue: &Queue, numbers: Counts, name: &str) -> Option<String> {
    Some(match name {
        "ApproximateNumberOfMessages" => numbers.visible.to_string(),
        "ApproximateNumberOfMessagesDelayed" => numbers.delayed.to_string(),
        "ApproximateNumberOfMessagesNotVisible" => numbers.in_flight.to_string(),
        "CreatedTimestamp" => (queue.created_at.0 / 1000).to_string(),
        "LastModifiedTimestamp" => (queue.modified_at.0 / 1000).to_string(),
        "QueueArn" => queue.arn(),
        _ => return show(&queue.attributes, name),
    })
}

/// The names and values of a queue's attributes: those asked for, or all.
pub(crate) fn values(queue: &Queue, numbers: Counts, names: &[String]) -> BTreeMap<&'static str, String> {
    let all = names.iter().any(|name| name == "All");
    let asked = |name: &&str| all || names.iter().any(|wanted| wanted == name);
    let known = READ_ONLY.into_iter().chain(SETTABLE).filter(asked);
    known.filter_map(|name| Some((name, value(queue, numbers, name)?))).collect()
}

fn show(attributes: &Attributes, name: &str) -> Option<String> {
    let fifo = attributes.fifo.as_ref();
    match name {
        "DelaySeconds" => Some(attributes.delay_s.to_string()),
        "MaximumMessageSize" => Some(attributes.maximum_message_bytes.to_string()),
        "MessageRetentionPeriod" => Some(attributes.retention_s.to_string()),
        "ReceiveMessageWaitTimeSeconds" => Some(attributes.receive_wait_s.to_string()),
        "VisibilityTimeout" => Some(attributes.visibility_timeout_s.to_string()),
        "Policy" => attributes.policy.clone(),
        "RedrivePolicy" => attributes.redrive.as_ref().map(dead_letters::show_redrive),
        "RedriveAllowPolicy" => attributes.redrive_allow.as_ref().map(dead_letters::show_redrive_allow),
        "KmsMasterKeyId" => attributes.kms_master_key_id.clone(),
        "KmsDataKeyReusePeriodSeconds" => {
            attributes.kms_master_key_id.as_ref().map(|_| attributes.kms_data_key_reuse_s.to_string())
        }
        "SqsManagedSseEnabled" => Some(attributes.sqs_managed_sse.to_string()),
        "FifoQueue" => fifo.map(|_| "true".to_owned()),
        "ContentBasedDeduplication" => fifo.map(|fifo| fifo.content_based_deduplication.to_string()),
        "DeduplicationScope" => {
            fifo.map(|fifo| if fifo.deduplicate_per_group { "messageGroup" } else { "queue" }.to_owned())
        }
        "FifoThroughputLimit" => {
            fifo.map(|fifo| if fifo.limit_per_group { "perMessageGroupId" } else { "perQueue" }.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    }

    fn standard(pairs: &[(&str, &str)]) -> Result<Attributes, String> {
        let mut attributes = Attributes::default();
        set(&mut attributes, &given(pairs), "q").map(|()| attributes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_number_has_its_bounds() {
        for (name, least, most) in [
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43_200),
            ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
        ] {
            for inside in [least, most] {
                let shown = standard(&[(name, &inside.to_string()), ("KmsMasterKeyId", "k")]).unwrap();
                assert_eq!(show(&shown, name), Some(inside.to_string()));
            }
            let outside = [(least - 1).to_string(), (most + 1).to_string()];
            let strange =
                ["", " 5", "5 ", "+70", "070000000000000000000", "true", "5000.5"].map(str::to_owned);
            for bad in outside.iter().chain(&strange) {
                assert_eq!(
                    standard(&[(name, bad)]).unwrap_err(),
                    format!("Invalid value for the parameter {name}."),
                    "{bad}"
                );
            }
        }
    }

    #[test]
    fn one_kind_of_encryption_at_a_time() {
        let with_key = standard(&[("KmsMasterKeyId", "alias/aws/sqs")]).unwrap();
        assert!(!with_key.sqs_managed_sse);
        let mut back = with_key.clone();
        set(&mut back, &given(&[("SqsManagedSseEnabled", "true")]), "q").unwrap();
        assert_eq!((back.sqs_managed_sse, &back.kms_master_key_id), (true, &None));
        assert_eq!(show(&back, "KmsDataKeyReusePeriodSeconds"), None);
        standard(&[("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "true")]).unwrap_err();
        standard(&[("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "false")]).unwrap();
        let mut cleared = with_key;
        set(&mut cleared, &given(&[("KmsMasterKeyId", "")]), "q").unwrap();
        assert_eq!((cleared.sqs_managed_sse, cleared.kms_master_key_id), (false, None));
    }

    #[test]
    fn what_is_for_fifo_queues_is_refused_elsewhere() {
        assert_eq!(standard(&[("FifoQueue", "false")]).unwrap_err(), "Unknown Attribute FifoQueue.");
        assert_eq!(
            standard(&[("DeduplicationScope", "queue")]).unwrap_err(),
            "You can specify the DeduplicationScope only when FifoQueue is set to true."
        );
        let mut fifo = Attributes { fifo: Some(Fifo::default()), ..Attributes::default() };
        let limit = ("FifoThroughputLimit", "perMessageGroupId");
        set(&mut fifo.clone(), &given(&[limit]), "q.fifo").unwrap_err();
        set(&mut fifo, &given(&[limit, ("DeduplicationScope", "messageGroup")]), "q.fifo").unwrap();
        set(&mut fifo.clone(), &given(&[("DeduplicationScope", "queue")]), "q.fifo").unwrap_err();
        set(&mut fifo.clone(), &given(&[("FifoQueue", "true")]), "q.fifo").unwrap();
    }

    #[test]
    fn what_was_not_given_makes_no_difference() {
        let now = standard(&[("DelaySeconds", "5")]).unwrap();
        let asked = given(&[("VisibilityTimeout", "30")]);
        assert_eq!(difference(&asked, &now, &Attributes::default()), None);
        let asked = given(&[("DelaySeconds", "0"), ("VisibilityTimeout", "30")]);
        assert_eq!(difference(&asked, &now, &Attributes::default()), Some("DelaySeconds"));
    }
}
