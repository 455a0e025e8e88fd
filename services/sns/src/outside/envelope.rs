//! The JSON that a message travels in, unless its delivery is raw: the same for web servers, queues and mailboxes.
//!
//! Member order and layout are AWS's: some checkers and many logs compare it as text.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html>.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signature::Signed;
use crate::message::{Kind, Protocol, Published, Value};

/// The message as JSON for a subscription.
pub(crate) fn json(
    published: &Published,
    protocol: Protocol,
    subscription_arn: &str,
    signed: Option<&Signed>,
) -> String {
    let mut object = Object::default();
    object.text("Type", published.kind.as_str());
    object.text("MessageId", &published.message_id);
    if let Some(number) = &published.sequence_number {
        object.text("SequenceNumber", number);
    }
    if published.replayed {
        object.text("Replayed", "true");
    }
    if let Some(token) = published.kind.token() {
        object.text("Token", token);
    }
    object.text("TopicArn", &published.topic_arn);
    if let Some(subject) = &published.subject {
        object.text("Subject", subject);
    }
    object.text("Message", &message(published, protocol));
    let link = subscribe_url(published);
    if let Some(link) = &link {
        object.text("SubscribeURL", link);
    }
    object.text("Timestamp", &published.at.iso8601());
    if let Some(signed) = signed {
        object.text("SignatureVersion", signed.version.as_str());
        object.text("Signature", &signed.signature);
        object.text("SigningCertURL", &signed.cert_url);
    }
    if link.is_none() {
        object.text("UnsubscribeURL", &unsubscribe_url(published, subscription_arn));
        if !published.attributes.is_empty() {
            object.raw("MessageAttributes", &attributes(published));
        }
    }
    object.finish()
}

/// What a message says to a subscriber: a confirmation's words are ours, as AWS's are its own.
pub(crate) fn message(published: &Published, protocol: Protocol) -> Cow<'_, str> {
    match &published.kind {
        Kind::Notification => Cow::Borrowed(published.text_for(protocol)),
        // Confirmations bring theirs along.
        Kind::SubscriptionConfirmation { .. } | Kind::UnsubscribeConfirmation { .. } => {
            Cow::Borrowed(&published.text.default)
        }
    }
}

/// The link that confirms a subscription by being visited; `None` for what is no confirmation.
pub(crate) fn subscribe_url(published: &Published) -> Option<String> {
    let token = published.kind.token()?;
    let Published { base_url, topic_arn, .. } = published;
    Some(format!("{base_url}/?Action=ConfirmSubscription&TopicArn={topic_arn}&Token={token}"))
}

/// The link that ends a subscription by being visited.
pub(crate) fn unsubscribe_url(published: &Published, subscription_arn: &str) -> String {
    format!("{}/?Action=Unsubscribe&SubscriptionArn={subscription_arn}", published.base_url)
}

fn attributes(published: &Published) -> String {
    let mut all = String::from("{");
    for (number, (name, attribute)) in published.attributes.iter().enumerate() {
        let value = match &attribute.value {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            Value::Binary(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        };
        let separator = if number == 0 { "\n" } else { ",\n" };
        let (name, data_type, value) = (quoted(name), quoted(&attribute.data_type), quoted(&value));
        all.push_str(&format!("{separator}    {name} : {{\"Type\":{data_type},\"Value\":{value}}}"));
    }
    all.push_str("\n  }");
    all
}

fn quoted(text: &str) -> String {
    // Text always can be written.
    serde_json::to_string(text).unwrap_or_default()
}

#[derive(Default)]
struct Object(String);

impl Object {
    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quoted(value));
    }

    fn raw(&mut self, name: &str, value: &str) {
        self.0.push_str(if self.0.is_empty() { "{\n  " } else { ",\n  " });
        self.0.push_str(&format!("\"{name}\" : {value}"));
    }

    fn finish(mut self) -> String {
        self.0.push_str("\n}");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Attribute;
    use crate::outside::testing::published;

    #[test]
    fn a_notification_reads_as_with_aws() {
        let mut message = published("say \"hi\"");
        message.subject = Some("greeting".to_owned());
        message.attributes = vec![
            ("b".to_owned(), Attribute { data_type: "Binary".to_owned(), value: Value::Binary(vec![1, 2]) }),
            (
                "s".to_owned(),
                Attribute { data_type: "String".to_owned(), value: Value::Text("x".to_owned()) },
            ),
        ];
        let signed = Signed {
            signature: "c2ln".to_owned(),
            version: crate::message::SignatureVersion::V1,
            cert_url: "http://localhost:4566/SimpleNotificationService-00.pem".to_owned(),
        };
        let expected = r#"{
  "Type" : "Notification",
  "MessageId" : "m-1",
  "TopicArn" : "arn:aws:sns:us-east-1:000000000000:t",
  "Subject" : "greeting",
  "Message" : "say \"hi\"",
  "Timestamp" : "2026-11-23T07:46:40.123Z",
  "SignatureVersion" : "1",
  "Signature" : "c2ln",
  "SigningCertURL" : "http://localhost:4566/SimpleNotificationService-00.pem",
  "UnsubscribeURL" : "http://localhost:4566/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:000000000000:t:s-1",
  "MessageAttributes" : {
    "b" : {"Type":"Binary","Value":"AQI="},
    "s" : {"Type":"String","Value":"x"}
  }
}"#;
        let arn = "arn:aws:sns:us-east-1:000000000000:t:s-1";
        assert_eq!(json(&message, Protocol::Http, arn, Some(&signed)), expected);
    }

    #[test]
    fn a_confirmation_has_a_link_instead() {
        let mut message = published("You have chosen");
        message.kind = Kind::SubscriptionConfirmation { token: "abc".to_owned() };
        let text = json(&message, Protocol::Http, "arn", None);
        assert!(text.contains("\"Token\" : \"abc\",\n  \"TopicArn\""), "{text}");
        assert!(text.contains(
            "\"SubscribeURL\" : \"http://localhost:4566/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:000000000000:t&Token=abc\""
        ));
        assert!(!text.contains("UnsubscribeURL"));
    }
}
