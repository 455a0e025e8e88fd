//! The attributes of a topic by their names in the API: how each is set, and how it is shown.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html>.

use std::collections::BTreeMap;

use base::Timestamp;
use serde_json::{Value, json};

use crate::errors::SnsError;
use crate::message::SignatureVersion;
use crate::outside::policy::TopicPolicy;
use crate::topic::{Archive, Counts, Settings, Topic};
use crate::topic_policy;

const MAX_DISPLAY_NAME: usize = 100;
const MESSAGE_BYTES: std::ops::RangeInclusive<u32> = 1024..=1_048_576;
const RETENTION_DAYS: std::ops::RangeInclusive<u16> = 1..=365;
/// Who tells of deliveries in CloudWatch Logs: each has a role for success, one for failure, and a rate.
const FEEDBACK_OF: [&str; 5] = ["HTTP", "Firehose", "Lambda", "Application", "SQS"];
const FEEDBACK: [&str; 3] = ["SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn"];

/// Why a value cannot be set.
pub(crate) enum Refusal {
    /// There is no such attribute, or it cannot be set.
    Name,
    /// What is wrong with the value.
    Value(String),
}

impl Refusal {
    fn value(why: impl Into<String>) -> Self {
        Refusal::Value(why.into())
    }

    /// As CreateTopic says it.
    pub(crate) fn on_create(self, name: &str) -> SnsError {
        SnsError::invalid(match self {
            Refusal::Name => format!("Attributes Reason: Unknown attribute {name}"),
            Refusal::Value(why) => format!("Attributes Reason: {why}"),
        })
    }

    /// As SetTopicAttributes says it.
    pub(crate) fn on_set(self) -> SnsError {
        SnsError::invalid(match self {
            Refusal::Name => "AttributeName".to_owned(),
            Refusal::Value(why) => why,
        })
    }
}

/// Sets one attribute; an empty value takes it back to its default. Whether the topic is a FIFO topic is settled
/// before.
pub(crate) fn set(
    settings: &mut Settings,
    topic_arn: &str,
    name: &str,
    value: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    match name {
        "DisplayName" => {
            if value.chars().count() > MAX_DISPLAY_NAME || value.chars().any(char::is_control) {
                return Err(Refusal::value("DisplayName"));
            }
            value.clone_into(&mut settings.display_name);
        }
        "Policy" => settings.policy = non_empty(value, |text| topic_policy::checked(text, topic_arn))?,
        "DeliveryPolicy" => {
            settings.delivery_policy = non_empty(value, |text| {
                TopicPolicy::parse(text).map_err(Refusal::Value)?;
                Ok(text.to_owned())
            })?;
        }
        "KmsMasterKeyId" => settings.kms_master_key_id = non_empty(value, |text| Ok(text.to_owned()))?,
        "TracingConfig" => {
            settings.tracing = non_empty(value, |text| match text {
                "Active" | "PassThrough" => Ok(text.to_owned()),
                _ => Err(Refusal::value(format!(
                    "TracingConfig Reason: Invalid value [{text}]. Must be Active or PassThrough"
                ))),
            })?;
        }
        "SignatureVersion" => {
            settings.signature_version = non_empty(value, |text| match text {
                "1" => Ok(SignatureVersion::V1),
                "2" => Ok(SignatureVersion::V2),
                _ => Err(Refusal::value(format!(
                    "SignatureVersion Reason: Invalid value [{text}]. Must be 1 or 2"
                ))),
            })?;
        }
        "MaximumMessageSize" => {
            settings.maximum_message_bytes = non_empty(value, |text| {
                text.parse().ok().filter(|bytes| MESSAGE_BYTES.contains(bytes)).ok_or_else(|| {
                    Refusal::value(format!(
                        "MaximumMessageSize Reason: Invalid value [{text}]. Must be an integer from 1024 to 1048576"
                    ))
                })
            })?;
        }
        "ContentBasedDeduplication" | "FifoThroughputScope" | "ArchivePolicy" => {
            set_fifo(settings, name, value, now)?;
        }
        _ if is_feedback(name) => {
            if name.ends_with("SampleRate")
                && !value.is_empty()
                && !value.parse().is_ok_and(|rate: u8| rate <= 100)
            {
                return Err(Refusal::value(format!(
                    "{name} Reason: Invalid value [{value}]. Must be 0 to 100"
                )));
            }
            if value.is_empty() {
                settings.feedback.remove(name);
            } else {
                settings.feedback.insert(name.to_owned(), value.to_owned());
            }
        }
        _ => return Err(Refusal::Name),
    }
    Ok(())
}

fn is_feedback(name: &str) -> bool {
    FEEDBACK_OF.iter().any(|of| name.strip_prefix(of).is_some_and(|rest| FEEDBACK.contains(&rest)))
}

fn non_empty<T>(value: &str, read: impl FnOnce(&str) -> Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    if value.is_empty() { Ok(None) } else { read(value).map(Some) }
}

fn set_fifo(settings: &mut Settings, name: &str, value: &str, now: Timestamp) -> Result<(), Refusal> {
    let Some(fifo) = &mut settings.fifo else {
        return Err(Refusal::value(match name {
            "ContentBasedDeduplication" => {
                "Content-based deduplication can only be set for FIFO topics".to_owned()
            }
            "ArchivePolicy" => "ArchivePolicy can only be set for FIFO topics".to_owned(),
            _ => format!("{name} can only be set for FIFO topics"),
        }));
    };
    match name {
        "ContentBasedDeduplication" => {
            fifo.content_based_deduplication = boolean(value).ok_or_else(|| {
                Refusal::value(format!(
                    "ContentBasedDeduplication Reason: Invalid value [{value}]. Must be true or false."
                ))
            })?;
        }
        "FifoThroughputScope" => {
            fifo.per_group = match value {
                "Topic" | "" => false,
                "MessageGroup" => true,
                _ => {
                    return Err(Refusal::value(format!(
                        "FifoThroughputScope Reason: Invalid value [{value}]. Must be Topic or MessageGroup"
                    )));
                }
            }
        }
        _ => {
            let since = fifo.archive.map_or(now, |archive| archive.since);
            fifo.archive = retention_days(value)?.map(|retention_days| Archive { retention_days, since });
        }
    }
    Ok(())
}

