//! A resource: one node of the graph that is brought up, and what others can ask of it.
//!
//! What a resource's properties mean is its own room's business (`queue.rs`, `topic.rs`, ...). Values that depend on the
//! platform's answer (a queue's URL, a mapping's id) are not known while a template is checked: then something plausible
//! stands for them, as they are resolved again when the resource they belong to is there.
//!
//! Return values: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-template-resource-type-ref.html>.

use std::collections::BTreeMap;

use base::Arn;

use super::intrinsics::Scope;
use super::node::Node;

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Role,
    Function,
    Layer,
    Url,
    Queue,
    QueuePolicy,
    Topic,
    TopicPolicy,
    Subscription,
    Mapping,
    Permission,
    EventInvoke,
}

impl Kind {
    /// The kind of a resource type that is brought up as it stands. `AWS::Serverless::Function` is not: it is expanded.
    pub(crate) fn of_type(name: &str) -> Option<Kind> {
        Some(match name {
            "AWS::Serverless::LayerVersion" => Kind::Layer,
            "AWS::SQS::Queue" => Kind::Queue,
            "AWS::SQS::QueuePolicy" => Kind::QueuePolicy,
            "AWS::SNS::Topic" => Kind::Topic,
            "AWS::SNS::TopicPolicy" => Kind::TopicPolicy,
            "AWS::SNS::Subscription" => Kind::Subscription,
            "AWS::Lambda::EventSourceMapping" => Kind::Mapping,
            "AWS::Lambda::Permission" => Kind::Permission,
            "AWS::Lambda::EventInvokeConfig" => Kind::EventInvoke,
            _ => return None,
        })
    }

    /// The property that names the resource, and the longest name there may be.
    fn naming(self) -> (Option<&'static str>, usize) {
        match self {
            Kind::Function => (Some("FunctionName"), 64),
            Kind::Role => (None, 64),
            Kind::Queue => (Some("QueueName"), 80),
            Kind::Topic => (Some("TopicName"), 256),
            _ => (None, 100),
        }
    }

    /// The property that says that a queue or topic is FIFO: its name ends with `.fifo` then.
    fn fifo(self) -> Option<&'static str> {
        match self {
            Kind::Queue => Some("FifoQueue"),
            Kind::Topic => Some("FifoTopic"),
            _ => None,
        }
    }
}

/// The types that a template may have, for the one that names another.
pub(crate) const SUPPORTED_TYPES: &str = "AWS::Serverless::Function, AWS::Serverless::LayerVersion, AWS::SQS::Queue, \
     AWS::SQS::QueuePolicy, AWS::SNS::Topic, AWS::SNS::TopicPolicy, AWS::SNS::Subscription, \
     AWS::Lambda::EventSourceMapping, AWS::Lambda::Permission, AWS::Lambda::EventInvokeConfig";

/// A resource of a template, or one that was made from another. Its properties still hold intrinsic functions.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) logical_id: String,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) properties: Node,
    /// `DependsOn`, with its line.
    pub(crate) depends_on: Vec<(String, usize)>,
    pub(crate) metadata: Option<Node>,
}

impl Resource {
    /// One that stands for a part of another.
    pub(crate) fn made(logical_id: String, kind: Kind, properties: Node) -> Self {
        let line = properties.line;
        Resource { logical_id, kind, line, properties, depends_on: Vec::new(), metadata: None }
    }
}

/// A resource as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// Its name in its service.
    pub(crate) name: String,
}

