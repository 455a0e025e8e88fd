//! A function's settings: what values they may have, and what a request makes of them.
//!
//! CreateFunction and UpdateFunctionConfiguration both come to a [`Changes`]: the first applied to AWS's defaults,
//! the second to what is stored. What the API model's constraints refuse (patterns, lengths) was refused before.
//!
//! Limits: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.

mod access_points;
mod environment;
mod own;
mod runtime;
mod snap_start;

use std::collections::BTreeMap;

use base::AccountId;

use crate::error::LambdaError;
use crate::function::{Architecture, LogFormat, TracingMode};
use crate::record::{FileSystemRecord, LayerRecord, Logging, Settings};

pub use access_points::AccessPoints;
pub(crate) use environment::check as check_environment;
pub(crate) use own::{ASYNC_DELAY_MS, ASYNC_DUPLICATES, LAYERS as FOLLOW_LAYERS, OwnSettings};
pub use runtime::{RuntimeCheck, host_runtimes};
pub(crate) use runtime::{check as check_runtime, version_arn as runtime_version_arn};

/// What a request wants changed; `None` is "as it is".
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) timeout_s: Option<i64>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) tmp_mib: Option<i64>,
    pub(crate) environment: Option<BTreeMap<String, String>>,
    pub(crate) logging: Option<LoggingChanges>,
    pub(crate) tracing: Option<TracingMode>,
    pub(crate) snap_start: Option<bool>,
    /// Looked up by `layers::choose` before.
    pub(crate) layers: Option<Vec<LayerRecord>>,
    /// An empty one is none.
    pub(crate) dead_letter_arn: Option<String>,
    /// Looked up by [`AccessPoints::choose`] before.
    pub(crate) file_systems: Option<Vec<FileSystemRecord>>,
}

/// `LoggingConfig` of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggingChanges {
    pub(crate) format: Option<String>,
    pub(crate) application_level: Option<String>,
    pub(crate) system_level: Option<String>,
    pub(crate) group: Option<String>,
}

impl Settings {
    /// AWS's defaults for a function of this architecture. Runtime, handler and role have none.
    pub(crate) fn defaults(architecture: Architecture) -> Self {
        Settings {
            runtime: String::new(),
            handler: String::new(),
            role: String::new(),
            description: String::new(),
            timeout_s: 3,
            memory_mib: 128,
            tmp_mib: 512,
            environment: None,
            architecture,
            logging: Logging::default(),
            tracing: TracingMode::PassThrough,
            snap_start: false,
            layers: Vec::new(),
            file_systems: Vec::new(),
            dead_letter_arn: None,
            tenant_isolation: false,
        }
    }
}

impl Changes {
    /// Checks every value that does not depend on the function.
    ///
    /// # Errors
    /// The first value that is not allowed, in AWS's words.
    pub(crate) fn check(&self, account: AccountId) -> Result<(), LambdaError> {
        within("Timeout", self.timeout_s, 1, 900)?;
        within("MemorySize", self.memory_mib, 128, 10_240)?;
        within("EphemeralStorage.Size", self.tmp_mib, 512, 10_240)?;
        if let Some(role) = &self.role {
            check_role(role, account)?;
        }
        if let Some(environment) = &self.environment {
            check_environment(environment)?;
        }
        Ok(())
    }

    /// Makes the changes. To be called after [`Changes::check`].
    ///
    /// # Errors
    /// Log levels without the JSON format; SnapStart with what it does not go with.
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<(), LambdaError> {
        let text = |to: &mut String, from: &Option<String>| {
            if let Some(from) = from {
                to.clone_from(from);
            }
        };
        text(&mut settings.runtime, &self.runtime);
        text(&mut settings.handler, &self.handler);
        text(&mut settings.role, &self.role);
        text(&mut settings.description, &self.description);
        let number = |to: &mut u32, from: Option<i64>| {
            if let Some(from) = from.and_then(|from| u32::try_from(from).ok()) {
                *to = from;
            }
        };
        number(&mut settings.timeout_s, self.timeout_s);
        number(&mut settings.memory_mib, self.memory_mib);
        number(&mut settings.tmp_mib, self.tmp_mib);
        if let Some(arn) = &self.dead_letter_arn {
            settings.dead_letter_arn = Some(arn.clone()).filter(|arn| !arn.is_empty());
        }
        if let Some(environment) = &self.environment {
            settings.environment = Some(environment.clone());
        }
        if let Some(tracing) = self.tracing {
            settings.tracing = tracing;
        }
        if let Some(snap_start) = self.snap_start {
            settings.snap_start = snap_start;
        }
        if let Some(layers) = &self.layers {
            settings.layers.clone_from(layers);
        }
        if let Some(file_systems) = &self.file_systems {
            settings.file_systems.clone_from(file_systems);
        }
        if let Some(logging) = &self.logging {
            logging.apply(&mut settings.logging)?;
        }
        snap_start::check(settings)
    }
}

