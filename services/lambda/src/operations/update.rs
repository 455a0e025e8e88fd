//! UpdateFunctionCode, UpdateFunctionConfiguration and DeleteFunction.
//!
//! Each is one transaction, and after it the environments of the older generation are let go. An invoke reads the
//! function after it came in, so none that starts after the answer sees what was before.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunction.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::code::{Source, architecture};
use super::shapes::{
    DeadLetterConfig, Environment, EphemeralStorage, FileSystemConfig, FunctionConfiguration, LoggingConfig,
    Shown, SnapStart, TracingConfig,
};
use super::targets::check_dead_letters;
use super::unsupported::{ImageConfig, VpcConfig, Wishes};
use super::{target, versions};
use crate::Lambda;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::check_revision;
use crate::name::{LATEST, Target};
use crate::record::{CodeRecord, FunctionRecord};
use crate::settings::{Changes, check_runtime};
use crate::version::{Named, Version};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateFunctionCodeRequest {
    function_name: String,
    zip_file: Option<wire::Blob>,
    #[serde(rename = "S3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "S3Key")]
    s3_key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    s3_object_version: Option<String>,
    image_uri: Option<String>,
    architectures: Option<Vec<String>>,
    publish: Option<bool>,
    dry_run: Option<bool>,
    revision_id: Option<String>,
}

