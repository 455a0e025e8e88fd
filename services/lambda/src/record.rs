//! A function as it is stored: its settings, its code, and the marks of its last change.
//!
//! It is not what runs ([`crate::function::FunctionConfig`] is made from it) and not what the API shows
//! (`operations::shapes`). Values are written with schema version 1; a change of these structs is a new version.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use store::value;

use crate::function::{Architecture, CodeLocation, FunctionConfig, LayerUse, LogFormat, TracingMode};
use crate::keys::V1;
use crate::name::function_arn;
use crate::package::{Digest, Packages};
use crate::version::Version;

/// A version of a function: `$LATEST`, or a published one. Its account, region, name and number are in its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    pub(crate) settings: Settings,
    pub(crate) code: CodeRecord,
    /// Grows with every change, within the account and region; never used twice.
    pub(crate) generation: u64,
    /// A random UUID, new with every change.
    pub(crate) revision_id: String,
    pub(crate) modified_at: Timestamp,
}

/// The uploaded zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeRecord {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    /// Its files together.
    pub(crate) unpacked_bytes: u64,
}

/// A layer version that a function uses. It stays as it was when the layer version is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// With the version's number.
    pub(crate) arn: String,
    pub(crate) content: CodeRecord,
}

impl LayerRecord {
    fn shown(&self) -> LayerUse {
        LayerUse { arn: self.arn.clone(), size_bytes: self.content.size_bytes }
    }
}

/// A host folder that a function sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSystemRecord {
    /// The access point's ARN; which folder that is, the server's settings say.
    pub(crate) arn: String,
    /// Below `/mnt`.
    pub(crate) local_mount_path: String,
}

/// What UpdateFunctionConfiguration can change, and the architecture, which UpdateFunctionCode can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) runtime: String,
    pub(crate) handler: String,
    pub(crate) role: String,
    pub(crate) description: String,
    pub(crate) timeout_s: u32,
    pub(crate) memory_mib: u32,
    pub(crate) tmp_mib: u32,
    /// `None` when the function never had any: the API then shows no `Environment`.
    pub(crate) environment: Option<BTreeMap<String, String>>,
    pub(crate) architecture: Architecture,
    pub(crate) logging: Logging,
    pub(crate) tracing: TracingMode,
    /// Whether published versions are to start from a snapshot.
    pub(crate) snap_start: bool,
    /// In the order in which they are merged.
    pub(crate) layers: Vec<LayerRecord>,
    /// At most one, as on AWS.
    pub(crate) file_systems: Vec<FileSystemRecord>,
    /// The ARN of the queue or topic for events that cannot be handled.
    pub(crate) dead_letter_arn: Option<String>,
    /// `TenancyConfig`: each tenant has environments of its own. Never changed.
    pub(crate) tenant_isolation: bool,
}

/// `LoggingConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    pub(crate) format: LogFormat,
    /// Only with JSON.
    pub(crate) application_level: Option<String>,
    /// Only with JSON.
    pub(crate) system_level: Option<String>,
    /// `None`: `/aws/lambda/<name>`.
    pub(crate) group: Option<String>,
}

impl Logging {
    pub(crate) fn group_of(&self, function_name: &str) -> String {
        self.group.clone().unwrap_or_else(|| format!("/aws/lambda/{function_name}"))
    }
}

/// Counts of an account in a region, and the last generation it gave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) last_generation: u64,
    pub(crate) functions: u64,
    pub(crate) code_bytes: u64,
}

/// The last version that was published under a name. It outlives the function: no number is given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastVersion {
    pub(crate) number: u64,
    /// What `$LATEST` was then: [`FunctionRecord::content`].
    pub(crate) content: Option<Digest>,
}

impl Settings {
    /// The layers' packages, in order.
    pub(crate) fn layer_packages(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.content.digest).collect()
    }
}

impl FunctionRecord {
    /// A digest over settings and code: equal for two records that run and describe themselves alike.
    pub(crate) fn content(&self) -> Digest {
        Digest::of(&value::encode(V1, &(&self.settings, &self.code)))
    }

    /// Everything below `packages/` that this version needs: its code, its layers, and what they are together. None of
    /// it may be removed as long as the record is there.
    pub(crate) fn packages(&self) -> BTreeSet<Digest> {
        let layers = self.settings.layer_packages();
        let stack = Packages::stack(&layers);
        layers.into_iter().chain(stack).chain([self.code.digest]).collect()
    }

    /// The snapshot to run, with the code at `unpacked_dir` and the merged layers at `opt_dir`.
    pub(crate) fn snapshot(
        &self,
        account: AccountId,
        region: &Region,
        name: &str,
        version: Version,
        unpacked_dir: PathBuf,
        opt_dir: Option<PathBuf>,
    ) -> FunctionConfig {
        let settings = &self.settings;
        let is_published = version != Version::Latest;
        let (arn, version) = (function_arn(account, region, name), version.to_string());
        FunctionConfig {
            key: FunctionConfig::key_of(&arn, &version),
            arn,
            name: name.to_owned(),
            account,
            region: region.clone(),
            version,
            generation: self.generation,
            runtime: Some(settings.runtime.clone()),
            handler: Some(settings.handler.clone()),
            role: settings.role.clone(),
            memory_mib: settings.memory_mib,
            timeout_s: settings.timeout_s,
            tmp_mib: settings.tmp_mib,
            environment: settings.environment.clone().unwrap_or_default(),
            code: CodeLocation {
                sha256_base64: self.code.digest.base64(),
                unpacked_dir,
                size_bytes: self.code.size_bytes,
            },
            architecture: settings.architecture,
            log_group: settings.logging.group_of(name),
            log_format: settings.logging.format,
            application_log_level: settings.logging.application_level.clone(),
            system_log_level: settings.logging.system_level.clone(),
            tracing_mode: settings.tracing,
            layers: settings.layers.iter().map(LayerRecord::shown).collect(),
            opt_dir,
            file_systems: Vec::new(),
            dead_letter_arn: settings.dead_letter_arn.clone(),
            tenant_isolation: settings.tenant_isolation,
            snap_start: settings.snap_start && is_published,
        }
    }
}
