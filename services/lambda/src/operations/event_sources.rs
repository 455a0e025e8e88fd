//! Event source mappings: there are no sources yet, so there are no mappings. Tools that list them find none, and a
//! mapping that is to be made is refused with its source's name.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use base::Arn;
use frontdoor::Call;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::error::LambdaError;

/// Members are taken, so that the refusal can name the source instead of whichever member comes first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code)] // see above
pub(crate) struct CreateEventSourceMappingRequest {
    function_name: String,
    event_source_arn: Option<String>,
    self_managed_event_source: Option<IgnoredAny>,
    enabled: Option<bool>,
    batch_size: Option<i32>,
    filter_criteria: Option<IgnoredAny>,
    maximum_batching_window_in_seconds: Option<i32>,
    parallelization_factor: Option<i32>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<IgnoredAny>,
    destination_config: Option<IgnoredAny>,
    maximum_record_age_in_seconds: Option<i32>,
    bisect_batch_on_function_error: Option<bool>,
    maximum_retry_attempts: Option<i32>,
    tags: Option<IgnoredAny>,
    tumbling_window_in_seconds: Option<i32>,
    topics: Option<IgnoredAny>,
    queues: Option<IgnoredAny>,
    source_access_configurations: Option<IgnoredAny>,
    function_response_types: Option<IgnoredAny>,
    amazon_managed_kafka_event_source_config: Option<IgnoredAny>,
    self_managed_kafka_event_source_config: Option<IgnoredAny>,
    scaling_config: Option<IgnoredAny>,
    #[serde(rename = "DocumentDBEventSourceConfig")]
    document_db_event_source_config: Option<IgnoredAny>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    metrics_config: Option<IgnoredAny>,
    logging_config: Option<IgnoredAny>,
    provisioned_poller_config: Option<IgnoredAny>,
}

/// Of these, none can be found; what else the request holds does not matter then.
#[derive(Debug, Deserialize)]
pub(crate) struct MappingRequest {
    #[serde(rename = "UUID")]
    #[allow(dead_code)] // no mapping has it
    uuid: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEventSourceMappingsRequest {
    #[allow(dead_code)] // of no source there are any
    event_source_arn: Option<String>,
    function_name: Option<String>,
    #[allow(dead_code)] // there is one page, and it is empty
    marker: Option<String>,
    #[allow(dead_code)]
    max_items: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEventSourceMappingsResponse {
    event_source_mappings: [(); 0],
}

/// Refuses the source by name, after what AWS would refuse.
pub(crate) async fn create_event_source_mapping(
    lambda: Arc<Lambda>,
    call: Call,
    request: CreateEventSourceMappingRequest,
) -> Result<(), LambdaError> {
    let target = target(&call, "CreateEventSourceMapping", &request.function_name, None)?;
    lambda.functions.check_qualifier(&target)?;
    let (parameter, source) = match (&request.event_source_arn, &request.self_managed_event_source) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(LambdaError::InvalidParameter("Unrecognized event source.".to_owned()));
        }
        (None, Some(_)) => ("SelfManagedEventSource", "self-managed Apache Kafka"),
        (Some(arn), None) => ("EventSourceArn", source_of(arn)?),
    };
    Err(LambdaError::Unsupported {
        parameter,
        operation: "CreateEventSourceMapping",
        why: format!("functions cannot be fed from {source}"),
    })
}

/// The sources that AWS has.
fn source_of(arn: &str) -> Result<&'static str, LambdaError> {
    let service = arn.parse::<Arn>().map(|arn| arn.service).unwrap_or_default();
    Ok(match service.as_str() {
        "sqs" => "Amazon SQS",
        "dynamodb" => "Amazon DynamoDB Streams",
        "kinesis" => "Amazon Kinesis",
        "kafka" => "Amazon MSK",
        "mq" => "Amazon MQ",
        "rds" => "Amazon DocumentDB",
        _ => return Err(LambdaError::InvalidParameter("Unrecognized event source.".to_owned())),
    })
}

/// The mappings there are: none.
pub(crate) async fn list_event_source_mappings(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListEventSourceMappingsRequest,
) -> Result<ListEventSourceMappingsResponse, LambdaError> {
    if let Some(name) = &request.function_name {
        let target = target(&call, "ListEventSourceMappings", name, None)?;
        lambda.functions.check_qualifier(&target)?;
    }
    Ok(ListEventSourceMappingsResponse { event_source_mappings: [] })
}

/// GetEventSourceMapping and DeleteEventSourceMapping.
pub(crate) async fn event_source_mapping(
    _: Arc<Lambda>,
    _: Call,
    _: MappingRequest,
) -> Result<(), LambdaError> {
    Err(no_mapping())
}

/// UpdateEventSourceMapping: whatever the request would change, there is nothing to be changed.
pub(crate) async fn update_event_source_mapping(
    _: Arc<Lambda>,
    _: Call,
    _: IgnoredAny,
) -> Result<(), LambdaError> {
    Err(no_mapping())
}

fn no_mapping() -> LambdaError {
    LambdaError::NotFound("The resource you requested does not exist.".to_owned())
}