/// Replaces a function's code.
pub(crate) async fn update_function_code(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateFunctionCodeRequest,
) -> Result<FunctionConfiguration, LambdaError> {
    const OPERATION: &str = "UpdateFunctionCode";
    let target = target(&call, OPERATION, &request.function_name, None)?;
    check_latest(&lambda, &target)?;
    let stored = lambda.functions.get(&target)?;
    check_revision(&stored, request.revision_id.as_deref())?;
    lambda.functions.check_unsigned_for(&target)?;
    let architecture = architecture(OPERATION, request.architectures.as_deref())?;
    let zip = Source {
        operation: OPERATION,
        zip_file: request.zip_file,
        s3_bucket: request.s3_bucket.as_deref(),
        s3_key: request.s3_key.as_deref(),
        s3_object_version: request.s3_object_version.as_deref(),
        image_uri: request.image_uri.as_deref(),
    }
    .zip()?;
    if request.dry_run == Some(true) {
        let size_bytes = zip.len() as u64;
        let (digest, unpacked_bytes) = lambda.packages.check(zip).await?;
        let code = CodeRecord { digest, size_bytes, unpacked_bytes };
        let record = FunctionRecord { code, ..stored };
        return Ok(FunctionConfiguration::of(&target, Version::Latest, &record, Shown::Settled));
    }
    let package = lambda.packages.add(zip).await?;
    let code = package.record();
    let change = move |record: &mut FunctionRecord| {
        record.code = code;
        record.settings.architecture = architecture.unwrap_or(record.settings.architecture);
        Ok(())
    };
    let publish = request.publish == Some(true);
    let written = lambda.functions.change_and_publish(&target, request.revision_id, publish, change).await?;
    let latest = changed(&lambda, &target, &written.latest, OPERATION);
    Ok(match &written.published {
        Some(published) => {
            versions::order_snapshot(&lambda, &target, published);
            versions::shown(&target, published, Shown::Creating)
        }
        None => latest,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateFunctionConfigurationRequest {
    function_name: String,
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    vpc_config: Option<VpcConfig>,
    environment: Option<Environment>,
    runtime: Option<String>,
    dead_letter_config: Option<DeadLetterConfig>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    tracing_config: Option<TracingConfig>,
    revision_id: Option<String>,
    layers: Option<Vec<String>>,
    file_system_configs: Option<Vec<FileSystemConfig>>,
    image_config: Option<ImageConfig>,
    ephemeral_storage: Option<EphemeralStorage>,
    snap_start: Option<SnapStart>,
    logging_config: Option<LoggingConfig>,
}

/// Changes a function's settings. What the request does not name stays.
pub(crate) async fn update_function_configuration(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateFunctionConfigurationRequest,
) -> Result<FunctionConfiguration, LambdaError> {
    const OPERATION: &str = "UpdateFunctionConfiguration";
    let target = target(&call, OPERATION, &request.function_name, None)?;
    check_latest(&lambda, &target)?;
    let before = lambda.functions.get(&target)?;
    check_revision(&before, request.revision_id.as_deref())?;
    Wishes {
        vpc: request.vpc_config.as_ref(),
        kms_key_arn: request.kms_key_arn.as_deref(),
        image: request.image_config.as_ref(),
    }
    .refuse(OPERATION)?;
    let changes = Changes {
        runtime: request.runtime,
        handler: request.handler,
        role: request.role,
        description: request.description,
        timeout_s: request.timeout,
        memory_mib: request.memory_size,
        tmp_mib: request.ephemeral_storage.map(|storage| storage.size),
        environment: request.environment.map(|environment| environment.variables.unwrap_or_default()),
        logging: request.logging_config.map(LoggingConfig::changes),
        tracing: request.tracing_config.and_then(|config| config.mode()),
        snap_start: request.snap_start.and_then(SnapStart::wanted),
        layers: request
            .layers
            .map(|arns| lambda.functions.choose_layers(&call, &target, &arns))
            .transpose()?,
        dead_letter_arn: request.dead_letter_config.map(|config| config.target_arn.unwrap_or_default()),
        file_systems: request
            .file_system_configs
            .map(|configs| lambda.access_points.choose(&target, FileSystemConfig::records(configs)))
            .transpose()?,
    };
    changes.check(target.account)?;
    let role = changes.role.as_deref().unwrap_or(&before.settings.role);
    check_dead_letters(&lambda, &target, OPERATION, role, changes.dead_letter_arn.as_deref()).await?;
    if let Some(runtime) = &changes.runtime {
        check_runtime(runtime, &lambda.runtimes).await?;
    }
    if let Some(layers) = &changes.layers {
        let packages: Vec<_> = layers.iter().map(|layer| layer.content.digest).collect();
        if !packages.is_empty() {
            lambda.functions.check_unsigned_for(&target)?;
        }
        lambda.packages.ensure_stack(&packages).await?;
    }
    let change = move |record: &mut FunctionRecord| changes.apply(&mut record.settings);
    let record = lambda.functions.change(&target, request.revision_id, change).await?;
    Ok(changed(&lambda, &target, &record, OPERATION))
}

fn changed(
    lambda: &Arc<Lambda>,
    target: &Target,
    record: &FunctionRecord,
    operation: &str,
) -> FunctionConfiguration {
    lambda.invoker.retire(&FunctionConfig::key_of(&target.arn(), LATEST), record.generation);
    tracing::info!(function = %target.arn(), generation = record.generation, operation, "function changed");
    lambda.foresee(target);
    FunctionConfiguration::of(target, Version::Latest, record, Shown::Updating)
}

/// Only `$LATEST` is ever changed.
fn check_latest(lambda: &Lambda, target: &Target) -> Result<(), LambdaError> {
    if target.named() == Named::Version(Version::Latest) {
        return Ok(());
    }
    lambda.functions.check_qualifier(target)?;
    Err(LambdaError::InvalidParameter(format!(
        "{} cannot be changed: published versions and their aliases keep their code and configuration. Name the function \
         without a qualifier to change $LATEST.",
        target.qualified_arn()
    )))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteFunctionRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteFunctionResponse {
    /// The HTTP status: the model binds it.
    status_code: i32,
}

/// Deletes a function, or one published version of it. Its log group stays, as with AWS.
pub(crate) async fn delete_function(
    lambda: Arc<Lambda>,
    call: Call,
    request: DeleteFunctionRequest,
) -> Result<DeleteFunctionResponse, LambdaError> {
    let target = target(&call, "DeleteFunction", &request.function_name, request.qualifier.as_deref())?;
    match target.named() {
        Named::Version(Version::Latest) if target.qualifier.is_some() => {
            lambda.functions.row(&target)?;
            return Err(LambdaError::InvalidParameter(
                "$LATEST version cannot be deleted without deleting the function.".to_owned(),
            ));
        }
        Named::Alias(_) => {
            return Err(LambdaError::InvalidParameter(
                "Deletion of aliases is not currently supported.".to_owned(),
            ));
        }
        Named::Version(Version::Latest) => {
            let deleted = lambda.functions.delete(&target).await?;
            lambda.let_go(&target, Version::Latest, &deleted.latest);
            lambda.forget_events(&target);
            for (number, record) in &deleted.versions {
                lambda.let_go(&target, Version::Number(*number), record);
            }
            tracing::info!(function = %target.arn(), versions = deleted.versions.len(), "function deleted");
        }
        Named::Version(Version::Number(number)) => {
            if let Some(record) = lambda.functions.delete_version(&target, number).await? {
                lambda.let_go(&target, Version::Number(number), &record);
                tracing::info!(function = %target.arn(), version = number, "version deleted");
            }
        }
    }
    lambda.provision(&target).await;
    Ok(DeleteFunctionResponse { status_code: 204 })
}
