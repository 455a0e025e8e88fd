//! Whether a target would let a message in, as far as can be known before one is sent: for who is about to keep a target
//! and wants to refuse one that cannot work.
//!
//! It reads the target's policy in the name of its owner, and says what that policy means for the origin. What it cannot
//! find out it takes for good: a delivery says for sure.

use base::{ApiError, Principal};
use frontdoor::Call;
use policy::{Document, Request, resource_permits};
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, Kind};
use crate::origin::Origin;
use crate::{Delivery, DeliveryError};

/// How an origin stands with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known that speaks against it.
    Open,
    /// There is no such target.
    Missing,
    /// The target's policy does not let the origin in.
    Closed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: String,
    attribute_names: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetTopicAttributes {
    topic_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    attributes: Option<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    policy: Option<String>,
}

impl Delivery {
    /// How an origin stands with a queue or a topic; other targets are [`Standing::Open`].
    ///
    /// # Errors
    /// When the platform has no such service, or is going down.
    pub async fn standing(
        &self,
        destination: &Destination,
        origin: &Origin,
    ) -> Result<Standing, DeliveryError> {
        let call = self.call(destination, origin, None)?;
        let action = match destination.kind() {
            Kind::Queue => "sqs:SendMessage",
            Kind::Topic => "sns:Publish",
            Kind::Function | Kind::Bus | Kind::Bucket => return Ok(Standing::Open),
        };
        let text = match policy_of(&call, destination).await {
            Ok(text) => text,
            Err(error) if is_missing(&error) => return Ok(Standing::Missing),
            Err(_) => return Ok(Standing::Open),
        };
        let decision = match text.as_deref().map(Document::remembered) {
            Some(Ok(document)) => {
                let context = call.policy_context().with("aws:SourceOwner", origin.account().to_string());
                let arn = destination.to_string();
                document.decide(&Request::new(action, call.principal(), &arn).within(context))
            }
            Some(Err(_)) => return Ok(Standing::Open),
            None => policy::Decision::Silent,
        };
        let permitted = resource_permits(call.account(), call.principal(), decision);
        Ok(if permitted { Standing::Open } else { Standing::Closed })
    }
}

/// The policy of a queue or a topic, which its owner may read.
async fn policy_of(call: &Call, destination: &Destination) -> Result<Option<String>, ApiError> {
    let owner = Principal::Root { account: call.account() };
    let call = call.front_door().call(owner, call.account(), call.region().clone());
    let arn = destination.arn();
    let answer: Attributes = match destination.kind() {
        Kind::Queue => {
            let request = GetQueueAttributes {
                queue_url: format!("http://localhost/{}/{}", arn.account, arn.resource),
                attribute_names: ["Policy"],
            };
            call.service(Kind::Queue.model_id()).invoke("GetQueueAttributes", &request).await?
        }
        _ => {
            let request = GetTopicAttributes { topic_arn: destination.to_string() };
            call.service(Kind::Topic.model_id()).invoke("GetTopicAttributes", &request).await?
        }
    };
    Ok(answer.attributes.and_then(|attributes| attributes.policy).filter(|text| !text.is_empty()))
}

fn is_missing(error: &ApiError) -> bool {
    matches!(error.code.as_ref(), "QueueDoesNotExist" | "NotFoundException")
}
