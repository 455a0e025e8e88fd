//! What e-mails, text messages and push notifications would look like, and who would not get them.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html>.

use base::{AccountId, Region};
use store::StoreError;

use super::apps::EndpointName;
use super::outbox::{OutboxEntry, OutboxKind, OutboxQuery, OutboxRecord};
use super::{Failed, Outside, Target, envelope, phones};
use crate::Sns;
use crate::errors::SnsError;
use crate::keys::Scope;
use crate::message::{Kind, Protocol, Published, Value};

/// An e-mail with this text.
pub(super) fn email(target: &Target, published: &Published, text: String) -> OutboxRecord {
    let subject = match (&published.subject, published.kind.token()) {
        (_, Some(_)) => match published.kind {
            Kind::UnsubscribeConfirmation { .. } => "AWS Notification - Unsubscribe Confirmation",
            _ => "AWS Notification - Subscription Confirmation",
        },
        (Some(subject), None) => subject,
        (None, None) => "AWS Notification Message",
    };
    let kind = match target.protocol {
        Protocol::EmailJson => OutboxKind::EmailJson,
        _ => OutboxKind::Email,
    };
    let link = envelope::subscribe_url(published)
        .unwrap_or_else(|| envelope::unsubscribe_url(published, &target.subscription_arn));
    OutboxRecord {
        subject: Some(subject.to_owned()),
        link: Some(link),
        ..record(kind, &target.endpoint, published, text)
    }
}

/// The text of an e-mail for people.
pub(super) fn letter(target: &Target, published: &Published) -> String {
    let message = envelope::message(published, target.protocol);
    match published.kind {
        Kind::Notification => format!(
            "{message}\n\n--\nIf you wish to stop receiving notifications from this topic, please visit the link \
             below to unsubscribe:\n{}\n",
            envelope::unsubscribe_url(published, &target.subscription_arn)
        ),
        _ => format!("{message}\n\n{}\n", envelope::subscribe_url(published).unwrap_or_default()),
    }
}

/// A text message to a subscriber.
pub(super) fn sms(outside: &Outside, target: &Target, published: &Published) -> Result<OutboxRecord, Failed> {
    let scope = Scope { account: target.owner, region: published.region.clone() };
    let record = text_message(outside, &scope, &target.endpoint, published);
    match record.map_err(|error| Failed { may_pass: true, why: error.to_string() })? {
        Some(record) => Ok(record),
        None => Err(Failed { may_pass: false, why: "the phone number is opted out".to_owned() }),
    }
}

/// A text message to a number; `None`: its owner wants none.
fn text_message(
    outside: &Outside,
    scope: &Scope,
    number: &str,
    published: &Published,
) -> Result<Option<OutboxRecord>, SnsError> {
    if phones::opted_out(&outside.store, scope, number)?.is_out {
        return Ok(None);
    }
    let settings = phones::settings(&outside.store, scope)?;
    let attribute = |name: &str| {
        published.attributes.iter().find(|(known, _)| known == name).and_then(|(_, attribute)| {
            match &attribute.value {
                Value::Text(text) => Some(text.clone()),
                Value::Binary(_) => None,
            }
        })
    };
    let setting = |name: &str| settings.get(name).cloned();
    let channel = attribute("AWS.SNS.SMS.SMSType").or_else(|| setting("DefaultSMSType"));
    let text = published.text_for(Protocol::Sms).to_owned();
    Ok(Some(OutboxRecord {
        subject: attribute("AWS.SNS.SMS.SenderID").or_else(|| setting("DefaultSenderID")),
        channel: Some(channel.unwrap_or_else(|| "Promotional".to_owned())),
        ..record(OutboxKind::Sms, number, published, text)
    }))
}

/// A push notification to a subscriber.
pub(super) fn push(
    outside: &Outside,
    target: &Target,
    published: &Published,
) -> Result<OutboxRecord, Failed> {
    let checked = push_record(outside, &target.endpoint, published);
    checked.map_err(|error| Failed { may_pass: matches!(error, SnsError::Store(_)), why: error.to_string() })
}

