//! What feeds a function and where its failures go: `Events` (SQS, SNS), `EventInvokeConfig`, `DeadLetterQueue`.
//!
//! Each becomes the resources that SAM makes of it, with what the function's role must be allowed. Other kinds of events
//! are refused by name.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-eventsource.html>

use super::SamError;
use super::expand::{FunctionParts, get_att, reference};
use super::node::{Node, Value};
use super::policies::{QUEUE_EXECUTION, allow};
use super::resource::Kind;

/// Reads `Events`.
pub(super) fn expand(parts: &mut FunctionParts<'_>, node: &Node) -> Result<(), SamError> {
    for (name, event) in node.entries("Events")? {
        let kind = event
            .get("Type")
            .ok_or_else(|| SamError::at(event.line, format!("the event '{name}' has no 'Type'")))?;
        if let Some((other, node)) =
            event.entries(name)?.iter().find(|(key, _)| key != "Type" && key != "Properties")
        {
            return Err(SamError::at(node.line, format!("'{other}' of the event '{name}' is not known")));
        }
        let empty = Node { line: event.line, value: Value::Map(Vec::new()) };
        let properties = event.get("Properties").unwrap_or(&empty);
        match kind.text("Type")? {
            "SQS" => from_queue(parts, name, properties)?,
            "SNS" => from_topic(parts, name, properties)?,
            other => {
                return Err(SamError::at(
                    kind.line,
                    format!(
                        "the type '{other}' ('Events' of '{}': {name}) is not supported yet; supported: SQS, SNS",
                        parts.logical_id
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// A property that must be there.
fn required<'a>(node: &'a Node, what: &str, property: &str) -> Result<&'a Node, SamError> {
    node.get(property).ok_or_else(|| SamError::at(node.line, format!("'{what}' has no '{property}'")))
}

/// An event source mapping; its properties are those of the event.
fn from_queue(parts: &mut FunctionParts<'_>, name: &str, node: &Node) -> Result<(), SamError> {
    required(node, name, "Queue")?;
    let renamed = node.entries(name)?.iter().map(|(key, node)| match key.as_str() {
        "Queue" => Ok(("EventSourceArn".to_owned(), node.clone())),
        "BatchSize"
        | "Enabled"
        | "FilterCriteria"
        | "FunctionResponseTypes"
        | "KmsKeyArn"
        | "MaximumBatchingWindowInSeconds"
        | "MetricsConfig"
        | "ProvisionedPollerConfig"
        | "ScalingConfig" => Ok((key.clone(), node.clone())),
        other => Err(refused(node, name, other)),
    });
    let mut entries = renamed.collect::<Result<Vec<_>, _>>()?;
    entries.push(("FunctionName".to_owned(), parts.target_arn()));
    parts.role.managed.push(Node::scalar(node.line, QUEUE_EXECUTION));
    let logical_id = format!("{}{name}", parts.logical_id);
    parts.make(logical_id, Kind::Mapping, Node { line: node.line, value: Value::Map(entries) });
    Ok(())
}

/// A subscription of the function, or with `SqsSubscription` of a queue that the function is fed from.
fn from_topic(parts: &mut FunctionParts<'_>, name: &str, node: &Node) -> Result<(), SamError> {
    let line = node.line;
    let topic = required(node, name, "Topic")?.clone();
    let mut subscription = vec![("TopicArn".to_owned(), topic.clone())];
    let mut queue = None;
    for (key, node) in node.entries(name)? {
        match key.as_str() {
            "Topic" => {}
            "Region" | "FilterPolicy" | "FilterPolicyScope" | "RedrivePolicy" => {
                subscription.push((key.clone(), node.clone()));
            }
            "SqsSubscription" => match &node.value {
                Value::Scalar { .. } if !node.truth(key)? => {}
                _ => queue = Some(node),
            },
            other => return Err(refused(node, name, other)),
        }
    }
    let logical_id = format!("{}{name}", parts.logical_id);
    let (protocol, endpoint) = match queue {
        Some(queue) => ("sqs", through_queue(parts, &logical_id, &topic, queue)?),
        None => {
            let permission = Node::map(
                line,
                [
                    ("Action", Node::scalar(line, "lambda:InvokeFunction")),
                    ("FunctionName", parts.target_arn()),
                    ("Principal", Node::scalar(line, "sns.amazonaws.com")),
                    ("SourceArn", topic),
                ],
            );
            parts.make(format!("{logical_id}Permission"), Kind::Permission, permission);
            ("lambda", parts.target_arn())
        }
    };
    subscription.push(("Protocol".to_owned(), Node::scalar(line, protocol)));
    subscription.push(("Endpoint".to_owned(), endpoint));
    parts.make(logical_id, Kind::Subscription, Node { line, value: Value::Map(subscription) });
    Ok(())
}

/// The queue between a topic and a function: the given one or a new one. Gives its ARN.
fn through_queue(
    parts: &mut FunctionParts<'_>,
    event: &str,
    topic: &Node,
    node: &Node,
) -> Result<Node, SamError> {
    let line = node.line;
    let (mut batch_size, mut enabled) = (Node::scalar(line, "10"), Node::scalar(line, "true"));
    let (mut arn, mut url, mut policy) = (None, None, None);
    if let Value::Map(entries) = &node.value {
        for (key, node) in entries {
            match key.as_str() {
                "BatchSize" => batch_size = node.clone(),
                "Enabled" => enabled = node.clone(),
                "QueueArn" => arn = Some(node.clone()),
                "QueueUrl" => url = Some(node.clone()),
                "QueuePolicyLogicalId" => policy = Some(node.text(key)?.to_owned()),
                other => return Err(refused(node, "SqsSubscription", other)),
            }
        }
    }
    let (arn, url) = match (arn, url) {
        (Some(arn), Some(url)) => (arn, url),
        (None, None) => {
            let queue = format!("{event}Queue");
            parts.make(queue.clone(), Kind::Queue, Node { line, value: Value::Map(Vec::new()) });
            (get_att(line, &queue, "Arn"), reference(line, &queue))
        }
        _ => return Err(SamError::at(line, "SqsSubscription needs both QueueArn and QueueUrl, or neither")),
    };
    let policy = policy.unwrap_or_else(|| format!("{event}QueuePolicy"));
    parts.make(policy, Kind::QueuePolicy, topic_may_send(line, topic, &arn, url));
    let mapping = Node::map(
        line,
        [
            ("EventSourceArn", arn.clone()),
            ("FunctionName", parts.target_arn()),
            ("BatchSize", batch_size),
            ("Enabled", enabled),
        ],
    );
    parts.role.managed.push(Node::scalar(line, QUEUE_EXECUTION));
    parts.make(format!("{event}EventSourceMapping"), Kind::Mapping, mapping);
    Ok(arn)
}

/// The properties of a queue's policy that lets one topic send to it.
fn topic_may_send(line: usize, topic: &Node, queue_arn: &Node, queue_url: Node) -> Node {
    let text = |text: &str| Node::scalar(line, text);
    let source = Node::map(line, [("aws:SourceArn", topic.clone())]);
    let statement = Node::map(
        line,
        [
            ("Effect", text("Allow")),
            ("Principal", Node::map(line, [("Service", text("sns.amazonaws.com"))])),
            ("Action", text("sqs:SendMessage")),
            ("Resource", queue_arn.clone()),
            ("Condition", Node::map(line, [("ArnEquals", source)])),
        ],
    );
    let document =
        Node::map(line, [("Version", text("2012-10-17")), ("Statement", Node::list(line, vec![statement]))]);
    Node::map(line, [("PolicyDocument", document), ("Queues", Node::list(line, vec![queue_url]))])
}

/// Reads `EventInvokeConfig`: how asynchronous invokes are repeated, and where their records go.
pub(super) fn invoke_config(parts: &mut FunctionParts<'_>, node: &Node) -> Result<(), SamError> {
    let line = node.line;
    let logical_id = format!("{}EventInvokeConfig", parts.logical_id);
    let mut entries = vec![
        ("FunctionName".to_owned(), reference(line, parts.logical_id)),
        ("Qualifier".to_owned(), parts.alias.clone().unwrap_or_else(|| Node::scalar(line, "$LATEST"))),
    ];
    for (key, node) in node.entries("EventInvokeConfig")? {
        match key.as_str() {
            "MaximumRetryAttempts" | "MaximumEventAgeInSeconds" => entries.push((key.clone(), node.clone())),
            "DestinationConfig" => {
                let mut destinations = Vec::new();
                for (when, node) in node.entries(key)? {
                    if when != "OnSuccess" && when != "OnFailure" {
                        return Err(refused(node, key, when));
                    }
                    let arn = destination(parts, &format!("{logical_id}{when}"), node)?;
                    destinations.push((when.clone(), Node::map(node.line, [("Destination", arn)])));
                }
                entries.push((key.clone(), Node { line: node.line, value: Value::Map(destinations) }));
            }
            other => return Err(refused(node, "EventInvokeConfig", other)),
        }
    }
    parts.make(logical_id, Kind::EventInvoke, Node { line, value: Value::Map(entries) });
    Ok(())
}

/// One destination: its ARN, with what the role must be allowed. Without one, a queue or topic is made.
fn destination(parts: &mut FunctionParts<'_>, made: &str, node: &Node) -> Result<Node, SamError> {
    let line = node.line;
    if let Some((other, node)) =
        node.entries("a destination")?.iter().find(|(key, _)| key != "Type" && key != "Destination")
    {
        return Err(refused(node, "DestinationConfig", other));
    }
    let given = node.get("Destination").cloned();
    let Some(kind) = node.get("Type") else {
        // Without a type SAM leaves the role to the template.
        return given.ok_or_else(|| SamError::at(line, "a destination has neither 'Type' nor 'Destination'"));
    };
    let (action, made) = match kind.text("Type")? {
        "SQS" => ("sqs:SendMessage", Some((format!("{made}Queue"), Kind::Queue, "Arn"))),
        "SNS" => ("sns:Publish", Some((format!("{made}Topic"), Kind::Topic, "TopicArn"))),
        "Lambda" => ("lambda:InvokeFunction", None),
        "EventBridge" => ("events:PutEvents", None),
        other => {
            return Err(SamError::at(
                kind.line,
                format!("the destination type '{other}' of '{}' is not supported yet", parts.logical_id),
            ));
        }
    };
    let arn = match (given, made) {
        (Some(arn), _) => arn,
        (None, Some((logical_id, kind, attribute))) => {
            let arn = get_att(line, &logical_id, attribute);
            parts.make(logical_id, kind, Node { line, value: Value::Map(Vec::new()) });
            arn
        }
        (None, None) => {
            return Err(SamError::at(line, "a destination of this type needs its 'Destination'"));
        }
    };
    parts.role.inline.push(allow(line, &[action], arn.clone()));
    Ok(arn)
}

/// Reads `DeadLetterQueue`; gives the function's `DeadLetterConfig`.
pub(super) fn dead_letters(parts: &mut FunctionParts<'_>, node: &Node) -> Result<Node, SamError> {
    let what = "DeadLetterQueue";
    if let Some((other, node)) =
        node.entries(what)?.iter().find(|(key, _)| key != "Type" && key != "TargetArn")
    {
        return Err(refused(node, what, other));
    }
    let kind = required(node, what, "Type")?;
    let action = match kind.text("Type")? {
        "SQS" => "sqs:SendMessage",
        "SNS" => "sns:Publish",
        other => {
            return Err(SamError::at(
                kind.line,
                format!("'{what}' must be of the type SQS or SNS, got '{other}'"),
            ));
        }
    };
    let arn = required(node, what, "TargetArn")?.clone();
    parts.role.inline.push(allow(node.line, &[action], arn.clone()));
    Ok(Node::map(node.line, [("TargetArn", arn)]))
}

fn refused(node: &Node, what: &str, property: &str) -> SamError {
    SamError::at(node.line, format!("the property '{property}' of '{what}' is not supported yet"))
}
