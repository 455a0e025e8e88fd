//! Bringing functions to what a template says, as an ordinary client of Lambda through the front door.
//!
//! Only what differs is changed: an unchanged function keeps its warm environments. Nothing is deleted: a function
//! that left the template stays, as there is no stack that would own it.

use std::collections::BTreeMap;

use base::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wire::Blob;

use super::{FunctionSpec, alias};

/// What deploying a resource did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deployed {
    /// It is new.
    Created,
    /// It was changed.
    Updated,
    /// It was already as the template says.
    Unchanged,
}

impl Deployed {
    /// In words.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Deployed::Created => "created",
            Deployed::Updated => "updated",
            Deployed::Unchanged => "unchanged",
        }
    }

    /// What is said of something that was there.
    pub(super) fn updated(changed: bool) -> Self {
        if changed { Deployed::Updated } else { Deployed::Unchanged }
    }
}

/// An answer, or `None` where there is none of what was asked for.
pub(super) fn found<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    const ABSENT: [&str; 3] = ["ResourceNotFoundException", "QueueDoesNotExist", "NotFoundException"];
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if ABSENT.iter().any(|code| error.code == *code) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An answer that does not matter.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Creates or updates a function.
pub(crate) async fn deploy(call: &Call, spec: &FunctionSpec, package: Bytes) -> Result<Deployed, ApiError> {
    let code_sha256 = STANDARD.encode(Sha256::digest(&package));
    let lambda = call.service("lambda");
    let named = Named { function_name: &spec.name };
    let known = match lambda.invoke::<_, Function>("GetFunction", &named).await {
        Ok(known) => known,
        Err(error) if error.code == "ResourceNotFoundException" => {
            let create = CreateFunction {
                settings: Settings::new(spec),
                code: Code { zip_file: Blob(package) },
                architectures: spec.architectures.as_deref(),
                tags: (!spec.tags.is_empty()).then_some(&spec.tags),
            };
            lambda.invoke::<_, Configuration>("CreateFunction", &create).await?;
            alias::publish(call, &spec.name, &spec.publish, &code_sha256).await?;
            return Ok(Deployed::Created);
        }
        Err(error) => return Err(error),
    };
    let mut deployed = Deployed::Unchanged;
    if known.configuration.code_sha256 != code_sha256 {
        let update = UpdateFunctionCode {
            function_name: &spec.name,
            zip_file: Blob(package),
            architectures: spec.architectures.as_deref(),
        };
        lambda.invoke::<_, Configuration>("UpdateFunctionCode", &update).await?;
        deployed = Deployed::Updated;
    }
    let settings = Settings::new(spec);
    if !known.configuration.matches(&settings) {
        lambda.invoke::<_, Configuration>("UpdateFunctionConfiguration", &settings).await?;
        deployed = Deployed::Updated;
    }
    if alias::publish(call, &spec.name, &spec.publish, &code_sha256).await? {
        deployed = Deployed::Updated;
    }
    set_tags(call, spec, &known).await?;
    Ok(deployed)
}

async fn set_tags(call: &Call, spec: &FunctionSpec, known: &Function) -> Result<(), ApiError> {
    let have = known.tags.clone().unwrap_or_default();
    if have == spec.tags {
        return Ok(());
    }
    let lambda = call.service("lambda");
    let gone: Vec<String> = have.into_keys().filter(|key| !spec.tags.contains_key(key)).collect();
    let resource = known.configuration.function_arn.clone();
    if !gone.is_empty() {
        let untag = Untag { resource: resource.clone(), tag_keys: gone };
        lambda.invoke::<_, Nothing>("UntagResource", &untag).await?;
    }
    if !spec.tags.is_empty() {
        lambda.invoke::<_, Nothing>("TagResource", &Tag { resource, tags: spec.tags.clone() }).await?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    function_name: &'a str,
}

/// What CreateFunction and UpdateFunctionConfiguration have in common.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Settings<'a> {
    function_name: &'a str,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<&'a str>,
    description: &'a str,
    memory_size: i64,
    timeout: i64,
    ephemeral_storage: EphemeralStorage,
    environment: Environment,
    layers: &'a [String],
    dead_letter_config: DeadLetters,
    snap_start: SnapStart,
}

impl<'a> Settings<'a> {
    /// Absent properties take AWS's defaults, so that a property removed from the template is reset.
    fn new(spec: &'a FunctionSpec) -> Self {
        Settings {
            function_name: &spec.name,
            role: &spec.role,
            runtime: spec.runtime.as_deref(),
            handler: spec.handler.as_deref(),
            description: spec.description.as_deref().unwrap_or_default(),
            memory_size: spec.memory_mib.unwrap_or(128),
            timeout: spec.timeout_s.unwrap_or(3),
            ephemeral_storage: EphemeralStorage { size: spec.tmp_mib.unwrap_or(512) },
            environment: Environment { variables: Some(spec.environment.clone()) },
            layers: &spec.layers,
            dead_letter_config: DeadLetters { target_arn: spec.dead_letter_arn.clone().unwrap_or_default() },
            snap_start: SnapStart { apply_on: spec.snap_start.clone().unwrap_or_else(|| "None".to_owned()) },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateFunction<'a> {
    #[serde(flatten)]
    settings: Settings<'a>,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    architectures: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    zip_file: Blob,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateFunctionCode<'a> {
    function_name: &'a str,
    zip_file: Blob,
    #[serde(skip_serializing_if = "Option::is_none")]
    architectures: Option<&'a [String]>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    variables: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
#[serde(rename_all = "PascalCase")]
struct DeadLetters {
    /// Empty: there are none.
    #[serde(default)]
    target_arn: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "PascalCase")]
struct SnapStart {
    apply_on: String,
}

/// The part of GetFunction's answer that is compared.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Function {
    configuration: Configuration,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
}

/// The part of a function's configuration that is compared.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    function_arn: String,
    code_sha256: String,
    role: String,
    runtime: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    memory_size: i64,
    timeout: i64,
    ephemeral_storage: Option<EphemeralStorage>,
    environment: Option<Environment>,
    #[serde(default)]
    layers: Vec<Layer>,
    dead_letter_config: Option<DeadLetters>,
    snap_start: Option<SnapStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    arn: String,
}

impl Configuration {
    fn matches(&self, wanted: &Settings<'_>) -> bool {
        let variables = self.environment.as_ref().and_then(|environment| environment.variables.clone());
        self.role == wanted.role
            && self.runtime.as_deref() == wanted.runtime
            && self.handler.as_deref() == wanted.handler
            && self.description.as_deref().unwrap_or_default() == wanted.description
            && (self.memory_size, self.timeout) == (wanted.memory_size, wanted.timeout)
            && self.ephemeral_storage.as_ref() == Some(&wanted.ephemeral_storage)
            && self.layers.iter().map(|layer| &layer.arn).eq(wanted.layers)
            && self.dead_letter_config.as_ref().unwrap_or(&DeadLetters::default())
                == &wanted.dead_letter_config
            && self.snap_start.as_ref().map_or("None", |found| &found.apply_on) == wanted.snap_start.apply_on
            && variables.unwrap_or_default() == wanted.environment.variables.clone().unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    resource: String,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Untag {
    resource: String,
    tag_keys: Vec<String>,
}
