//! `AWS::Lambda::EventSourceMapping` with a queue as its source: found by source and function; made, or brought to what
//! the template says.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-lambda-eventsourcemapping.html>

use std::time::Duration;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SamError;
use super::deploy::Deployed;
use super::node::Node;
use super::queue::same;
use super::tags;

/// How long a mapping may take to be as it was asked for, and how often that is looked at.
const SETTLING_LIMIT: Duration = Duration::from_secs(60);
const SETTLING_LOOK: Duration = Duration::from_millis(20);

/// A mapping as its template describes it. Lambda judges the values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MappingSpec {
    pub(crate) event_source_arn: String,
    pub(crate) function_name: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<std::collections::BTreeMap<String, String>>,
    #[serde(flatten)]
    settings: Settings,
}

/// What can be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_batching_window_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_criteria: Option<Filters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_poller_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_config: Option<Value>,
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filters {
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    pattern: String,
}

/// Reads a mapping whose properties are resolved.
pub(super) fn read(logical_id: &str, properties: &Node) -> Result<MappingSpec, SamError> {
    let mut spec = MappingSpec {
        event_source_arn: String::new(),
        function_name: String::new(),
        enabled: true,
        tags: None,
        settings: Settings::default(),
    };
    let settings = &mut spec.settings;
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "EventSourceArn" => node.text(key)?.clone_into(&mut spec.event_source_arn),
            "FunctionName" => node.text(key)?.clone_into(&mut spec.function_name),
            "Enabled" => spec.enabled = node.truth(key)?,
            "Tags" => spec.tags = Some(tags::read(node)?),
            "BatchSize" => settings.batch_size = Some(node.integer(key)?),
            "MaximumBatchingWindowInSeconds" => {
                settings.maximum_batching_window_in_seconds = Some(node.integer(key)?);
            }
            "FilterCriteria" => settings.filter_criteria = Some(filters(node)?),
            "FunctionResponseTypes" => {
                settings.function_response_types = Some(super::layer::texts(node, key)?);
            }
            "ScalingConfig" => settings.scaling_config = Some(numbers(node, key)?),
            "ProvisionedPollerConfig" => settings.provisioned_poller_config = Some(numbers(node, key)?),
            "MetricsConfig" => settings.metrics_config = Some(node.to_json()),
            "KmsKeyArn" => settings.kms_key_arn = Some(node.text(key)?.to_owned()),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the mapping '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    for (what, value) in [("EventSourceArn", &spec.event_source_arn), ("FunctionName", &spec.function_name)] {
        if value.is_empty() {
            return Err(SamError::at(properties.line, format!("the mapping '{logical_id}' has no '{what}'")));
        }
    }
    Ok(spec)
}

fn filters(node: &Node) -> Result<Filters, SamError> {
    let Some(items) = node.get("Filters") else { return Ok(Filters::default()) };
    let pattern = |item: &Node| {
        let pattern =
            item.get("Pattern").ok_or_else(|| SamError::at(item.line, "a filter has a 'Pattern'"))?;
        Ok(Filter { pattern: pattern.text("Pattern")?.to_owned() })
    };
    Ok(Filters { filters: items.items("Filters")?.iter().map(pattern).collect::<Result<_, SamError>>()? })
}

/// A map of whole numbers, which may have come from a parameter as text.
fn numbers(node: &Node, what: &str) -> Result<Value, SamError> {
    let pair = |(key, node): &(String, Node)| match node.integer(key) {
        Ok(number) => Ok((key.clone(), Value::from(number))),
        // Not all members are numbers.
        Err(_) => Ok((key.clone(), node.to_json())),
    };
    node.entries(what)?
        .iter()
        .map(pair)
        .collect::<Result<serde_json::Map<_, _>, SamError>>()
        .map(Value::Object)
}

/// Brings a mapping to what the template says; its UUID and its ARN.
///
/// # Errors
/// What Lambda says of the mapping.
pub(crate) async fn deploy(call: &Call, spec: &MappingSpec) -> Result<(Deployed, Mapping), ApiError> {
    let lambda = call.service("lambda");
    let list = json!({"EventSourceArn": spec.event_source_arn, "FunctionName": spec.function_name});
    let known: Mappings = lambda.invoke("ListEventSourceMappings", &list).await?;
    let Some(known) = known.event_source_mappings.into_iter().find(|known| known.state != "Deleting") else {
        let made: Mapping = lambda.invoke("CreateEventSourceMapping", spec).await?;
        return Ok((Deployed::Created, settled(call, made).await?));
    };
    let known = settled(call, known).await?;
    if spec.is(&known) {
        return Ok((Deployed::Unchanged, known));
    }
    let update = Update { uuid: &known.uuid, enabled: spec.enabled, settings: spec.reset() };
    let made: Mapping = lambda.invoke("UpdateEventSourceMapping", &update).await?;
    Ok((Deployed::Updated, settled(call, made).await?))
}

/// Waits until the mapping is neither being made nor being changed, as CloudFormation does.
async fn settled(call: &Call, mut mapping: Mapping) -> Result<Mapping, ApiError> {
    let begun = std::time::Instant::now();
    while !matches!(mapping.state.as_str(), "Enabled" | "Disabled") {
        if begun.elapsed() > SETTLING_LIMIT {
            return Err(ApiError::internal(format_args!(
                "the event source mapping {} is still {} after {SETTLING_LIMIT:?}",
                mapping.uuid, mapping.state
            )));
        }
        tokio::time::sleep(SETTLING_LOOK).await;
        let ask = json!({"UUID": mapping.uuid});
        mapping = call.service("lambda").invoke("GetEventSourceMapping", &ask).await?;
    }
    Ok(mapping)
}

impl MappingSpec {
    /// The settings, with what the template leaves out at its default, so that what left it is reset.
    fn reset(&self) -> Settings {
        let own = self.settings.clone();
        Settings {
            batch_size: own.batch_size.or(Some(10)),
            maximum_batching_window_in_seconds: own.maximum_batching_window_in_seconds.or(Some(0)),
            filter_criteria: own.filter_criteria.or_else(|| Some(Filters::default())),
            function_response_types: own.function_response_types.or_else(|| Some(Vec::new())),
            scaling_config: own.scaling_config.or_else(|| Some(json!({}))),
            // These two can only be said where they are meant.
            provisioned_poller_config: own.provisioned_poller_config,
            metrics_config: own.metrics_config,
            kms_key_arn: own.kms_key_arn,
        }
    }

    fn is(&self, known: &Mapping) -> bool {
        let text = |settings: &Settings| serde_json::to_string(settings).unwrap_or_default();
        let whole = |settings: &Settings| {
            let wanted = MappingSpec { settings: settings.clone(), ..self.clone() };
            wanted.reset()
        };
        (known.state == "Enabled") == self.enabled
            && same(&text(&whole(&self.settings)), &text(&whole(&known.settings)))
    }
}

/// The part of a mapping's configuration that is compared.
#[derive(Debug, Deserialize)]
pub(crate) struct Mapping {
    #[serde(rename = "UUID")]
    pub(crate) uuid: String,
    #[serde(rename = "EventSourceMappingArn")]
    pub(crate) arn: Option<String>,
    #[serde(rename = "State")]
    state: String,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mappings {
    #[serde(default)]
    event_source_mappings: Vec<Mapping>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update<'a> {
    #[serde(rename = "UUID")]
    uuid: &'a str,
    enabled: bool,
    #[serde(flatten)]
    settings: Settings,
}
