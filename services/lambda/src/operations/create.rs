//! CreateFunction.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::Deserialize;

use super::code::{Source, architecture};
use super::code_signing::wanted_id;
use super::shapes::{
    DeadLetterConfig, Environment, EphemeralStorage, FileSystemConfig, FunctionConfiguration, LoggingConfig,
    Shown, SnapStart, TenancyConfig, TracingConfig,
};
use super::target;
use super::targets::check_dead_letters;
use super::unsupported::{ImageConfig, VpcConfig, Wishes};
use crate::Lambda;
use crate::error::LambdaError;
use crate::function::Architecture;
use crate::functions::{Creation, Tags, space_of};
use crate::name::{LATEST, Target};
use crate::operations::tags::check_tags;
use crate::record::Settings;
use crate::settings::{Changes, check_runtime};
use crate::version::Version;

const OPERATION: &str = "CreateFunction";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateFunctionRequest {
    function_name: String,
    runtime: Option<String>,
    role: String,
    handler: Option<String>,
    code: FunctionCode,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    publish: Option<bool>,
    vpc_config: Option<VpcConfig>,
    package_type: Option<String>,
    dead_letter_config: Option<DeadLetterConfig>,
    environment: Option<Environment>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    tracing_config: Option<TracingConfig>,
    tags: Option<Tags>,
    layers: Option<Vec<String>>,
    file_system_configs: Option<Vec<FileSystemConfig>>,
    image_config: Option<ImageConfig>,
    architectures: Option<Vec<String>>,
    ephemeral_storage: Option<EphemeralStorage>,
    snap_start: Option<SnapStart>,
    logging_config: Option<LoggingConfig>,
    code_signing_config_arn: Option<String>,
    tenancy_config: Option<TenancyConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionCode {
    zip_file: Option<wire::Blob>,
    #[serde(rename = "S3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "S3Key")]
    s3_key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    s3_object_version: Option<String>,
    image_uri: Option<String>,
}

/// Creates a function, ready to be invoked when the answer leaves.
pub(crate) async fn create_function(
    lambda: Arc<Lambda>,
    call: Call,
    mut request: CreateFunctionRequest,
) -> Result<FunctionConfiguration, LambdaError> {
    let target = new_target(&call, &request.function_name)?;
    refuse(&request)?;
    let mut settings = checked_settings(&lambda, &target, &mut request).await?;
    let layers = request.layers.take().unwrap_or_default();
    let file_systems = FileSystemConfig::records(request.file_system_configs.take().unwrap_or_default());
    settings.file_systems = lambda.access_points.choose(&target, file_systems)?;
    settings.layers = lambda.functions.choose_layers(&call, &target, &layers)?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    if lambda.functions.row(&target).is_ok() {
        return Err(LambdaError::Conflict(format!("Function already exist: {}", target.name)));
    }
    let signing = request.code_signing_config_arn.filter(|arn| !arn.is_empty());
    let signing = signing.map(|arn| wanted_id(&space_of(&target), &arn)).transpose()?;
    lambda.functions.check_unsigned(&target, signing.as_deref())?;
    let code = request.code;
    let zip = Source {
        operation: OPERATION,
        zip_file: code.zip_file,
        s3_bucket: code.s3_bucket.as_deref(),
        s3_key: code.s3_key.as_deref(),
        s3_object_version: code.s3_object_version.as_deref(),
        image_uri: code.image_uri.as_deref(),
    }
    .zip()?;
    let package = lambda.packages.add(zip).await?;
    let code = package.record();
    lambda.packages.ensure_stack(&settings.layer_packages()).await?;
    let publish = request.publish == Some(true);
    let written =
        lambda.functions.create(&target, Creation { settings, code, tags, publish, signing }).await?;
    tracing::info!(function = %target.arn(), generation = written.latest.generation, "function created");
    lambda.foresee(&target);
    // As AWS does: of a version that was published at once the number is shown, but the ARN stays unqualified.
    let (version, record) = match &written.published {
        Some(published) => {
            super::versions::order_snapshot(&lambda, &target, published);
            (Version::Number(published.number), &published.record)
        }
        None => (Version::Latest, &written.latest),
    };
    Ok(FunctionConfiguration::of(&target, version, record, Shown::Creating))
}

/// The target without its qualifier: what is created is `$LATEST`.
fn new_target(call: &Call, function_name: &str) -> Result<Target, LambdaError> {
    let mut target = target(call, OPERATION, function_name, None)?;
    if target.qualifier.as_deref().is_some_and(|qualifier| qualifier != LATEST) {
        return Err(LambdaError::InvalidParameter(
            "A function is created without a version or alias: leave the qualifier out of FunctionName."
                .to_owned(),
        ));
    }
    target.qualifier = None;
    Ok(target)
}

fn refuse(request: &CreateFunctionRequest) -> Result<(), LambdaError> {
    let unsupported = |parameter, why: &str| {
        Err(LambdaError::Unsupported { parameter, operation: OPERATION, why: why.to_owned() })
    };
    if request.package_type.as_deref() == Some("Image") {
        return unsupported("PackageType=Image", "functions come from .zip packages only");
    }
    Wishes {
        vpc: request.vpc_config.as_ref(),
        kms_key_arn: request.kms_key_arn.as_deref(),
        image: request.image_config.as_ref(),
    }
    .refuse(OPERATION)
}

/// Takes the settings out of the request, and checks them.
async fn checked_settings(
    lambda: &Lambda,
    target: &Target,
    request: &mut CreateFunctionRequest,
) -> Result<Settings, LambdaError> {
    let (Some(runtime), Some(handler)) = (request.runtime.take(), request.handler.take()) else {
        return Err(LambdaError::InvalidParameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
                .to_owned(),
        ));
    };
    let architecture =
        architecture(OPERATION, request.architectures.as_deref())?.unwrap_or(Architecture::host());
    let changes = Changes {
        runtime: Some(runtime.clone()),
        handler: Some(handler),
        role: Some(std::mem::take(&mut request.role)),
        description: request.description.take(),
        timeout_s: request.timeout,
        memory_mib: request.memory_size,
        tmp_mib: request.ephemeral_storage.as_ref().map(|storage| storage.size),
        environment: request.environment.take().map(|environment| environment.variables.unwrap_or_default()),
        logging: request.logging_config.take().map(LoggingConfig::changes),
        tracing: request.tracing_config.take().and_then(|config| config.mode()),
        snap_start: request.snap_start.take().and_then(SnapStart::wanted),
        layers: None,
        dead_letter_arn: request.dead_letter_config.take().and_then(|config| config.target_arn),
        file_systems: None,
    };
    changes.check(target.account)?;
    let role = changes.role.as_deref().unwrap_or_default();
    check_dead_letters(lambda, target, OPERATION, role, changes.dead_letter_arn.as_deref()).await?;
    check_runtime(&runtime, &lambda.runtimes).await?;
    let mut settings = Settings::defaults(architecture);
    settings.tenant_isolation = request.tenancy_config.is_some();
    changes.apply(&mut settings)?;
    Ok(settings)
}
