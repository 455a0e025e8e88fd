//! The shapes of requests and answers, with the model's member names.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>.

// Member names are the model's.
#![allow(missing_docs)]

use base::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::record::{Mapping, Wanted, WantedPollers};
use crate::error::LambdaError;
use crate::functions::Tags;

/// Members of other sources are taken, so that the refusal is AWS's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateEventSourceMappingRequest {
    pub(super) function_name: String,
    pub(super) event_source_arn: Option<String>,
    pub(super) self_managed_event_source: Option<IgnoredAny>,
    enabled: Option<bool>,
    batch_size: Option<u32>,
    maximum_batching_window_in_seconds: Option<u32>,
    filter_criteria: Option<FilterCriteria>,
    function_response_types: Option<Vec<String>>,
    scaling_config: Option<ScalingConfig>,
    provisioned_poller_config: Option<ProvisionedPollerConfig>,
    metrics_config: Option<MetricsConfig>,
    pub(super) tags: Option<Tags>,
    parallelization_factor: Option<i32>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<IgnoredAny>,
    destination_config: Option<IgnoredAny>,
    maximum_record_age_in_seconds: Option<i32>,
    bisect_batch_on_function_error: Option<bool>,
    maximum_retry_attempts: Option<i32>,
    tumbling_window_in_seconds: Option<i32>,
    topics: Option<IgnoredAny>,
    queues: Option<IgnoredAny>,
    source_access_configurations: Option<IgnoredAny>,
    amazon_managed_kafka_event_source_config: Option<IgnoredAny>,
    self_managed_kafka_event_source_config: Option<IgnoredAny>,
    #[serde(rename = "DocumentDBEventSourceConfig")]
    document_db_event_source_config: Option<IgnoredAny>,
    logging_config: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateEventSourceMappingRequest {
    #[serde(rename = "UUID")]
    pub(super) uuid: String,
    pub(super) function_name: Option<String>,
    enabled: Option<bool>,
    batch_size: Option<u32>,
    maximum_batching_window_in_seconds: Option<u32>,
    filter_criteria: Option<FilterCriteria>,
    function_response_types: Option<Vec<String>>,
    scaling_config: Option<ScalingConfig>,
    provisioned_poller_config: Option<ProvisionedPollerConfig>,
    metrics_config: Option<MetricsConfig>,
    parallelization_factor: Option<i32>,
    destination_config: Option<IgnoredAny>,
    maximum_record_age_in_seconds: Option<i32>,
    bisect_batch_on_function_error: Option<bool>,
    maximum_retry_attempts: Option<i32>,
    tumbling_window_in_seconds: Option<i32>,
    source_access_configurations: Option<IgnoredAny>,
    amazon_managed_kafka_event_source_config: Option<IgnoredAny>,
    self_managed_kafka_event_source_config: Option<IgnoredAny>,
    #[serde(rename = "DocumentDBEventSourceConfig")]
    document_db_event_source_config: Option<IgnoredAny>,
    logging_config: Option<IgnoredAny>,
}

