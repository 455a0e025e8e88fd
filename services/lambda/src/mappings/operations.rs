//! CreateEventSourceMapping, GetEventSourceMapping, ListEventSourceMappings, UpdateEventSourceMapping and
//! DeleteEventSourceMapping, for queues. Other sources are refused by name.
//!
//! A mapping that is changed counts as such at once, so only answers of changes show a state on the way to another one;
//! `Disabling` alone may last: until the batches that run have come to their end.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>.

use std::sync::Arc;

use base::{AccountId, Arn};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontdoor::Call;
use service_sources::sqs::Facts;
use service_sources::{Reader, SourceError};

use super::gather::is_fifo;
use super::no_mapping;
use super::record::{Mapping, Settings};
use super::rows::Which;
use super::shapes::{
    CreateEventSourceMappingRequest, EventSourceMapping, ListEventSourceMappingsRequest,
    ListEventSourceMappingsResponse, MappingRequest, UpdateEventSourceMappingRequest,
};
use crate::Lambda;
use crate::error::LambdaError;
use crate::keys::Space;
use crate::name::Target;
use crate::operations::tags::check_tags;
use crate::operations::target;

/// A page has this many mappings at most, whatever `MaxItems` says.
const MAX_PAGE: usize = 100;

/// Maps a queue to a function.
pub(crate) async fn create_event_source_mapping(
    lambda: Arc<Lambda>,
    call: Call,
    request: CreateEventSourceMappingRequest,
) -> Result<EventSourceMapping, LambdaError> {
    const OPERATION: &str = "CreateEventSourceMapping";
    let target = target(&call, OPERATION, &request.function_name, None)?;
    lambda.functions.check_qualifier(&target)?;
    let source_arn = match (&request.event_source_arn, &request.self_managed_event_source) {
        (Some(arn), None) => arn,
        (None, Some(_)) => return Err(unsupported("SelfManagedEventSource", "self-managed Apache Kafka")),
        (Some(_), Some(_)) | (None, None) => return Err(unrecognized()),
    };
    check_source(source_arn)?;
    let wanted = request.wanted()?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    let mapping = Mapping {
        id: uuid::Uuid::new_v4().to_string(),
        account: target.account,
        region: target.region.clone(),
        source_arn: source_arn.clone(),
        function_name: target.name.clone(),
        qualifier: target.qualifier.clone(),
        enabled: true,
        settings: Settings::default(),
        modified_at: lambda.clock.now(),
        filters: Vec::new(),
    };
    let known = Facts { visibility_timeout_s: 0, fifo: is_fifo(source_arn) };
    let mapping = mapping.with(&wanted, known)?;
    fit(&lambda, &mapping).await?;
    lambda.mappings.rows.create(mapping.clone(), tags).await?;
    lambda.follow_mapping(&mapping.space(), &mapping.id);
    Ok(EventSourceMapping::of(&mapping, "Creating", None))
}

/// A mapping as it is now.
pub(crate) async fn get_event_source_mapping(
    lambda: Arc<Lambda>,
    call: Call,
    request: MappingRequest,
) -> Result<EventSourceMapping, LambdaError> {
    let space = space(&call);
    let mapping = lambda.mappings.rows.get(&space, &request.uuid)?.ok_or_else(no_mapping)?;
    Ok(shown(&lambda, &mapping))
}

/// The mappings of a queue, of a function, of both, or all.
pub(crate) async fn list_event_source_mappings(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListEventSourceMappingsRequest,
) -> Result<ListEventSourceMappingsResponse, LambdaError> {
    let mut which = Which { source_arn: request.event_source_arn, function_arn: None };
    if let Some(name) = &request.function_name {
        let target = target(&call, "ListEventSourceMappings", name, None)?;
        lambda.functions.check_qualifier(&target)?;
        which.function_arn = Some(target.qualified_arn());
    }
    let most = request.max_items.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PAGE);
    let most = most.clamp(1, MAX_PAGE);
    let after = request.marker.as_deref().filter(|marker| !marker.is_empty()).map(read_marker).transpose()?;
    let mut mappings = lambda.mappings.rows.list(&space(&call), &which, after.as_deref(), most + 1)?;
    let more = mappings.len() > most;
    mappings.truncate(most);
    let last = mappings.last().filter(|_| more);
    Ok(ListEventSourceMappingsResponse {
        next_marker: last.map(|mapping| URL_SAFE_NO_PAD.encode(&mapping.id)),
        event_source_mappings: mappings.iter().map(|mapping| shown(&lambda, mapping)).collect(),
    })
}

/// Changes a mapping.
pub(crate) async fn update_event_source_mapping(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateEventSourceMappingRequest,
) -> Result<EventSourceMapping, LambdaError> {
    let (space, rows) = (space(&call), &lambda.mappings.rows);
    let before = rows.get(&space, &request.uuid)?.ok_or_else(no_mapping)?;
    let wanted = request.wanted()?;
    let function = match &request.function_name {
        Some(name) => {
            let target = target(&call, "UpdateEventSourceMapping", name, None)?;
            lambda.functions.check_qualifier(&target)?;
            Some((target.name, target.qualifier))
        }
        None => None,
    };
    let now = lambda.clock.now();
    let change = move |mut mapping: Mapping| {
        let facts = Facts { visibility_timeout_s: 0, fifo: is_fifo(&mapping.source_arn) };
        if let Some((name, qualifier)) = &function {
            mapping.function_name.clone_from(name);
            mapping.qualifier.clone_from(qualifier);
        }
        mapping.modified_at = now;
        mapping.with(&wanted, facts)
    };
    // A mapping that is switched off can be changed whatever became of its queue.
    let wished = change(before)?;
    if wished.enabled {
        fit(&lambda, &wished).await?;
    }
    let (before, after) = rows.change(&space, &request.uuid, change).await?;
    lambda.follow_mapping(&space, &after.id);
    let state = match (before.enabled, after.enabled) {
        (true, true) | (false, false) => "Updating",
        (false, true) => "Enabling",
        (true, false) => "Disabling",
    };
    let (_, result) = lambda.mappings.seen(&after.id);
    Ok(EventSourceMapping::of(&after, state, result))
}

