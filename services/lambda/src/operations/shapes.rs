//! The API's shapes that several operations share, as the model names their members.
//!
//! Shapes: <https://docs.aws.amazon.com/lambda/latest/api/API_Types.html>.

// Member names are the model's; their meaning is the linked page's.
#![allow(missing_docs)]

use std::borrow::Cow;
use std::collections::BTreeMap;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::function::{LogFormat, TracingMode};
use crate::name::Target;
use crate::record::{FileSystemRecord, FunctionRecord, LayerRecord, Logging};
use crate::settings::{LoggingChanges, runtime_version_arn};
use crate::snapstart::SnapshotState;
use crate::version::Version;

/// `SnapStart.ApplyOn` of a function that asks for it.
const PUBLISHED_VERSIONS: &str = "PublishedVersions";

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionConfiguration {
    pub(crate) function_name: String,
    pub(crate) function_arn: String,
    pub(crate) runtime: String,
    pub(crate) role: String,
    pub(crate) handler: String,
    pub(crate) code_size: u64,
    pub(crate) description: String,
    pub(crate) timeout: u32,
    pub(crate) memory_size: u32,
    pub(crate) last_modified: String,
    pub(crate) code_sha256: String,
    pub(crate) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<EnvironmentResponse>,
    pub(crate) tracing_config: TracingConfig,
    pub(crate) revision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_reason_code: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_update_status: Option<&'static str>,
    pub(crate) package_type: &'static str,
    pub(crate) architectures: Vec<&'static str>,
    pub(crate) ephemeral_storage: EphemeralStorage,
    pub(crate) snap_start: SnapStartResponse,
    pub(crate) runtime_version_config: RuntimeVersionConfig,
    pub(crate) logging_config: LoggingConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dead_letter_config: Option<DeadLetterConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenancy_config: Option<TenancyConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) file_system_configs: Vec<FileSystemConfig>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FileSystemConfig {
    pub(crate) arn: String,
    pub(crate) local_mount_path: String,
}