/// GetEventSourceMapping and DeleteEventSourceMapping.
#[derive(Debug, Deserialize)]
pub(crate) struct MappingRequest {
    #[serde(rename = "UUID")]
    pub(super) uuid: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEventSourceMappingsRequest {
    pub(super) event_source_arn: Option<String>,
    pub(super) function_name: Option<String>,
    pub(super) marker: Option<String>,
    pub(super) max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEventSourceMappingsResponse {
    pub(super) event_source_mappings: Vec<EventSourceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_marker: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FilterCriteria {
    filters: Option<Vec<Filter>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    pattern: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingConfig {
    maximum_concurrency: Option<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProvisionedPollerConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_pollers: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_pollers: Option<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricsConfig {
    metrics: Option<Vec<String>>,
}

/// `EventSourceMappingConfiguration`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventSourceMapping {
    #[serde(rename = "UUID")]
    uuid: String,
    batch_size: u32,
    maximum_batching_window_in_seconds: u32,
    event_source_arn: String,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_criteria: Option<FilterCriteria>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_config: Option<MetricsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_config: Option<ScalingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_poller_config: Option<ProvisionedPollerConfig>,
    last_modified: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_processing_result: Option<String>,
    state: &'static str,
    state_transition_reason: &'static str,
    function_response_types: Vec<&'static str>,
    event_source_mapping_arn: String,
}

const REPORT: &str = "ReportBatchItemFailures";
const EVENT_COUNT: &str = "EventCount";

impl EventSourceMapping {
    pub(super) fn of(mapping: &Mapping, state: &'static str, result: Option<String>) -> Self {
        let settings = &mapping.settings;
        let filter = |pattern: &String| Filter { pattern: Some(pattern.clone()) };
        let criteria = || FilterCriteria { filters: Some(mapping.filters.iter().map(filter).collect()) };
        EventSourceMapping {
            uuid: mapping.id.clone(),
            batch_size: settings.batch_size,
            maximum_batching_window_in_seconds: settings.window_s,
            event_source_arn: mapping.source_arn.clone(),
            function_arn: mapping.target().qualified_arn(),
            filter_criteria: (!mapping.filters.is_empty()).then(criteria),
            metrics_config: settings
                .event_count
                .then(|| MetricsConfig { metrics: Some(vec![EVENT_COUNT.to_owned()]) }),
            scaling_config: settings
                .maximum_concurrency
                .map(|most| ScalingConfig { maximum_concurrency: Some(most) }),
            provisioned_poller_config: settings.pollers.map(|pollers| ProvisionedPollerConfig {
                minimum_pollers: Some(pollers.minimum),
                maximum_pollers: Some(pollers.maximum),
            }),
            last_modified: mapping.modified_at,
            last_processing_result: result,
            state,
            state_transition_reason: "USER_INITIATED",
            function_response_types: if settings.reports_failures { vec![REPORT] } else { Vec::new() },
            event_source_mapping_arn: mapping.arn(),
        }
    }
}

/// AWS's words for a member that a queue's mapping does not have.
fn refuse(members: &[(&'static str, bool)]) -> Result<(), LambdaError> {
    match members.iter().find(|(_, is_there)| *is_there) {
        Some((member, _)) => Err(LambdaError::InvalidParameter(format!(
            "Unsupported {member} parameter for given event source mapping type."
        ))),
        None => Ok(()),
    }
}

/// The members that only other sources have.
macro_rules! others {
    ($request:ident: $($name:literal $member:ident),* $(,)?) => {
        refuse(&[$(($name, $request.$member.is_some())),*])
    };
}

/// What both requests want in the same members.
macro_rules! wanted {
    ($request:ident, $removes:expr) => {
        Wanted {
            enabled: $request.enabled,
            batch_size: $request.batch_size,
            window_s: $request.maximum_batching_window_in_seconds,
            reports_failures: $request.function_response_types.as_ref().map(|types| !types.is_empty()),
            maximum_concurrency: $request.scaling_config.as_ref().map(|config| config.maximum_concurrency),
            pollers: $request
                .provisioned_poller_config
                .as_ref()
                .map(|config| config.wanted($removes))
                .transpose()?,
            event_count: $request.metrics_config.as_ref().map(MetricsConfig::wanted).transpose()?,
            filters: $request.filter_criteria.as_ref().map(FilterCriteria::wanted),
        }
    };
}

impl CreateEventSourceMappingRequest {
    /// What is wanted of a queue's mapping.
    ///
    /// # Errors
    /// `InvalidParameterValueException` for what only other sources have.
    pub(super) fn wanted(&self) -> Result<Wanted, LambdaError> {
        others!(self:
            "StartingPosition" starting_position,
            "StartingPositionTimestamp" starting_position_timestamp,
            "ParallelizationFactor" parallelization_factor,
            "DestinationConfig" destination_config,
            "MaximumRecordAgeInSeconds" maximum_record_age_in_seconds,
            "BisectBatchOnFunctionError" bisect_batch_on_function_error,
            "MaximumRetryAttempts" maximum_retry_attempts,
            "TumblingWindowInSeconds" tumbling_window_in_seconds,
            "Topics" topics,
            "Queues" queues,
            "SourceAccessConfigurations" source_access_configurations,
            "AmazonManagedKafkaEventSourceConfig" amazon_managed_kafka_event_source_config,
            "SelfManagedKafkaEventSourceConfig" self_managed_kafka_event_source_config,
            "DocumentDBEventSourceConfig" document_db_event_source_config,
            "LoggingConfig" logging_config,
        )?;
        Ok(wanted!(self, false))
    }
}

impl UpdateEventSourceMappingRequest {
    /// As [`CreateEventSourceMappingRequest::wanted`]; empty members remove what is there.
    ///
    /// # Errors
    /// As there.
    pub(super) fn wanted(&self) -> Result<Wanted, LambdaError> {
        others!(self:
            "ParallelizationFactor" parallelization_factor,
            "DestinationConfig" destination_config,
            "MaximumRecordAgeInSeconds" maximum_record_age_in_seconds,
            "BisectBatchOnFunctionError" bisect_batch_on_function_error,
            "MaximumRetryAttempts" maximum_retry_attempts,
            "TumblingWindowInSeconds" tumbling_window_in_seconds,
            "SourceAccessConfigurations" source_access_configurations,
            "AmazonManagedKafkaEventSourceConfig" amazon_managed_kafka_event_source_config,
            "SelfManagedKafkaEventSourceConfig" self_managed_kafka_event_source_config,
            "DocumentDBEventSourceConfig" document_db_event_source_config,
            "LoggingConfig" logging_config,
        )?;
        Ok(wanted!(self, true))
    }
}

impl FilterCriteria {
    fn wanted(&self) -> Vec<String> {
        let filters = self.filters.iter().flatten();
        filters.map(|filter| filter.pattern.clone().unwrap_or_default()).collect()
    }
}

impl ProvisionedPollerConfig {
    fn wanted(&self, removes: bool) -> Result<Option<WantedPollers>, LambdaError> {
        match (self.minimum_pollers, self.maximum_pollers) {
            (None, None) if removes => Ok(None),
            (None, None) => Err(LambdaError::InvalidParameter(
                "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided."
                    .to_owned(),
            )),
            (minimum, maximum) => Ok(Some(WantedPollers { minimum, maximum })),
        }
    }
}

impl MetricsConfig {
    fn wanted(&self) -> Result<bool, LambdaError> {
        let metrics = self.metrics.as_deref().unwrap_or_default();
        match metrics.iter().find(|metric| *metric != EVENT_COUNT) {
            Some(metric) => Err(LambdaError::InvalidParameter(format!(
                "Metric {metric} is not supported for given event source mapping type."
            ))),
            None => Ok(!metrics.is_empty()),
        }
    }
}