/// Removes a mapping. Batches that run come to their end.
pub(crate) async fn delete_event_source_mapping(
    lambda: Arc<Lambda>,
    call: Call,
    request: MappingRequest,
) -> Result<EventSourceMapping, LambdaError> {
    let space = space(&call);
    let mapping = lambda.mappings.rows.delete(&space, &request.uuid).await?;
    let (_, result) = lambda.mappings.seen(&mapping.id);
    lambda.follow_mapping(&space, &mapping.id);
    Ok(EventSourceMapping::of(&mapping, "Deleting", result))
}

fn space(call: &Call) -> Space {
    Space::new(call.account(), call.region())
}

/// A mapping in the state that it is in.
fn shown(lambda: &Lambda, mapping: &Mapping) -> EventSourceMapping {
    let (works, result) = lambda.mappings.seen(&mapping.id);
    let state = match (mapping.enabled, works) {
        (true, _) => "Enabled",
        (false, true) => "Disabling",
        (false, false) => "Disabled",
    };
    EventSourceMapping::of(mapping, state, result)
}

/// Whether the function and the queue go together: it is there, the function's role may read it, and a message stays in
/// flight for as long as the function may take.
async fn fit(lambda: &Lambda, mapping: &Mapping) -> Result<(), LambdaError> {
    let target: Target = mapping.target();
    let function = lambda.resolve(&target).await?.function;
    if function.tenant_isolation {
        return Err(LambdaError::InvalidParameter(
            "Event source mappings are not supported for functions with tenant isolation.".to_owned(),
        ));
    }
    let region = mapping.source_arn.split(':').nth(3).unwrap_or_default();
    if region != target.region.as_str() {
        return Err(LambdaError::InvalidParameter(format!(
            "The event source arn (\" {} \") must be in the same region as the function ({}).",
            mapping.source_arn, target.region
        )));
    }
    let reader =
        Reader { account: target.account, role_arn: function.role.clone(), session: target.name.clone() };
    let queue = lambda.mappings.sources.queue(&mapping.source_arn, reader).ok_or_else(unrecognized)?;
    let facts = queue.facts().await.map_err(unreadable)?;
    if facts.visibility_timeout_s < function.timeout_s {
        return Err(LambdaError::InvalidParameter(format!(
            "Queue visibility timeout: {} seconds is less than Function timeout: {} seconds",
            facts.visibility_timeout_s, function.timeout_s
        )));
    }
    Ok(())
}

/// AWS's words for a queue that cannot be read.
fn unreadable(error: SourceError) -> LambdaError {
    match &error {
        SourceError::Gone(gone) => LambdaError::InvalidParameter(format!(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: {}",
            gone.message
        )),
        SourceError::Denied(_) => LambdaError::InvalidParameter(
            "The provided execution role does not have permissions to call ReceiveMessage on SQS".to_owned(),
        ),
        SourceError::Failed(failed) if failed.http_status() < 500 => LambdaError::InvalidParameter(format!(
            "Error occurred while ReceiveMessage. SQS Error Code: {}. SQS Error Message: {}",
            failed.code, failed.message
        )),
        SourceError::Failed(_) | SourceError::Closed => LambdaError::Internal(error.to_string()),
    }
}

/// Queues go on; the other sources that AWS has are refused by name.
fn check_source(arn: &str) -> Result<(), LambdaError> {
    let arn: Arn = arn.parse().map_err(|_| unrecognized())?;
    let is_in_place = arn.account.parse::<AccountId>().is_ok() && !arn.region.is_empty();
    let source = match arn.service.as_str() {
        "sqs" if is_in_place => return Ok(()),
        "dynamodb" => "Amazon DynamoDB Streams",
        "kinesis" => "Amazon Kinesis",
        "kafka" => "Amazon MSK",
        "mq" => "Amazon MQ",
        "rds" => "Amazon DocumentDB",
        _ => return Err(unrecognized()),
    };
    Err(unsupported("EventSourceArn", source))
}

fn unsupported(parameter: &'static str, source: &str) -> LambdaError {
    LambdaError::Unsupported {
        parameter,
        operation: "CreateEventSourceMapping",
        why: format!("functions cannot be fed from {source}; queues of Amazon SQS feed them"),
    }
}

fn unrecognized() -> LambdaError {
    LambdaError::InvalidParameter("Unrecognized event source.".to_owned())
}

fn read_marker(marker: &str) -> Result<String, LambdaError> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok().filter(|bytes| bytes.len() <= 64);
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        LambdaError::InvalidParameter(format!(
            "Marker '{marker}' is none that a listing gave: start without one."
        ))
    })
}
