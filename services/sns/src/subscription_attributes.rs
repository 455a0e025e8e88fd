//! The attributes of a subscription by their names in the API: how each is set, and how it is shown.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html>.

use std::collections::BTreeMap;

use base::{Arn, Timestamp};
use pattern::FilterPolicy;
use serde::Deserialize;

use crate::errors::SnsError;
use crate::message::Protocol;
use crate::moment;
use crate::outside::policy::SubscriptionPolicy;
use crate::subscription::{Confirmation, RedrivePolicy, Replay, Scope, Settings, Subscription};
use crate::topic::Topic;
use crate::topic_attributes::boolean;

/// What a subscription is to be, as far as its attributes depend on it.
pub(crate) struct Place<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: &'a str,
}

/// All attributes that Subscribe gives.
///
/// # Errors
/// `InvalidParameter` with what is wrong first.
pub(crate) fn given(place: &Place<'_>, attributes: &BTreeMap<String, String>) -> Result<Settings, SnsError> {
    let mut settings = Settings::default();
    let on_subscribe = |why: String| SnsError::invalid(format!("Attributes Reason: {why}"));
    // A filter policy is read by its scope, so the scope comes first.
    let scope = attributes.get_key_value("FilterPolicyScope");
    let rest = attributes.iter().filter(|(name, _)| *name != "FilterPolicyScope");
    for (name, value) in scope.into_iter().chain(rest) {
        set(&mut settings, place, name, value).map_err(on_subscribe)?;
    }
    Ok(settings)
}

/// Sets one attribute; an empty value takes it back to its default.
///
/// # Errors
/// What is wrong; each operation says something of its own before it.
pub(crate) fn set(settings: &mut Settings, place: &Place<'_>, name: &str, value: &str) -> Result<(), String> {
    match name {
        "RawMessageDelivery" => set_raw(settings, place.protocol, value)?,
        "FilterPolicy" => settings.filter_policy = filter_policy(value, settings.filter_scope)?,
        "FilterPolicyScope" => {
            let scope = match value {
                "MessageAttributes" | "" => Scope::MessageAttributes,
                "MessageBody" => Scope::MessageBody,
                _ => {
                    return Err(format!(
                        "FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
                    ));
                }
            };
            if let Some(policy) = &settings.filter_policy {
                filter_policy(policy, scope)?;
            }
            settings.filter_scope = scope;
        }
        "RedrivePolicy" => settings.redrive_policy = redrive_policy(place, value)?,
        "DeliveryPolicy" => settings.delivery_policy = delivery_policy(place.protocol, value)?,
        "ReplayPolicy" => settings.replay = replay_policy(place.topic, value)?,
        "SubscriptionRoleArn" => {
            return Err(
                "SubscriptionRoleArn: only firehose subscriptions have a role, and these are not supported"
                    .to_owned(),
            );
        }
        _ => return Err("AttributeName".to_owned()),
    }
    Ok(())
}

fn set_raw(settings: &mut Settings, protocol: Protocol, value: &str) -> Result<(), String> {
    let raw = boolean(value)
        .ok_or_else(|| format!("RawMessageDelivery: Invalid value [{value}]. Must be true or false."))?;
    let can_be_raw =
        matches!(protocol, Protocol::Sqs | Protocol::Http | Protocol::Https | Protocol::Firehose);
    if raw && !can_be_raw {
        return Err(format!("Delivery protocol [{protocol}] does not support raw message delivery."));
    }
    settings.raw = raw;
    Ok(())
}

/// Reads a filter policy; an empty one lets everything pass.
fn filter_policy(text: &str, scope: Scope) -> Result<Option<String>, String> {
    if text.is_empty() || text.trim() == "{}" {
        return Ok(None);
    }
    FilterPolicy::parse(text, scope.of_pattern()).map_err(|error| error.to_string())?;
    Ok(Some(text.to_owned()))
}

fn redrive_policy(place: &Place<'_>, text: &str) -> Result<Option<String>, String> {
    if text.is_empty() || text.trim() == "{}" {
        return Ok(None);
    }
    if serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text).is_err() {
        return Err("RedrivePolicy: failed to parse JSON.".to_owned());
    }
    let policy: RedrivePolicy = serde_json::from_str(text)
        .map_err(|_| "RedrivePolicy: deadLetterTargetArn is an invalid arn".to_owned())?;
    let arn: Arn = policy
        .dead_letter_target_arn
        .parse()
        .map_err(|_| "RedrivePolicy: deadLetterTargetArn is an invalid arn".to_owned())?;
    if arn.service != "sqs" {
        return Err("RedrivePolicy: deadLetterTargetArn is an invalid arn".to_owned());
    }
    if arn.region != place.topic.region.as_str() {
        return Err("RedrivePolicy: deadLetterTargetArn must be in the same region as the topic".to_owned());
    }
    let (fifo_queue, fifo_endpoint) = (arn.resource.ends_with(".fifo"), place.endpoint.ends_with(".fifo"));
    if place.topic.is_fifo() && fifo_endpoint && !fifo_queue {
        return Err(
            "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.".to_owned()
        );
    }
    if !(place.topic.is_fifo() && fifo_endpoint) && fifo_queue {
        return Err("RedrivePolicy: must use a standard queue as DLQ for a standard subscription.".to_owned());
    }
    Ok(Some(text.to_owned()))
}

