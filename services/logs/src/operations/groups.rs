//! Groups: create, delete, describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Done, scope_of};
use crate::Logs;
use crate::errors::LogsError;
use crate::group::{self, Group};
use crate::keys::{self, Scope};
use crate::state::decode;
use crate::token;

const STANDARD: &str = "STANDARD";
const DEFAULT_LIMIT: usize = 50;
/// Records read at once while names are compared with a pattern.
const SCAN_BATCH: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateLogGroup {
    log_group_name: String,
    tags: Option<BTreeMap<String, String>>,
    log_group_class: Option<String>,
}

pub(crate) async fn create_log_group(
    logs: Arc<Logs>,
    call: Call,
    input: CreateLogGroup,
) -> Result<Done, LogsError> {
    group::check_name(&input.log_group_name)?;
    if let Some(class) = input.log_group_class.filter(|class| class != STANDARD) {
        return Err(LogsError::invalid(format!(
            "logGroupClass {class} is not supported, only {STANDARD} is"
        )));
    }
    let mut tags = BTreeMap::new();
    group::merge_tags(&mut tags, input.tags.unwrap_or_default())?;
    let created_ms = logs.now_ms();
    let group = Group { name: input.log_group_name, uid: 0, created_ms, retention_days: None, tags };
    logs.create_group(scope_of(&call), group).await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteLogGroup {
    log_group_name: String,
}

pub(crate) async fn delete_log_group(
    logs: Arc<Logs>,
    call: Call,
    input: DeleteLogGroup,
) -> Result<Done, LogsError> {
    logs.delete_group(scope_of(&call), input.log_group_name).await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    /// Any part of the name, case counts.
    log_group_name_pattern: Option<String>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// Nothing is linked here: true would promise what cannot be given.
    include_linked_accounts: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogGroups {
    log_groups: Vec<LogGroup>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    creation_time: i64,
    retention_in_days: Option<u32>,
    metric_filter_count: u32,
    arn: String,
    stored_bytes: i64,
    log_group_class: &'static str,
    log_group_arn: String,
}

pub(crate) async fn describe_log_groups(
    logs: Arc<Logs>,
    call: Call,
    input: DescribeLogGroups,
) -> Result<LogGroups, LogsError> {
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return Err(LogsError::invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    if input.include_linked_accounts == Some(true) {
        return Err(LogsError::invalid("includeLinkedAccounts is not supported"));
    }
    if input.log_group_class.as_deref().is_some_and(|class| class != STANDARD) {
        return Ok(LogGroups { log_groups: Vec::new(), next_token: None });
    }
    let scope = scope_of(&call);
    let prefix = input.log_group_name_prefix.as_deref().unwrap_or("");
    let pattern = input.log_group_name_pattern.as_deref().unwrap_or("");
    let limit = input.limit.unwrap_or(DEFAULT_LIMIT);
    let after = input.next_token.as_deref().map(token::parse_text).transpose()?;
    let (groups, has_more) = list(&logs, &scope, prefix, pattern, after.as_deref(), limit)?;
    let next_token = groups.last().filter(|_| has_more).map(|last| token::of_text(&last.name));
    let log_groups: Result<_, LogsError> =
        groups.into_iter().map(|group| shape(&logs, &scope, group)).collect();
    Ok(LogGroups { log_groups: log_groups?, next_token })
}

/// Up to `limit` groups, and whether there are more.
fn list(
    logs: &Logs,
    scope: &Scope,
    prefix: &str,
    pattern: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Group>, bool), LogsError> {
    let snapshot = logs.store.snapshot()?;
    let mut range = keys::groups(scope, prefix).limit(SCAN_BATCH);
    if let Some(after) = after {
        range.from = range.from.max(keys::just_above(&keys::group(scope, after)));
    }
    let mut groups = Vec::new();
    loop {
        let batch = snapshot.range(range.clone())?;
        for (_, stored) in &batch {
            let group: Group = decode(stored)?;
            if !group.name.contains(pattern) {
                continue;
            }
            if groups.len() == limit {
                return Ok((groups, true));
            }
            groups.push(group);
        }
        match batch.last() {
            Some((key, _)) if batch.len() == SCAN_BATCH => range.from = keys::just_above(key),
            _ => return Ok((groups, false)),
        }
    }
}

fn shape(logs: &Logs, scope: &Scope, group: Group) -> Result<LogGroup, LogsError> {
    let stored = logs.store.get(&keys::group_bytes(scope, group.uid))?;
    let stored_bytes = stored.map_or(Ok(0), |stored| store::counter(&stored))?;
    let log_group_arn = group.arn(scope);
    Ok(LogGroup {
        log_group_name: group.name,
        creation_time: group.created_ms,
        retention_in_days: group.retention_days,
        metric_filter_count: 0,
        arn: format!("{log_group_arn}:*"),
        stored_bytes,
        log_group_class: STANDARD,
        log_group_arn,
    })
}
