//! Publish without a topic: to a telephone, or to an app on a device.
//!
//! Neither is sent: each is a record that developers look at (`outside`).

use frontdoor::Call;

use super::publish::{MessagePublished, Said};
use crate::Sns;
use crate::errors::SnsError;

pub(crate) async fn to_phone(
    _sns: &Sns,
    _call: &Call,
    _number: String,
    _said: Said,
) -> Result<MessagePublished, SnsError> {
    Err(SnsError::invalid("PhoneNumber Reason: publishing to a telephone is not supported yet"))
}

pub(crate) async fn to_endpoint(
    _sns: &Sns,
    _call: &Call,
    _arn: String,
    _said: Said,
) -> Result<MessagePublished, SnsError> {
    Err(SnsError::invalid("TargetArn Reason: publishing to platform endpoints is not supported yet"))
}