/// What the platform answered when resources were brought up: their `Ref` (`None`) and attributes.
pub(crate) type Known = BTreeMap<(String, Option<&'static str>), String>;

/// A resource's own name in its service: the template's, or one that is made up and stays the same from run to run.
pub(crate) fn physical_name(resource: &Resource, scope: &Scope) -> Result<String, super::SamError> {
    let (property, longest) = resource.kind.naming();
    if let Some(property) = property
        && let Some(node) = resource.properties.get(property)
    {
        return Ok(scope.resolve(node)?.text(property)?.to_owned());
    }
    let (stack, logical_id) = (&scope.stack, &resource.logical_id);
    if matches!(resource.kind, Kind::Function | Kind::Role) {
        let mut name = format!("{stack}-{logical_id}");
        name.truncate(longest);
        return Ok(name);
    }
    let is_fifo = match resource.kind.fifo().and_then(|property| resource.properties.get(property)) {
        Some(node) => scope.resolve(node)?.truth("whether it is FIFO")?,
        None => false,
    };
    let ending = if is_fifo { ".fifo" } else { "" };
    Ok(generated(stack, logical_id, ending, longest))
}

/// `StackName-LogicalId-SUFFIX`, as CloudFormation names things; the suffix goes by the other two.
fn generated(stack: &str, logical_id: &str, ending: &str, longest: usize) -> String {
    use sha2::{Digest, Sha256};
    const SYMBOLS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(format!("{stack}/{logical_id}"));
    let suffix: String =
        digest.iter().take(12).map(|byte| char::from(SYMBOLS[usize::from(byte % 32)])).collect();
    let room = longest - suffix.len() - ending.len() - 2;
    let logical_id: String = logical_id.chars().take(room.saturating_sub(stack.len()).max(8)).collect();
    format!("{stack}-{logical_id}-{suffix}{ending}")
}

impl Scope {
    /// What `Ref` (`None`) or `Fn::GetAtt` of a resource gives; `None`: it has no such attribute.
    pub(crate) fn value(&self, logical_id: &str, attribute: Option<&str>) -> Option<String> {
        let Target { kind, name } = self.targets.get(logical_id)?;
        let arn = |service: &str, resource: String| {
            Arn::regional(service, &self.region, self.account, resource).to_string()
        };
        let late = |attribute: Option<&'static str>, plausible: String| {
            self.known.get(&(logical_id.to_owned(), attribute)).cloned().unwrap_or(plausible)
        };
        Some(match (kind, attribute) {
            (Kind::Function | Kind::Role, None) => name.clone(),
            (Kind::Function, Some("Arn")) => arn("lambda", format!("function:{name}")),
            (Kind::Role, Some("Arn")) => Arn::global("iam", self.account, format!("role/{name}")).to_string(),
            (Kind::Layer, None) => late(None, arn("lambda", format!("layer:{name}:1"))),
            (Kind::Url, Some("FunctionUrl")) => {
                late(Some("FunctionUrl"), format!("http://{name}.lambda-url.localhost/"))
            }
            (Kind::Queue, None | Some("QueueUrl")) => {
                late(None, format!("http://localhost/{}/{name}", self.account))
            }
            (Kind::Queue, Some("Arn")) => arn("sqs", name.clone()),
            (Kind::Queue, Some("QueueName")) | (Kind::Topic, Some("TopicName")) => name.clone(),
            (Kind::Topic, None | Some("TopicArn")) => arn("sns", name.clone()),
            (Kind::Subscription, None | Some("Arn")) => late(None, arn("sns", format!("topic:{name}"))),
            (Kind::Mapping, None | Some("Id")) => late(None, name.clone()),
            (Kind::Mapping, Some("EventSourceMappingArn")) => {
                late(Some("EventSourceMappingArn"), arn("lambda", format!("event-source-mapping:{name}")))
            }
            (
                Kind::QueuePolicy | Kind::TopicPolicy | Kind::Permission | Kind::EventInvoke,
                None | Some("Id"),
            ) => name.clone(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_stay_the_same_and_fit() {
        let name = generated("orders", "Fulfilment", "", 80);
        assert_eq!(name, generated("orders", "Fulfilment", "", 80));
        assert!(name.starts_with("orders-Fulfilment-") && name.len() == "orders-Fulfilment-".len() + 12);
        assert_ne!(name, generated("orders2", "Fulfilment", "", 80));
        let long = generated("a-stack-of-24-characters", &"L".repeat(255), ".fifo", 80);
        assert_eq!(long.len(), 80);
        assert!(long.ends_with(".fifo"));
    }
}
