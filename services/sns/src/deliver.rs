//! One delivery to a queue or a function, and what becomes of a message that cannot be delivered.
//!
//! It tries once. What is worth another try is kept by `outside` (standard topics) or stays in the log (`fifo`).
//! Forms: <https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Serialize;
use service_delivery::{
    Attribute, AttributeValue, DeliveryError, Destination, Message, NamedAttribute, Origin, Plain,
};
use store::{StoreError, value};

use crate::Sns;
use crate::address::SubscriptionAddress;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::message::{Kind, Protocol, Published, Value};
use crate::outside::envelope;
use crate::outside::{Failed, Signed, Target};
use crate::subscription::Subscription;

/// The most attributes of a message in a queue.
const MAX_QUEUE_ATTRIBUTES: usize = 10;

impl Sns {
    /// Delivers a message to a queue or a function, once.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub(crate) async fn deliver_once(&self, target: &Target, published: &Published) -> Result<(), Failed> {
        let signed = self.signed_for(target, published).await?;
        self.deliver_signed(target, published, signed.as_ref()).await
    }

    /// The same for a message that was signed for the target's protocol, if it goes in an envelope.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub(crate) async fn deliver_signed(
        &self,
        target: &Target,
        published: &Published,
        signed: Option<&Signed>,
    ) -> Result<(), Failed> {
        let destination = Destination::parse(&target.endpoint)
            .ok_or_else(|| Failed { may_pass: false, why: format!("{} is no target", target.endpoint) })?;
        let form = form(target, published, signed)?;
        self.hand_over(&destination, published, &form).await?;
        if published.kind == Kind::Notification {
            self.metrics.of(&published.topic_arn).delivered();
        }
        Ok(())
    }

    /// The signature that the target's envelope has; `None` where it has none.
    pub(crate) async fn signed_for(
        &self,
        target: &Target,
        published: &Published,
    ) -> Result<Option<Signed>, Failed> {
        if target.raw && published.kind == Kind::Notification {
            return Ok(None);
        }
        self.outside.signature(published, target.protocol).await.map_err(|error| Failed {
            may_pass: true,
            why: format!("the message could not be signed: {error}"),
        })
    }

    /// Hands a message that cannot be delivered to its subscription's dead-letter queue; without one it is dropped.
    ///
    /// # Errors
    /// When the queue cannot be reached.
    pub(crate) async fn dead_letter(
        &self,
        target: &Target,
        published: &Published,
        why: &str,
    ) -> Result<(), Failed> {
        let counters = self.metrics.of(&published.topic_arn);
        let queue = target.dead_letter.as_deref().and_then(Destination::parse);
        let Some(queue) = queue.filter(|_| published.kind == Kind::Notification) else {
            tracing::warn!(
                subscription = target.subscription_arn,
                message = published.message_id,
                why,
                "message dropped"
            );
            counters.failed(&target.subscription_arn, why);
            return Ok(());
        };
        let signed = self.signed_for(target, published).await?;
        // Without envelope there may be more attributes than a queue takes; that may be why it lies here.
        let mut form = match target.raw {
            true => raw(target, published),
            false => form(target, published, signed.as_ref())?,
        };
        let reasons = [
            ("RequestID", Attribute::text(published.message_id.clone())),
            ("ErrorCode", Attribute::number(400_u64)),
            ("ErrorMessage", Attribute::text(why)),
        ];
        for (name, reason) in reasons {
            let there = form.attributes.iter().any(|(known, _)| known == name);
            if form.attributes.len() < MAX_QUEUE_ATTRIBUTES && !there {
                form.attributes.push((Cow::Borrowed(name), reason));
            }
        }
        form.attributes.truncate(MAX_QUEUE_ATTRIBUTES);
        let outcome = self.hand_over(&queue, published, &form).await;
        match &outcome {
            Ok(()) => {
                counters.failed(&target.subscription_arn, why);
                counters.redriven();
            }
            Err(failed) if failed.may_pass => {}
            Err(failed) => {
                tracing::warn!(
                    subscription = target.subscription_arn,
                    message = published.message_id,
                    why,
                    dead_letter_queue = %queue,
                    refused = failed.why,
                    "message dropped"
                );
                counters.failed(&target.subscription_arn, why);
                counters.failed_to_redrive();
            }
        }
        match outcome {
            Err(failed) if !failed.may_pass => Ok(()),
            outcome => outcome,
        }
    }

    /// A delivery's subscription as it is now; `None` when it is gone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn target_now(&self, target: &Target) -> Result<Option<Target>, StoreError> {
        let Ok(address) = SubscriptionAddress::parse(&target.subscription_arn) else { return Ok(None) };
        let topic = match self.find(&address.topic) {
            Ok(topic) => topic,
            Err(SnsError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some(row) = self.store.get(&keys::subscription(topic.uid, &address.id))? else { return Ok(None) };
        let subscription: Subscription = value::decode(VERSION, &row).map_err(store::TxError::from)?;
        Ok(subscription.is_confirmed().then(|| subscription.target(&topic)))
    }

    async fn hand_over(
        &self,
        destination: &Destination,
        published: &Published,
        form: &Form,
    ) -> Result<(), Failed> {
        let origin = Origin::service(
            "sns.amazonaws.com",
            published.topic_arn.as_str(),
            published.account,
            published.region.clone(),
        );
        let to_fifo = destination.arn().resource.ends_with(".fifo");
        let trace: Option<Arc<str>> = published.trace_header.as_deref().map(Arc::from);
        let plain = Plain {
            body: &form.body,
            attributes: &form.attributes,
            group_id: published.group_id.as_deref(),
            dedup_id: published.deduplication_id.as_deref().filter(|_| to_fifo),
            trace_header: trace.as_ref(),
        };
        self.delivery.deliver(destination, &origin, &Message::Plain(plain)).await.map_err(Failed::from)
    }
}

