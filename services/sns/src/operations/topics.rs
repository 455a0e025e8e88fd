//! CreateTopic, DeleteTopic, GetTopicAttributes, SetTopicAttributes, ListTopics.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{Tx, value};

use super::page::{self, PAGE};
use super::protection;
use super::tags::{self, Tag};
use crate::Sns;
use crate::access;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::message::Protocol;
use crate::outside::policy::TopicPolicy;
use crate::subscription::{MAX_OF_LARGE_TOPIC, Subscription};
use crate::topic::{Counts, DEFAULT_MESSAGE_BYTES, Topic};
use crate::topic_attributes;
use crate::topics::{InTx, NewTopic};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateTopic {
    name: String,
    attributes: Option<BTreeMap<String, String>>,
    tags: Option<Vec<Tag>>,
    data_protection_policy: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicCreated {
    topic_arn: String,
}

pub(crate) async fn create_topic(
    sns: Arc<Sns>,
    call: Call,
    request: CreateTopic,
) -> Result<TopicCreated, SnsError> {
    let data_protection_policy =
        request.data_protection_policy.as_deref().map(protection::checked).transpose()?.flatten();
    let new = NewTopic {
        scope: Scope { account: call.account(), region: call.region().clone() },
        name: request.name,
        attributes: request.attributes.unwrap_or_default(),
        tags: tags::checked(request.tags.unwrap_or_default())?,
        data_protection_policy,
    };
    Ok(TopicCreated { topic_arn: sns.create_topic(new).await? })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicRequest {
    topic_arn: String,
}

pub(crate) async fn delete_topic(sns: Arc<Sns>, call: Call, request: TopicRequest) -> Result<(), SnsError> {
    let address = TopicAddress::parse("TopicArn", &request.topic_arn)?;
    if address.scope.region != *call.region() {
        return Err(SnsError::invalid("TopicArn"));
    }
    match sns.find(&address) {
        Ok(topic) => access::permit(&call, &topic, "SNS:DeleteTopic")?,
        Err(SnsError::NoTopic) => return Ok(()),
        Err(error) => return Err(error),
    }
    sns.delete_topic(&address).await?;
    sns.metrics.forget(&request.topic_arn);
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    pub(crate) attributes: BTreeMap<&'static str, String>,
}

pub(crate) async fn get_topic_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: TopicRequest,
) -> Result<Attributes, SnsError> {
    let (_, topic) = sns.topic_for(&call, "TopicArn", &request.topic_arn, "SNS:GetTopicAttributes")?;
    let counts: Counts = match sns.store.get(&keys::counts(topic.uid))? {
        Some(row) => value::decode(VERSION, &row)?,
        None => Counts::default(),
    };
    let policy = topic.settings.delivery_policy.as_deref();
    let policy = policy.and_then(|text| TopicPolicy::parse(text).ok()).unwrap_or_default();
    let mut attributes = topic_attributes::shown(&topic, counts, policy.effective_json());
    topic_attributes::show_archive(&mut attributes, &topic, sns.clock.now());
    Ok(Attributes { attributes })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetTopicAttributes {
    topic_arn: String,
    attribute_name: String,
    attribute_value: Option<String>,
}

pub(crate) async fn set_topic_attributes(
    sns: Arc<Sns>,
    call: Call,
    request: SetTopicAttributes,
) -> Result<(), SnsError> {
    let SetTopicAttributes { topic_arn, attribute_name, attribute_value } = request;
    let (address, _) = sns.topic_for(&call, "TopicArn", &topic_arn, "SNS:SetTopicAttributes")?;
    let (value, now) = (attribute_value.unwrap_or_default(), sns.clock.now());
    sns.change_topic(&address, move |tx, topic| {
        let set = topic_attributes::set(&mut topic.settings, &topic_arn, &attribute_name, &value, now);
        if let Err(refusal) = set {
            return Ok(Err(refusal.on_set()));
        }
        if attribute_name == "MaximumMessageSize" { may_be_large(tx, topic) } else { Ok(Ok(())) }
    })
    .await
}

/// A topic for large messages has few subscriptions, and only of some kinds.
fn may_be_large(tx: &dyn Tx, topic: &Topic) -> InTx<()> {
    if topic.maximum_message_bytes() <= DEFAULT_MESSAGE_BYTES {
        return Ok(Ok(()));
    }
    let most = usize::try_from(MAX_OF_LARGE_TOPIC).unwrap_or(usize::MAX);
    let rows = tx.range(keys::subscriptions(topic.uid, None).limit(most + 1))?;
    if rows.len() > most {
        return Ok(Err(SnsError::invalid(
            "MaximumMessageSize Reason: a topic with more than 100 subscriptions takes at most 262144 bytes",
        )));
    }
    for (_, row) in rows {
        let subscription: Subscription = value::decode(VERSION, &row)?;
        if !matches!(subscription.protocol, Protocol::Sqs | Protocol::Lambda | Protocol::Firehose) {
            return Ok(Err(SnsError::invalid(format!(
                "MaximumMessageSize Reason: the topic has a subscription of protocol {}",
                subscription.protocol
            ))));
        }
    }
    Ok(Ok(()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTopics {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Topics {
    topics: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    topic_arn: String,
}

pub(crate) async fn list_topics(sns: Arc<Sns>, call: Call, request: ListTopics) -> Result<Topics, SnsError> {
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let after = page::read(request.next_token.as_deref())?;
    let mut rows = sns.store.range(keys::topics(&scope, after.as_deref()).limit(PAGE + 1))?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let mut topics = Vec::with_capacity(rows.len());
    let mut last = None;
    for (_, row) in rows {
        let topic: Topic = value::decode(VERSION, &row)?;
        topics.push(Listed { topic_arn: topic.arn() });
        last = Some(topic.name);
    }
    Ok(Topics { topics, next_token: last.filter(|_| more).map(|name| page::token(&name)) })
}
