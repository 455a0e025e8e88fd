//! A function's `Policies`: managed policies, statements, and SAM's policy templates for queues, topics and functions.
//!
//! They become parts of the function's role. Other policy templates are refused by name.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-policy-template-list.html>

use super::SamError;
use super::expand::{RoleParts, sub};
use super::node::{Node, Value};

/// What each function's own role has.
pub(super) const BASIC_EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
/// What a function that is fed from a queue needs.
pub(super) const QUEUE_EXECUTION: &str =
    "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole";

/// A policy template with one parameter.
struct PolicyTemplate {
    name: &'static str,
    parameter: &'static str,
    actions: &'static [&'static str],
    /// Its resource, as `Fn::Sub` has it; `${Name}` is the parameter.
    resource: &'static str,
}

const QUEUE: &str = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Name}";

const TEMPLATES: [PolicyTemplate; 5] = [
    PolicyTemplate {
        name: "SQSPollerPolicy",
        parameter: "QueueName",
        actions: &[
            "sqs:ChangeMessageVisibility",
            "sqs:ChangeMessageVisibilityBatch",
            "sqs:DeleteMessage",
            "sqs:DeleteMessageBatch",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ],
        resource: QUEUE,
    },
    PolicyTemplate {
        name: "SQSSendMessagePolicy",
        parameter: "QueueName",
        actions: &["sqs:SendMessage*"],
        resource: QUEUE,
    },
    PolicyTemplate {
        name: "SNSPublishMessagePolicy",
        parameter: "TopicName",
        actions: &["sns:Publish"],
        resource: "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:${Name}",
    },
    PolicyTemplate {
        name: "SNSCrudPolicy",
        parameter: "TopicName",
        actions: &[
            "sns:ListSubscriptionsByTopic",
            "sns:CreateTopic",
            "sns:SetTopicAttributes",
            "sns:Subscribe",
            "sns:Publish",
        ],
        resource: "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:${Name}*",
    },
    PolicyTemplate {
        name: "LambdaInvokePolicy",
        parameter: "FunctionName",
        actions: &["lambda:InvokeFunction"],
        resource: "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${Name}*",
    },
];

/// Reads `Policies`.
pub(super) fn read(role: &mut RoleParts, node: &Node) -> Result<(), SamError> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for item in items {
        match &item.value {
            Value::Scalar { text, .. } if text.starts_with("arn:") => role.managed.push(item.clone()),
            Value::Scalar { text, .. } => {
                role.managed.push(Node::scalar(item.line, format!("arn:aws:iam::aws:policy/{text}")));
            }
            Value::Map(_) if item.intrinsic().is_some() => role.managed.push(item.clone()),
            Value::Map(_) if item.get("Statement").is_some() => role.inline.push(item.clone()),
            Value::Map(entries) => role.inline.push(from_template(item, entries)?),
            Value::List(_) => return Err(SamError::at(item.line, "a policy cannot be a list")),
        }
    }
    Ok(())
}

fn from_template(item: &Node, entries: &[(String, Node)]) -> Result<Node, SamError> {
    let name = entries.first().map_or("{}", |(key, _)| key.as_str());
    let Some(template) = TEMPLATES.iter().find(|template| template.name == name && entries.len() == 1) else {
        let known: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
        return Err(SamError::at(
            item.line,
            format!(
                "the policy template '{name}' is not supported yet (supported: {}); write its statements out",
                known.join(", ")
            ),
        ));
    };
    let parameter = match entries[0].1.entries(name)? {
        [(key, node)] if key == template.parameter => node,
        _ => {
            return Err(SamError::at(
                item.line,
                format!("the policy template '{name}' has one parameter, {}", template.parameter),
            ));
        }
    };
    Ok(allow(item.line, template.actions, sub(item.line, template.resource, [("Name", parameter.clone())])))
}

/// A policy document that allows actions on one resource.
pub(super) fn allow(line: usize, actions: &[&str], resource: Node) -> Node {
    let text = |text: &str| Node::scalar(line, text);
    let statement = Node::map(
        line,
        [
            ("Effect", text("Allow")),
            ("Action", Node::list(line, actions.iter().map(|action| text(action)).collect())),
            ("Resource", resource),
        ],
    );
    Node::map(line, [("Version", text("2012-10-17")), ("Statement", Node::list(line, vec![statement]))])
}
