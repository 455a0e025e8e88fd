//! Bringing the platform to what a template says, as an ordinary client of Lambda and IAM through the front door.
//!
//! Only what differs is changed: an unchanged function keeps its warm environments. Nothing is deleted: a function
//! that left the template stays, as there is no stack that would own it.

use std::collections::BTreeMap;

use base::{ApiError, Arn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wire::Blob;

use super::function::Role;
use super::{FunctionSpec, alias};

/// What deploying a function did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deployed {
    /// The function is new.
    Created,
    /// Its code or configuration was changed.
    Updated,
    /// It was already as the template says.
    Unchanged,
}

/// Creates or updates a function and, where the template leaves that to us, its role.
pub(crate) async fn deploy(call: &Call, spec: &FunctionSpec, package: Bytes) -> Result<Deployed, ApiError> {
    let role = ensure_role(call, &spec.role).await?;
    let code_sha256 = STANDARD.encode(Sha256::digest(&package));
    let lambda = call.service("lambda");
    let named = Named { function_name: &spec.name };
    let known = match lambda.invoke::<_, Function>("GetFunction", &named).await {
        Ok(known) => known,
        Err(error) if error.code == "ResourceNotFoundException" => {
            let create = CreateFunction {
                settings: Settings::new(spec, role),
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
    let settings = Settings::new(spec, role);
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

/// What lets Lambda take on a role.
const LAMBDA_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

async fn ensure_role(call: &Call, role: &Role) -> Result<String, ApiError> {
    let (name, managed, inline) = match role {
        Role::Arn(arn) => return Ok(arn.clone()),
        Role::Own { name, managed, inline } => (name, managed, inline),
    };
    let iam = call.service("iam");
    let create = CreateRole { role_name: name, assume_role_policy_document: LAMBDA_TRUST };
    match iam.invoke::<_, serde::de::IgnoredAny>("CreateRole", &create).await {
        Ok(_) => {}
        Err(error) if error.code == "EntityAlreadyExists" => {}
        Err(error) => return Err(error),
    }
    for policy_arn in managed {
        let attach = AttachRolePolicy { role_name: name, policy_arn };
        iam.invoke::<_, Nothing>("AttachRolePolicy", &attach).await?;
    }
    for (number, policy_document) in inline.iter().enumerate() {
        let policy_name = format!("{name}Policy{number}");
        let put = PutRolePolicy { role_name: name, policy_name: &policy_name, policy_document };
        iam.invoke::<_, Nothing>("PutRolePolicy", &put).await?;
    }
    Ok(Arn::global("iam", call.account(), format!("role/{name}")).to_string())
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
    role: String,
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
}

impl<'a> Settings<'a> {
    /// Absent properties take AWS's defaults, so that a property removed from the template is reset.
    fn new(spec: &'a FunctionSpec, role: String) -> Self {
        Settings {
            function_name: &spec.name,
            role,
            runtime: spec.runtime.as_deref(),
            handler: spec.handler.as_deref(),
            description: spec.description.as_deref().unwrap_or_default(),
            memory_size: spec.memory_mib.unwrap_or(128),
            timeout: spec.timeout_s.unwrap_or(3),
            ephemeral_storage: EphemeralStorage { size: spec.tmp_mib.unwrap_or(512) },
            environment: Environment { variables: Some(spec.environment.clone()) },
            layers: &spec.layers,
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateRole<'a> {
    role_name: &'a str,
    assume_role_policy_document: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachRolePolicy<'a> {
    role_name: &'a str,
    policy_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRolePolicy<'a> {
    role_name: &'a str,
    policy_name: &'a str,
    policy_document: &'a str,
}

#[derive(Deserialize)]
struct Nothing {}
