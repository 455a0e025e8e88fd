//! The ARNs of topics and subscriptions, as requests name them.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>.

use base::Arn;
use serde::{Deserialize, Serialize};

use crate::errors::SnsError;
use crate::keys::Scope;

/// Which topic a request means.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TopicAddress {
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

/// Which subscription a request means: its topic, and its own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionAddress {
    pub(crate) topic: TopicAddress,
    pub(crate) id: String,
}

impl TopicAddress {
    /// Reads an ARN that the request calls `parameter`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn parse(parameter: &str, text: &str) -> Result<Self, SnsError> {
        let arn = read(parameter, text)?;
        if arn.resource.contains([':', '/']) {
            return Err(SnsError::invalid(parameter));
        }
        address(&arn, &arn.resource).ok_or_else(|| SnsError::invalid(parameter))
    }
}

impl SubscriptionAddress {
    /// Reads `SubscriptionArn`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn parse(text: &str) -> Result<Self, SnsError> {
        let arn = read("SubscriptionArn", text)?;
        let (name, id) = arn.resource.rsplit_once(':').ok_or_else(|| SnsError::invalid("SubscriptionId"))?;
        let topic = address(&arn, name).ok_or_else(|| SnsError::invalid("SubscriptionArn"))?;
        Ok(SubscriptionAddress { topic, id: id.to_owned() })
    }
}

fn read(parameter: &str, text: &str) -> Result<Arn, SnsError> {
    let elements = text.split(':').count();
    if elements < 6 {
        return Err(SnsError::invalid(format!(
            "{parameter} Reason: An ARN must have at least 6 elements, not {elements}"
        )));
    }
    let arn: Arn = text.parse().map_err(|_| SnsError::invalid(parameter))?;
    if arn.service == "sns" { Ok(arn) } else { Err(SnsError::invalid(parameter)) }
}

fn address(arn: &Arn, name: &str) -> Option<TopicAddress> {
    let scope = Scope { account: arn.account.parse().ok()?, region: arn.region.parse().ok()? };
    Some(TopicAddress { scope, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_and_a_subscription_are_told_apart() {
        let topic = "arn:aws:sns:us-east-1:000000000000:orders.fifo";
        let parsed = TopicAddress::parse("TopicArn", topic).unwrap();
        assert_eq!(parsed.name, "orders.fifo");
        let subscription = SubscriptionAddress::parse(&format!("{topic}:id-1")).unwrap();
        assert_eq!((subscription.topic, subscription.id.as_str()), (parsed, "id-1"));
        assert!(TopicAddress::parse("TopicArn", &format!("{topic}:id-1")).is_err());
        let error = SubscriptionAddress::parse(topic).unwrap_err();
        assert_eq!(error.to_string(), "Invalid parameter: SubscriptionId");
        let error = TopicAddress::parse("TopicArn", "randomstring").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1"
        );
    }
}