/// The message as the subscription gets it.
fn form(target: &Target, published: &Published, signed: Option<&Signed>) -> Result<Form, Failed> {
    if target.raw && published.kind == Kind::Notification {
        if published.attributes.len() > MAX_QUEUE_ATTRIBUTES {
            let count = published.attributes.len();
            let why = format!(
                "raw delivery takes at most {MAX_QUEUE_ATTRIBUTES} attributes, and there are {count}"
            );
            return Err(Failed { may_pass: false, why });
        }
        return Ok(raw(target, published));
    }
    let body = match target.protocol {
        Protocol::Lambda => function_event(target, published, signed),
        protocol => Bytes::from(envelope::json(published, protocol, &target.subscription_arn, signed)),
    };
    Ok(Form { body, attributes: Vec::new() })
}

impl From<DeliveryError> for Failed {
    fn from(error: DeliveryError) -> Self {
        Failed { may_pass: error.may_pass(), why: error.to_string() }
    }
}

/// A message on the wire.
#[derive(Default)]
struct Form {
    body: Bytes,
    attributes: Vec<NamedAttribute>,
}

/// Without envelope: the message's attributes are the queue message's.
fn raw(target: &Target, published: &Published) -> Form {
    let attributes = published.attributes.iter().map(|(name, attribute)| {
        let value = match &attribute.value {
            Value::Text(text) => AttributeValue::Text(text.clone()),
            Value::Binary(bytes) => AttributeValue::Binary(Bytes::copy_from_slice(bytes)),
        };
        let data_type = Cow::Owned(attribute.data_type.clone());
        (Cow::Owned(name.clone()), Attribute { data_type, value })
    });
    let body = Bytes::copy_from_slice(published.text_for(target.protocol).as_bytes());
    Form { body, attributes: attributes.collect() }
}

/// What a function gets: a list of one record.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionEvent<'a> {
    records: [Record<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    event_source: &'static str,
    event_version: &'static str,
    event_subscription_arn: &'a str,
    sns: Notification<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Notification<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    subject: Option<&'a str>,
    message: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_cert_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<String>,
    message_attributes: BTreeMap<&'a str, EventAttribute<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventAttribute<'a> {
    #[serde(rename = "Type")]
    data_type: &'a str,
    value: Cow<'a, str>,
}

fn function_event(target: &Target, published: &Published, signed: Option<&Signed>) -> Bytes {
    let subscribe_url = envelope::subscribe_url(published);
    let unsubscribe_url =
        subscribe_url.is_none().then(|| envelope::unsubscribe_url(published, &target.subscription_arn));
    let attributes = published.attributes.iter().map(|(name, attribute)| {
        let value = match &attribute.value {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            Value::Binary(bytes) => Cow::Owned(BASE64.encode(bytes)),
        };
        (name.as_str(), EventAttribute { data_type: &attribute.data_type, value })
    });
    let event = FunctionEvent {
        records: [Record {
            event_source: "aws:sns",
            event_version: "1.0",
            event_subscription_arn: &target.subscription_arn,
            sns: Notification {
                kind: published.kind.as_str(),
                message_id: &published.message_id,
                token: published.kind.token(),
                topic_arn: &published.topic_arn,
                subject: published.subject.as_deref(),
                message: published.text_for(Protocol::Lambda),
                timestamp: published.at.iso8601(),
                signature_version: signed.map(|signed| signed.version.as_str()),
                signature: signed.map(|signed| signed.signature.as_str()),
                signing_cert_url: signed.map(|signed| signed.cert_url.as_str()),
                subscribe_url,
                unsubscribe_url,
                message_attributes: attributes.collect(),
            },
        }],
    };
    // Texts and maps of texts always can be written.
    Bytes::from(serde_json::to_vec(&event).unwrap_or_default())
}