impl LoggingChanges {
    fn apply(&self, logging: &mut Logging) -> Result<(), LambdaError> {
        match self.format.as_deref() {
            Some("JSON") => logging.format = LogFormat::Json,
            Some(_) => logging.format = LogFormat::Text,
            None => {}
        }
        if self.group.is_some() {
            logging.group.clone_from(&self.group);
        }
        if logging.format == LogFormat::Text {
            if self.application_level.is_some() || self.system_level.is_some() {
                return Err(LambdaError::InvalidParameter(
                    "To specify a log level, you must set your log format to JSON.".to_owned(),
                ));
            }
            logging.application_level = None;
            logging.system_level = None;
            return Ok(());
        }
        let level = |to: &mut Option<String>, from: &Option<String>| {
            *to = from.clone().or(to.take()).or_else(|| Some("INFO".to_owned()));
        };
        level(&mut logging.application_level, &self.application_level);
        level(&mut logging.system_level, &self.system_level);
        Ok(())
    }
}

fn within(member: &str, value: Option<i64>, least: u32, most: u32) -> Result<(), LambdaError> {
    match value {
        Some(value) if value < i64::from(least) => Err(LambdaError::below(member, least)),
        Some(value) if value > i64::from(most) => Err(LambdaError::above(member, most)),
        _ => Ok(()),
    }
}

/// A role is `arn:aws:iam::<account>:role/<path and name>`, and of the function's own account.
fn check_role(role: &str, account: AccountId) -> Result<(), LambdaError> {
    let parsed = role.parse::<base::Arn>().ok().filter(|arn| {
        arn.service == "iam"
            && arn.region.is_empty()
            && arn.account.parse::<AccountId>().is_ok()
            && arn.resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
    });
    let Some(arn) = parsed else {
        return Err(LambdaError::constraint(
            role,
            "role",
            "Member must satisfy regular expression pattern: \
             arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
        ));
    };
    if arn.account != account.to_string() {
        return Err(LambdaError::AccessDenied("Cross-account pass role is not allowed.".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(changes: Changes) -> String {
        changes.check(AccountId::DEFAULT).unwrap_err().to_string()
    }

    #[test]
    fn numbers_have_bounds() {
        let timeout = |timeout_s| Changes { timeout_s: Some(timeout_s), ..Changes::default() };
        let memory = |memory_mib| Changes { memory_mib: Some(memory_mib), ..Changes::default() };
        let tmp = |tmp_mib| Changes { tmp_mib: Some(tmp_mib), ..Changes::default() };
        for allowed in [timeout(1), timeout(900), memory(128), memory(10_240), tmp(512), tmp(10_240)] {
            allowed.check(AccountId::DEFAULT).unwrap();
        }
        let words = "value failed to satisfy constraint: Member must have value";
        assert_eq!(refusal(timeout(901)), format!("'Timeout' {words} less than or equal to 900"));
        assert_eq!(refusal(timeout(0)), format!("'Timeout' {words} greater than or equal to 1"));
        assert_eq!(refusal(memory(10_241)), format!("'MemorySize' {words} less than or equal to 10240"));
        assert_eq!(refusal(memory(127)), format!("'MemorySize' {words} greater than or equal to 128"));
        assert!(refusal(tmp(511)).contains("'EphemeralStorage.Size'"));
        assert!(refusal(tmp(i64::MAX)).contains("10240"));
    }

    #[test]
    fn a_role_is_one_of_the_account() {
        let role = |role: &str| Changes { role: Some(role.to_owned()), ..Changes::default() };
        role("arn:aws:iam::000000000000:role/service-role/x").check(AccountId::DEFAULT).unwrap();
        for bad in [
            "x",
            "arn:aws:iam::000000000000:user/x",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::000000000000:role/",
        ] {
            assert!(refusal(role(bad)).contains("at 'role' failed to satisfy constraint"), "{bad}");
        }
        let other = refusal(role("arn:aws:iam::123456789012:role/x"));
        assert_eq!(other, "Cross-account pass role is not allowed.");
    }

    #[test]
    fn log_levels_come_and_go_with_json() {
        let mut logging = Logging::default();
        let level =
            LoggingChanges { application_level: Some("DEBUG".to_owned()), ..LoggingChanges::default() };
        assert!(level.apply(&mut logging).unwrap_err().to_string().contains("log format to JSON"));
        let json = LoggingChanges { format: Some("JSON".to_owned()), ..level };
        json.apply(&mut logging).unwrap();
        assert_eq!(logging.application_level.as_deref(), Some("DEBUG"));
        assert_eq!(logging.system_level.as_deref(), Some("INFO"));
        let group = LoggingChanges { group: Some("mine".to_owned()), ..LoggingChanges::default() };
        group.apply(&mut logging).unwrap();
        assert_eq!(logging.format, LogFormat::Json);
        assert_eq!(logging.group_of("hello"), "mine");
        let text = LoggingChanges { format: Some("Text".to_owned()), ..LoggingChanges::default() };
        text.apply(&mut logging).unwrap();
        assert_eq!((logging.application_level, logging.system_level), (None, None));
    }
}
