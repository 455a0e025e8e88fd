//! Any resource as a typed specification, and how each but functions and layers is brought up.
//!
//! Functions and layers need a package first: `commands/run.rs` makes it.

use base::ApiError;
use frontdoor::Call;

use super::access_policy::{self, PolicySpec};
use super::deploy::Deployed;
use super::event_invoke::{self, EventInvokeSpec};
use super::mapping::{self, MappingSpec};
use super::permission::{self, PermissionSpec};
use super::queue::{self, QueueSpec};
use super::role::{self, RoleSpec};
use super::subscription::{self, SubscriptionSpec};
use super::topic::{self, TopicSpec};
use super::url::{self, UrlSpec};
use super::{FunctionSpec, LayerSpec};

/// A resource with its values.
#[derive(Debug)]
pub(crate) enum Spec {
    Function(Box<FunctionSpec>),
    Layer(Box<LayerSpec>),
    Plain(PlainSpec),
}

/// A resource that is brought up by calls alone.
#[derive(Debug)]
pub(crate) enum PlainSpec {
    Role(RoleSpec),
    Url(UrlSpec),
    Queue(QueueSpec),
    QueuePolicy(PolicySpec),
    Topic(TopicSpec),
    TopicPolicy(PolicySpec),
    Subscription(SubscriptionSpec),
    Mapping(Box<MappingSpec>),
    Permission(Box<PermissionSpec>),
    EventInvoke(EventInvokeSpec),
}

/// What came of a resource.
pub(crate) struct Brought {
    pub(crate) deployed: Deployed,
    /// What only the platform could tell: its `Ref` (`None`) and attributes.
    pub(crate) values: Vec<(Option<&'static str>, String)>,
}

impl PlainSpec {
    /// What a person calls it; `None` where nobody asked for it by itself.
    pub(crate) fn label(&self, logical_id: &str) -> Option<String> {
        Some(match self {
            PlainSpec::Role(_) => return None,
            PlainSpec::Url(spec) => format!("URL of {}", spec.function_name),
            PlainSpec::Queue(spec) => format!("queue {}", spec.name),
            PlainSpec::Topic(spec) => format!("topic {}", spec.name),
            PlainSpec::QueuePolicy(_) | PlainSpec::TopicPolicy(_) => format!("policy {logical_id}"),
            PlainSpec::Subscription(spec) => {
                format!("subscription of {} to {}", last(&spec.endpoint), last(&spec.topic_arn))
            }
            PlainSpec::Mapping(spec) => {
                format!("mapping of {} to {}", last(&spec.event_source_arn), function_of(&spec.function_name))
            }
            PlainSpec::Permission(_) => format!("permission {logical_id}"),
            PlainSpec::EventInvoke(_) => format!("asynchronous invocation {logical_id}"),
        })
    }

    /// Which function is fed by this, and from where.
    pub(crate) fn feeds(&self) -> Option<(&str, &str)> {
        match self {
            PlainSpec::Mapping(spec) => {
                Some((function_of(&spec.function_name), last(&spec.event_source_arn)))
            }
            PlainSpec::Subscription(spec) if spec.protocol == "lambda" => {
                Some((function_of(&spec.endpoint), last(&spec.topic_arn)))
            }
            _ => None,
        }
    }

    /// Brings it to what the template says.
    ///
    /// # Errors
    /// What its service says.
    pub(crate) async fn bring_up(&self, call: &Call) -> Result<Brought, ApiError> {
        let mut values = Vec::new();
        let deployed = match self {
            PlainSpec::Role(spec) => {
                role::deploy(call, spec).await?;
                Deployed::Unchanged
            }
            PlainSpec::Url(spec) => {
                let (deployed, url) = url::deploy(call, spec).await?;
                values.push((Some("FunctionUrl"), url));
                deployed
            }
            PlainSpec::Queue(spec) => {
                let (deployed, url) = queue::deploy(call, spec).await?;
                values.push((None, url));
                deployed
            }
            PlainSpec::Topic(spec) => topic::deploy(call, spec).await?,
            PlainSpec::QueuePolicy(spec) => access_policy::deploy_to_queues(call, spec).await?,
            PlainSpec::TopicPolicy(spec) => access_policy::deploy_to_topics(call, spec).await?,
            PlainSpec::Subscription(spec) => {
                let (deployed, arn) = subscription::deploy(call, spec).await?;
                values.push((None, arn));
                deployed
            }
            PlainSpec::Mapping(spec) => {
                let (deployed, mapping) = mapping::deploy(call, spec).await?;
                values.push((None, mapping.uuid));
                values.extend(mapping.arn.map(|arn| (Some("EventSourceMappingArn"), arn)));
                deployed
            }
            PlainSpec::Permission(spec) => permission::deploy(call, spec).await?,
            PlainSpec::EventInvoke(spec) => event_invoke::deploy(call, spec).await?,
        };
        Ok(Brought { deployed, values })
    }
}

/// The last part of an ARN, or the whole of another text.
fn last(text: &str) -> &str {
    text.strip_prefix("arn:").and_then(|arn| arn.rsplit(':').next()).unwrap_or(text)
}

/// The name in a function's ARN, or the whole of another text, without its version or alias.
fn function_of(text: &str) -> &str {
    let name = text.split_once(":function:").map_or(text, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}