/// The mode has one value only.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TenancyConfig {
    tenant_isolation_mode: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Layer {
    pub(crate) arn: String,
    pub(crate) code_size: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EnvironmentResponse {
    pub(crate) variables: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SnapStartResponse {
    pub(crate) apply_on: &'static str,
    pub(crate) optimization_status: &'static str,
}

impl SnapStartResponse {
    /// It is `On` for published versions only.
    fn of(wanted: bool, version: Version) -> Self {
        SnapStartResponse {
            apply_on: if wanted { PUBLISHED_VERSIONS } else { "None" },
            optimization_status: if wanted && version != Version::Latest { "On" } else { "Off" },
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SnapStart {
    apply_on: Option<String>,
}

impl SnapStart {
    /// Whether published versions are to have it, if the request says.
    pub(crate) fn wanted(self) -> Option<bool> {
        self.apply_on.map(|apply_on| apply_on == PUBLISHED_VERSIONS)
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RuntimeVersionConfig {
    pub(crate) runtime_version_arn: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TracingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
}

impl TracingConfig {
    /// The mode that is asked for. The API model has refused other names.
    pub(crate) fn mode(&self) -> Option<TracingMode> {
        self.mode.as_deref().map(|mode| match mode {
            "Active" => TracingMode::Active,
            _ => TracingMode::PassThrough,
        })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EphemeralStorage {
    pub(crate) size: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoggingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application_log_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_log_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_group: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeadLetterConfig {
    pub(crate) target_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Environment {
    pub(crate) variables: Option<BTreeMap<String, String>>,
}

impl FileSystemConfig {
    fn of(record: &FileSystemRecord) -> Self {
        FileSystemConfig { arn: record.arn.clone(), local_mount_path: record.local_mount_path.clone() }
    }

    /// What a request asks for.
    pub(crate) fn records(configs: Vec<Self>) -> Vec<FileSystemRecord> {
        let record =
            |config: Self| FileSystemRecord { arn: config.arn, local_mount_path: config.local_mount_path };
        configs.into_iter().map(record).collect()
    }
}

impl Layer {
    fn of(layer: &LayerRecord) -> Self {
        Layer { arn: layer.arn.clone(), code_size: layer.content.size_bytes }
    }
}

impl LoggingConfig {
    pub(crate) fn changes(self) -> LoggingChanges {
        LoggingChanges {
            format: self.log_format,
            application_level: self.application_log_level,
            system_level: self.system_log_level,
            group: self.log_group,
        }
    }

    fn of(logging: &Logging, function_name: &str) -> Self {
        let json = logging.format == LogFormat::Json;
        LoggingConfig {
            log_format: Some(logging.format.as_str().to_owned()),
            application_log_level: logging.application_level.clone().filter(|_| json),
            system_log_level: logging.system_level.clone().filter(|_| json),
            log_group: Some(logging.group_of(function_name)),
        }
    }
}

/// The state that an answer shows.
///
/// A function is ready when the answer to its creation or change leaves: its package is unpacked and its record is on
/// disk. AWS answers `Pending` and `InProgress` all the same, and `Active` and `Successful` to the next request, and
/// tools are written for that (they wait, then go on). So do we: the answer to the change itself shows the former,
/// every later one the latter, and an invoke never has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The answer to CreateFunction.
    Creating,
    /// The answer to an update.
    Updating,
    /// Every other answer.
    Settled,
    /// A listing, which shows no states.
    Listed,
}

impl FunctionConfiguration {
    /// The target is how the answer names the function: its qualifier becomes a part of the ARN.
    pub(crate) fn of(target: &Target, version: Version, record: &FunctionRecord, shown: Shown) -> Self {
        let settings = &record.settings;
        let mut configuration = FunctionConfiguration {
            function_name: target.name.clone(),
            function_arn: target.qualified_arn(),
            runtime: settings.runtime.clone(),
            role: settings.role.clone(),
            handler: settings.handler.clone(),
            code_size: record.code.size_bytes,
            description: settings.description.clone(),
            timeout: settings.timeout_s,
            memory_size: settings.memory_mib,
            last_modified: last_modified(record.modified_at),
            code_sha256: record.code.digest.base64(),
            version: version.to_string(),
            environment: settings.environment.clone().map(|variables| EnvironmentResponse { variables }),
            tracing_config: TracingConfig { mode: Some(settings.tracing.as_str().to_owned()) },
            revision_id: record.revision_id.clone(),
            package_type: "Zip",
            architectures: vec![settings.architecture.as_str()],
            ephemeral_storage: EphemeralStorage { size: settings.tmp_mib.into() },
            snap_start: SnapStartResponse::of(settings.snap_start, version),
            runtime_version_config: RuntimeVersionConfig {
                runtime_version_arn: runtime_version_arn(&settings.runtime, &target.region),
            },
            logging_config: LoggingConfig::of(&settings.logging, &target.name),
            layers: settings.layers.iter().map(Layer::of).collect(),
            dead_letter_config: settings
                .dead_letter_arn
                .clone()
                .map(|arn| DeadLetterConfig { target_arn: Some(arn) }),
            tenancy_config: settings
                .tenant_isolation
                .then(|| TenancyConfig { tenant_isolation_mode: "PER_TENANT".to_owned() }),
            file_system_configs: settings.file_systems.iter().map(FileSystemConfig::of).collect(),
            ..FunctionConfiguration::default()
        };
        configuration.show(shown);
        configuration
    }

    /// The same of a version whose snapshot stands so: its state is the snapshot's, where states are shown.
    pub(crate) fn with_snapshot(mut self, snapshot: Option<&SnapshotState>) -> Self {
        let Some(snapshot) = snapshot else { return self };
        self.snap_start.optimization_status = if snapshot.is_optimized() { "On" } else { "Off" };
        if self.state.is_some() {
            self.state = Some(snapshot.name());
            let (reason, code) = snapshot.reason().unzip();
            (self.state_reason, self.state_reason_code) = (reason.map(Cow::Owned), code.map(Cow::Owned));
        }
        self
    }

    fn show(&mut self, shown: Shown) {
        match shown {
            Shown::Creating => {
                self.state = Some("Pending");
                self.state_reason = Some("The function is being created.".into());
                self.state_reason_code = Some("Creating".into());
            }
            Shown::Updating => {
                self.state = Some("Active");
                self.last_update_status = Some("InProgress");
            }
            Shown::Settled => {
                self.state = Some("Active");
                self.last_update_status = Some("Successful");
            }
            Shown::Listed => {}
        }
    }
}

/// `2026-11-23T08:00:00.000+0000`.
pub(crate) fn last_modified(at: Timestamp) -> String {
    let mut text = at.iso8601();
    text.truncate(text.len() - 1);
    text + "+0000"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_awss_odd_zone() {
        assert_eq!(last_modified(Timestamp(1_795_420_000_123)), "2026-11-23T07:46:40.123+0000");
    }
}