fn push_record(outside: &Outside, arn: &str, published: &Published) -> Result<OutboxRecord, SnsError> {
    let name = EndpointName::parse("TargetArn", arn)?;
    let Some(endpoint) = name.find(&outside.store)? else {
        return Err(SnsError::InvalidParameter(
            "TargetArn Reason: No endpoint found for the target arn specified".to_owned(),
        ));
    };
    let application = name.app.find(&outside.store)?;
    if application.is_none_or(|application| !application.is_enabled) {
        return Err(SnsError::Other {
            code: "PlatformApplicationDisabledException",
            message: "Platform application is disabled".to_owned(),
        });
    }
    if !endpoint.is_enabled {
        return Err(SnsError::Other {
            code: "EndpointDisabledException",
            message: "Endpoint is disabled".to_owned(),
        });
    }
    let platform = &name.app.platform;
    let text = published.text.by_protocol.get(platform).unwrap_or(&published.text.default).clone();
    Ok(OutboxRecord { channel: Some(platform.clone()), ..record(OutboxKind::Push, arn, published, text) })
}

fn record(kind: OutboxKind, to: &str, published: &Published, text: String) -> OutboxRecord {
    OutboxRecord {
        kind,
        to: to.to_owned(),
        at: published.at.iso8601(),
        region: published.region.as_str().to_owned(),
        topic_arn: Some(published.topic_arn.clone()).filter(|arn| !arn.is_empty()),
        message_id: published.message_id.clone(),
        subject: None,
        text,
        channel: None,
        link: None,
    }
}

impl Outside {
    /// Publishes to a telephone number: durable in the outbox when this returns. `published.topic_arn` is empty.
    ///
    /// # Errors
    /// When the number is none, or the store fails.
    pub(crate) async fn publish_sms(&self, number: &str, published: &Published) -> Result<(), SnsError> {
        if !phones::is_number(number) {
            return Err(SnsError::InvalidParameter(format!(
                "PhoneNumber Reason: {number} is not valid to publish to"
            )));
        }
        let scope = Scope { account: published.account, region: published.region.clone() };
        // As with AWS, a publisher does not learn that a number wants nothing.
        match text_message(self, &scope, number, published)? {
            Some(record) => self.keep(published, record).await,
            None => Ok(()),
        }
    }

    /// Publishes to an app's endpoint: durable in the outbox when this returns. `published.topic_arn` is empty.
    ///
    /// # Errors
    /// When the endpoint is not there or disabled, or the store fails.
    pub(crate) async fn publish_push(&self, target_arn: &str, published: &Published) -> Result<(), SnsError> {
        let record = push_record(self, target_arn, published)?;
        self.keep(published, record).await
    }

    async fn keep(&self, published: &Published, record: OutboxRecord) -> Result<(), SnsError> {
        let account = published.account;
        self.store.transact(move |tx| super::outbox::record(tx, account, record.clone())).await?;
        Ok(())
    }
}

/// What the command line and tests look at and do.
impl Sns {
    /// The newest records of an account's outbox that are wanted, the oldest of them first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn outbox(&self, query: &OutboxQuery) -> Result<Vec<OutboxEntry>, StoreError> {
        super::outbox::read(&self.store, query)
    }

    /// The owner of a telephone answers a text message with STOP: messages to the number end.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; `Ok(false)`: that is no telephone number.
    pub async fn answer_stop(
        &self,
        account: AccountId,
        region: Region,
        number: String,
    ) -> Result<bool, StoreError> {
        if !phones::is_number(&number) {
            return Ok(false);
        }
        let scope = Scope { account, region };
        self.store.transact(move |tx| phones::opt_out(tx, &scope, &number)).await?;
        Ok(true)
    }
}
