//! Publish without a topic: to a telephone, or to an app on a device.
//!
//! Neither is sent: each is a record that developers look at (`outside`).

use frontdoor::Call;

use super::publish::{MessagePublished, Said, attributes, check_text, size, text};
use crate::Sns;
use crate::errors::SnsError;
use crate::message::{Kind, Protocol, Published, SignatureVersion};
use crate::topic::DEFAULT_MESSAGE_BYTES;

/// The longest text of one publish to a telephone, in characters: it may be sent as several messages.
const MAX_SMS_CHARS: usize = 1600;

pub(crate) async fn to_phone(
    sns: &Sns,
    call: &Call,
    number: String,
    said: Said,
) -> Result<MessagePublished, SnsError> {
    let published = published(sns, call, said, true)?;
    if published.text_for(Protocol::Sms).chars().count() > MAX_SMS_CHARS {
        return Err(SnsError::invalid("Message too long"));
    }
    sns.outside.publish_sms(&number, &published).await?;
    Ok(MessagePublished::new(published.message_id))
}

pub(crate) async fn to_endpoint(
    sns: &Sns,
    call: &Call,
    arn: String,
    said: Said,
) -> Result<MessagePublished, SnsError> {
    let published = published(sns, call, said, false)?;
    sns.outside.publish_push(&arn, &published).await?;
    Ok(MessagePublished::new(published.message_id))
}

fn published(sns: &Sns, call: &Call, said: Said, needs_default: bool) -> Result<Published, SnsError> {
    check_text(&said)?;
    if said.message_deduplication_id.is_some() || said.message_group_id.is_some() {
        let name =
            if said.message_deduplication_id.is_some() { "MessageDeduplicationId" } else { "MessageGroupId" };
        return Err(SnsError::invalid(format!(
            "{name} Reason: The request includes {name} parameter that is not valid for this topic type"
        )));
    }
    if size(&said) > DEFAULT_MESSAGE_BYTES as usize {
        return Err(SnsError::invalid("Message too long"));
    }
    Ok(Published {
        message_id: uuid::Uuid::new_v4().to_string(),
        account: call.account(),
        region: call.region().clone(),
        topic_arn: String::new(),
        kind: Kind::Notification,
        subject: said.subject,
        attributes: attributes(said.message_attributes)?,
        text: text(said.message, said.message_structure.as_deref(), needs_default)?,
        at: sns.clock.now(),
        signature_version: SignatureVersion::default(),
        base_url: sns.base_url(call),
        sequence_number: None,
        group_id: None,
        deduplication_id: None,
        trace_header: call.trace_header().map(ToString::to_string),
        replayed: false,
    })
}
