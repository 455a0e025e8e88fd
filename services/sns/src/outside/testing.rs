//! A message for the unit tests of this folder.

use base::{AccountId, Region, Timestamp};

use crate::message::{Kind, Published, SignatureVersion, Text};

pub(super) fn published(text: &str) -> Published {
    Published {
        message_id: "m-1".to_owned(),
        account: AccountId::DEFAULT,
        region: Region::default(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:t".to_owned(),
        kind: Kind::Notification,
        subject: None,
        text: Text { default: text.to_owned(), by_protocol: Default::default() },
        attributes: Vec::new(),
        at: Timestamp(1_795_420_000_123),
        signature_version: SignatureVersion::V1,
        base_url: "http://localhost:4566".to_owned(),
        sequence_number: None,
        group_id: None,
        deduplication_id: None,
        trace_header: None,
        replayed: false,
    }
}
