//! How long a group keeps its events.

use std::sync::Arc;

use frontdoor::Call;
use serde::Deserialize;

use super::{Done, scope_of};
use crate::Logs;
use crate::errors::LogsError;
use crate::group;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutRetentionPolicy {
    log_group_name: String,
    retention_in_days: u32,
}

pub(crate) async fn put_retention_policy(
    logs: Arc<Logs>,
    call: Call,
    input: PutRetentionPolicy,
) -> Result<Done, LogsError> {
    let days = input.retention_in_days;
    group::check_retention(days)?;
    set(&logs, &call, input.log_group_name, Some(days)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteRetentionPolicy {
    log_group_name: String,
}

pub(crate) async fn delete_retention_policy(
    logs: Arc<Logs>,
    call: Call,
    input: DeleteRetentionPolicy,
) -> Result<Done, LogsError> {
    set(&logs, &call, input.log_group_name, None).await
}

async fn set(logs: &Logs, call: &Call, name: String, days: Option<u32>) -> Result<Done, LogsError> {
    logs.update_group(scope_of(call), name, move |group| {
        group.retention_days = days;
        Ok(())
    })
    .await?;
    Ok(Done {})
}