fn delivery_policy(protocol: Protocol, text: &str) -> Result<Option<String>, String> {
    if text.is_empty() || text.trim() == "{}" {
        return Ok(None);
    }
    if !protocol.is_http() {
        return Err("DeliveryPolicy: only http and https subscriptions have a delivery policy".to_owned());
    }
    SubscriptionPolicy::parse(text)?;
    Ok(Some(text.to_owned()))
}

/// `ReplayPolicy` as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReplayPolicy {
    point_type: String,
    starting_point: String,
    ending_point: Option<String>,
}

fn replay_policy(topic: &Topic, text: &str) -> Result<Option<Replay>, String> {
    if text.is_empty() || text.trim() == "{}" {
        return Ok(None);
    }
    let Some(archive) = topic.settings.fifo.as_ref().and_then(|fifo| fifo.archive) else {
        return Err("ReplayPolicy: the topic has no ArchivePolicy".to_owned());
    };
    let policy: ReplayPolicy =
        serde_json::from_str(text).map_err(|_| "ReplayPolicy: failed to parse JSON.".to_owned())?;
    if policy.point_type != "Timestamp" {
        return Err(format!("ReplayPolicy: Invalid PointType [{}]. Must be Timestamp", policy.point_type));
    }
    let read = |name: &str, text: &str| -> Result<Timestamp, String> {
        moment::parse(text).ok_or_else(|| format!("ReplayPolicy: {name} [{text}] is not a valid timestamp"))
    };
    let from = read("StartingPoint", &policy.starting_point)?;
    let until = policy.ending_point.as_deref().map(|text| read("EndingPoint", text)).transpose()?;
    if until.is_some_and(|until| until <= from) {
        return Err("ReplayPolicy: EndingPoint must be after StartingPoint".to_owned());
    }
    // Seconds are as exact as most clients are.
    if from.0 / 1000 < archive.since.0 / 1000 {
        return Err(
            "ReplayPolicy: StartingPoint must not be before the topic's BeginningArchiveTime".to_owned()
        );
    }
    Ok(Some(Replay { text: text.to_owned(), from, until }))
}

/// One attribute as it is set; `None` where it is not.
pub(crate) fn one(settings: &Settings, name: &str) -> Option<String> {
    match name {
        "RawMessageDelivery" => Some(settings.raw.to_string()),
        "FilterPolicy" => settings.filter_policy.clone(),
        "FilterPolicyScope" => {
            settings.filter_policy.as_ref().map(|_| settings.filter_scope.as_str().to_owned())
        }
        "RedrivePolicy" => settings.redrive_policy.clone(),
        "DeliveryPolicy" => settings.delivery_policy.clone(),
        "ReplayPolicy" => settings.replay.as_ref().map(|replay| replay.text.clone()),
        _ => None,
    }
}

/// What GetSubscriptionAttributes shows, without what others know better: the effective delivery policy and how far a
/// replay has come.
pub(crate) fn shown(subscription: &Subscription) -> BTreeMap<&'static str, String> {
    let pending = matches!(subscription.confirmation, Confirmation::Pending { .. });
    let mut shown = BTreeMap::from([
        ("SubscriptionArn", subscription.arn()),
        ("TopicArn", subscription.topic_arn.clone()),
        ("Owner", subscription.owner.to_string()),
        ("Protocol", subscription.protocol.as_str().to_owned()),
        ("Endpoint", subscription.endpoint.clone()),
        ("PendingConfirmation", pending.to_string()),
        ("SubscriptionPrincipal", subscription.principal.clone()),
    ]);
    if let Confirmation::Confirmed { authenticated } = subscription.confirmation {
        shown.insert("ConfirmationWasAuthenticated", authenticated.to_string());
    }
    for name in [
        "RawMessageDelivery",
        "FilterPolicy",
        "FilterPolicyScope",
        "RedrivePolicy",
        "DeliveryPolicy",
        "ReplayPolicy",
    ] {
        if let Some(value) = one(&subscription.settings, name) {
            shown.insert(name, value);
        }
    }
    shown
}