/// Reads `true` and `false`, whatever their case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Reads an `ArchivePolicy`; an empty one ends the archive.
fn retention_days(text: &str) -> Result<Option<u16>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let Ok(policy) = serde_json::from_str::<BTreeMap<String, Value>>(text) else {
        return Err(Refusal::value("ArchivePolicy: failed to parse JSON."));
    };
    if policy.is_empty() {
        return Ok(None);
    }
    if let Some(other) = policy.keys().find(|key| *key != "MessageRetentionPeriod") {
        return Err(Refusal::value(format!("ArchivePolicy: Unknown property {other}")));
    }
    let days = match policy.get("MessageRetentionPeriod") {
        Some(Value::String(days)) => days.parse().ok(),
        Some(Value::Number(days)) => days.as_u64().and_then(|days| u16::try_from(days).ok()),
        _ => None,
    };
    match days.filter(|days| RETENTION_DAYS.contains(days)) {
        Some(days) => Ok(Some(days)),
        None => Err(Refusal::value("ArchivePolicy: MessageRetentionPeriod must be between 1 and 365 days")),
    }
}

/// All attributes that GetTopicAttributes shows.
pub(crate) fn shown(
    topic: &Topic,
    counts: Counts,
    effective_delivery_policy: String,
) -> BTreeMap<&'static str, String> {
    let mut shown = BTreeMap::from([
        ("TopicArn", topic.arn()),
        ("Owner", topic.account.to_string()),
        ("SubscriptionsConfirmed", counts.confirmed.to_string()),
        ("SubscriptionsPending", counts.pending.to_string()),
        ("SubscriptionsDeleted", counts.deleted.to_string()),
        ("EffectiveDeliveryPolicy", effective_delivery_policy),
        ("DisplayName", topic.settings.display_name.clone()),
        ("Policy", policy_of(topic)),
    ]);
    for name in SETTABLE {
        if let Some(value) = one(&topic.settings, name) {
            shown.insert(name, value);
        }
    }
    if topic.is_fifo() {
        shown.insert("FifoTopic", "true".to_owned());
    }
    shown
}

/// Shows since when messages are in the archive: since its policy, or as long as it keeps them.
pub(crate) fn show_archive(shown: &mut BTreeMap<&'static str, String>, topic: &Topic, now: Timestamp) {
    if let Some(archive) = topic.settings.fifo.as_ref().and_then(|fifo| fifo.archive) {
        let kept_ms = i64::from(archive.retention_days) * 24 * 60 * 60 * 1000;
        let since = Timestamp(archive.since.0.max(now.0 - kept_ms));
        shown.insert("BeginningArchiveTime", since.iso8601());
    }
}

pub(crate) fn policy_of(topic: &Topic) -> String {
    topic.settings.policy.clone().unwrap_or_else(|| topic_policy::default_for(topic))
}

/// What is shown only where it is set.
const SETTABLE: [&str; 8 + 15] = [
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "TracingConfig",
    "SignatureVersion",
    "MaximumMessageSize",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "ArchivePolicy",
    "HTTPSuccessFeedbackRoleArn",
    "HTTPSuccessFeedbackSampleRate",
    "HTTPFailureFeedbackRoleArn",
    "FirehoseSuccessFeedbackRoleArn",
    "FirehoseSuccessFeedbackSampleRate",
    "FirehoseFailureFeedbackRoleArn",
    "LambdaSuccessFeedbackRoleArn",
    "LambdaSuccessFeedbackSampleRate",
    "LambdaFailureFeedbackRoleArn",
    "ApplicationSuccessFeedbackRoleArn",
    "ApplicationSuccessFeedbackSampleRate",
    "ApplicationFailureFeedbackRoleArn",
    "SQSSuccessFeedbackRoleArn",
    "SQSSuccessFeedbackSampleRate",
    "SQSFailureFeedbackRoleArn",
];

/// An attribute as it is set; `None` where it is not.
pub(crate) fn one(settings: &Settings, name: &str) -> Option<String> {
    match name {
        "DisplayName" => Some(settings.display_name.clone()),
        "Policy" => settings.policy.clone(),
        "DeliveryPolicy" => settings.delivery_policy.clone(),
        "KmsMasterKeyId" => settings.kms_master_key_id.clone(),
        "TracingConfig" => settings.tracing.clone(),
        "SignatureVersion" => settings.signature_version.map(|version| version.as_str().to_owned()),
        "MaximumMessageSize" => settings.maximum_message_bytes.map(|bytes| bytes.to_string()),
        "FifoTopic" => Some(settings.fifo.is_some().to_string()),
        "ContentBasedDeduplication" => {
            settings.fifo.as_ref().map(|fifo| fifo.content_based_deduplication.to_string())
        }
        "FifoThroughputScope" => settings
            .fifo
            .as_ref()
            .map(|fifo| if fifo.per_group { "MessageGroup" } else { "Topic" }.to_owned()),
        "ArchivePolicy" => settings.fifo.as_ref()?.archive.map(|archive| {
            json!({ "MessageRetentionPeriod": archive.retention_days.to_string() }).to_string()
        }),
        _ => settings.feedback.get(name).cloned(),
    }
}
