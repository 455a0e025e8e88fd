//! The messages that ask a new subscriber, and that say good-bye to one.

use base::{AccountId, Region, Timestamp};

use crate::message::{Kind, Published, SignatureVersion, Text};

/// Which topic asks, and where its links lead.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) topic_arn: String,
    pub(crate) signature_version: SignatureVersion,
    pub(crate) base_url: String,
    pub(crate) at: Timestamp,
}

/// Asks a subscriber to confirm. Whoever visits the link in it with this token does.
pub(crate) fn confirmation(about: About, token: String) -> Published {
    let text = format!(
        "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the SubscribeURL \
         included in this message.",
        about.topic_arn
    );
    message(about, text, Kind::SubscriptionConfirmation { token })
}

/// Tells a subscriber that it is none any more. Whoever visits the link in it with this token subscribes it again.
pub(crate) fn farewell(about: About, subscription_arn: &str, token: String) -> Published {
    let text = format!(
        "You have chosen to deactivate subscription {subscription_arn}.\nTo cancel this operation and restore the \
         subscription, visit the SubscribeURL included in this message."
    );
    message(about, text, Kind::UnsubscribeConfirmation { token })
}

fn message(about: About, text: String, kind: Kind) -> Published {
    let About { account, region, topic_arn, signature_version, base_url, at } = about;
    Published {
        message_id: uuid::Uuid::new_v4().to_string(),
        account,
        region,
        topic_arn,
        kind,
        subject: None,
        text: Text { default: text, ..Text::default() },
        attributes: Vec::new(),
        at,
        signature_version,
        base_url,
        sequence_number: None,
        group_id: None,
        deduplication_id: None,
        trace_header: None,
        replayed: false,
    }
}
