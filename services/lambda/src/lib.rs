//! AWS Lambda: functions as records in the store, their packages on disk, and the API over both.
//!
//! The control plane decides what a function *is*; `fleet`, `runtime_api` and `invoke` run it. The two meet in
//! [`function::FunctionConfig`], an immutable snapshot of one version, and in [`invoker::Invoker`].
//!
//! | room | what is in it |
//! | --- | --- |
//! | `operations` | one file for each group of operations: check, call the domain, shape the answer |
//! | `settings` | which values settings may have |
//! | `functions`, `record`, `keys` | functions in the store |
//! | `version`, `versions`, `aliases` | published versions, and the names that lead to them |
//! | `resolve` | from a name to a snapshot |
//! | `code_signing`, `runtime_updates` | what belongs to a function beside its configuration |
//! | `snapstart` | where the snapshots of published versions stand |
//! | `aspects` | what belongs to a function but is no part of its configuration, such as its policy |
//! | `url` | function URLs: addresses, requests to events, answers to responses |
//! | `policy` | resource policies: their grammar, and what they permit |
//! | `layers` | layer versions in the store, and which of them a function has |
//! | `package` | from a zip to a directory that a box can mount |
//! | `lambda` | what the operations share |
//! | `mappings` | event source mappings: functions that are fed from queues |
//! | `asynchronous` | events on disk, and their way to the function |
//! | `fleet`, `runtime_api`, `invoke` | execution environments and what happens in them |
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/api/welcome.html>.
//!
//! **Invariant:** truth is in the store. What is in memory (the cache of snapshots) is compared with it at each use.
//! **Invariant:** a change of a function is one transaction, and has a generation of its own.

mod aliases;
#[cfg(test)]
mod api_tests;
mod aspects;
mod asynchronous;
pub mod capacity;
mod code_signing;
mod error;
pub mod fleet;
pub mod function;
mod functions;
pub mod invoke;
pub mod invoker;
mod keys;
mod lambda;
mod layers;
pub mod mappings;
pub mod metering;
mod name;
mod operations;
mod package;
mod policy;
mod record;
mod resolve;
pub mod runtime_api;
mod runtime_updates;
mod settings;
mod snapstart;
mod url;
mod version;
mod versions;

use std::sync::Arc;

use frontdoor::Service;

pub use asynchronous::EventCounts;
pub use error::LambdaError;
pub use lambda::{AccountLimits, CodeUrl, Lambda, LambdaDeps};
pub use package::PackageError;
pub use settings::{AccessPoints, RuntimeCheck, host_runtimes};
pub use url::FunctionUrls;

use operations::{
    concurrency, create, event_invoke, invoke as run, layer_policies, layers as layer, provisioned, read,
    recursion, tags, unsupported, update,
};

/// A body with a 50 MiB zip in base64, and room for the other members: AWS's number.
const MAX_UPLOAD_BYTES: usize = 70_167_211;

/// What the support table says of `SnapStart`.
const SNAP_START: &str =
    "snapshots of Python functions on x86-64; others start plainly, with `OptimizationStatus` `Off`";
/// What the support table says of `TracingConfig`.
const TRACING: &str = "`Active` samples the trace header; no traces are recorded";

/// What the support table says of `DeadLetterConfig`.
const DEAD_LETTERS: &str = "standard queues and topics; the policies of the role are not looked at yet";
/// What the support table says of `DestinationConfig`.
const DESTINATIONS: &str = "functions, standard queues and topics: no other target is here yet";

/// The table of operations.
#[must_use]
pub fn service(lambda: Arc<Lambda>) -> Service {
    let table = Service::new("lambda", lambda)
        .on("CreateFunction", create::create_function)
        .on("GetFunction", read::get_function)
        .on("GetFunctionConfiguration", read::get_function_configuration)
        .on("UpdateFunctionCode", update::update_function_code)
        .on("UpdateFunctionConfiguration", update::update_function_configuration)
        .on("DeleteFunction", update::delete_function)
        .on("ListFunctions", read::list_functions)
        .on("PublishVersion", operations::versions::publish_version)
        .on("ListVersionsByFunction", operations::versions::list_versions_by_function)
        .on("CreateAlias", operations::aliases::create_alias)
        .on("GetAlias", operations::aliases::get_alias)
        .on("UpdateAlias", operations::aliases::update_alias)
        .on("DeleteAlias", operations::aliases::delete_alias)
        .on("ListAliases", operations::aliases::list_aliases)
        .on("CreateCodeSigningConfig", operations::code_signing::create_code_signing_config)
        .on("GetCodeSigningConfig", operations::code_signing::get_code_signing_config)
        .on("UpdateCodeSigningConfig", operations::code_signing::update_code_signing_config)
        .on("DeleteCodeSigningConfig", operations::code_signing::delete_code_signing_config)
        .on("ListCodeSigningConfigs", operations::code_signing::list_code_signing_configs)
        .on(
            "ListFunctionsByCodeSigningConfig",
            operations::code_signing::list_functions_by_code_signing_config,
        )
        .on("PutFunctionCodeSigningConfig", operations::code_signing::put_function_code_signing_config)
        .on("GetFunctionCodeSigningConfig", operations::code_signing::get_function_code_signing_config)
        .on("DeleteFunctionCodeSigningConfig", operations::code_signing::delete_function_code_signing_config)
        .on("PutRuntimeManagementConfig", operations::runtime_updates::put_runtime_management_config)
        .on("GetRuntimeManagementConfig", operations::runtime_updates::get_runtime_management_config)
        .on("Invoke", run::invoke)
        .on("AddPermission", operations::permissions::add_permission)
        .on("RemovePermission", operations::permissions::remove_permission)
        .on("GetPolicy", operations::permissions::get_policy)
        .on("PutResourcePolicy", operations::resource_policy::put_resource_policy)
        .on("GetResourcePolicy", operations::resource_policy::get_resource_policy)
        .on("DeleteResourcePolicy", operations::resource_policy::delete_resource_policy)
        .on("CreateFunctionUrlConfig", operations::urls::create_function_url_config)
        .on("GetFunctionUrlConfig", operations::urls::get_function_url_config)
        .on("UpdateFunctionUrlConfig", operations::urls::update_function_url_config)
        .on("DeleteFunctionUrlConfig", operations::urls::delete_function_url_config)
        .on("ListFunctionUrlConfigs", operations::urls::list_function_url_configs)
        .on("CreateEventSourceMapping", mappings::operations::create_event_source_mapping)
        .on("GetEventSourceMapping", mappings::operations::get_event_source_mapping)
        .on("UpdateEventSourceMapping", mappings::operations::update_event_source_mapping)
        .on("DeleteEventSourceMapping", mappings::operations::delete_event_source_mapping)
        .on("ListEventSourceMappings", mappings::operations::list_event_source_mappings)
        .on_stream("InvokeWithResponseStream", operations::invoke_stream::invoke_with_response_stream)
        .on("InvokeAsync", event_invoke::invoke_async)
        .on("PutFunctionEventInvokeConfig", event_invoke::put_function_event_invoke_config)
        .on("UpdateFunctionEventInvokeConfig", event_invoke::update_function_event_invoke_config)
        .on("GetFunctionEventInvokeConfig", event_invoke::get_function_event_invoke_config)
        .on("DeleteFunctionEventInvokeConfig", event_invoke::delete_function_event_invoke_config)
        .on("ListFunctionEventInvokeConfigs", event_invoke::list_function_event_invoke_configs)
        .on("GetFunctionRecursionConfig", recursion::get_function_recursion_config)
        .on("PutFunctionRecursionConfig", recursion::put_function_recursion_config)
        .on("TagResource", tags::tag_resource)
        .on("UntagResource", tags::untag_resource)
        .on("ListTags", tags::list_tags)
        .on("GetAccountSettings", read::get_account_settings)
        .on("PublishLayerVersion", layer::publish_layer_version)
        .on("ListLayers", layer::list_layers)
        .on("ListLayerVersions", layer::list_layer_versions)
        .on("GetLayerVersion", layer::get_layer_version)
        .on("GetLayerVersionByArn", layer::get_layer_version_by_arn)
        .on("DeleteLayerVersion", layer::delete_layer_version)
        .on("AddLayerVersionPermission", layer_policies::add_layer_version_permission)
        .on("RemoveLayerVersionPermission", layer_policies::remove_layer_version_permission)
        .on("GetLayerVersionPolicy", layer_policies::get_layer_version_policy)
        .on("PutFunctionConcurrency", concurrency::put_function_concurrency)
        .on("GetFunctionConcurrency", concurrency::get_function_concurrency)
        .on("DeleteFunctionConcurrency", concurrency::delete_function_concurrency)
        .on("PutProvisionedConcurrencyConfig", provisioned::put_provisioned_concurrency_config)
        .on("GetProvisionedConcurrencyConfig", provisioned::get_provisioned_concurrency_config)
        .on("DeleteProvisionedConcurrencyConfig", provisioned::delete_provisioned_concurrency_config)
        .on("ListProvisionedConcurrencyConfigs", provisioned::list_provisioned_concurrency_configs)
        .body_limit(
            "CreateFunction",
            MAX_UPLOAD_BYTES,
            "Request must be smaller than 70167211 bytes for the CreateFunction operation",
        )
        .body_limit(
            "UpdateFunctionCode",
            MAX_UPLOAD_BYTES,
            "Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation",
        )
        .body_limit(
            "PublishLayerVersion",
            MAX_UPLOAD_BYTES,
            "Request must be smaller than 70167211 bytes for the PublishLayerVersion operation",
        )
        .body_limit("Invoke", run::MAX_PAYLOAD_BYTES, run::PAYLOAD_TOO_LARGE)
        .body_limit("InvokeWithResponseStream", run::MAX_PAYLOAD_BYTES, run::PAYLOAD_TOO_LARGE)
        .body_limit("InvokeAsync", run::MAX_PAYLOAD_BYTES, run::PAYLOAD_TOO_LARGE);
    let configurable = ["CreateFunction", "UpdateFunctionConfiguration"];
    configurable
        .iter()
        .flat_map(|operation| unsupported::TAKEN.map(|(member, taken)| (*operation, member, taken)))
        .chain([
            ("CreateFunction", "Code", "`ZipFile` only"),
            ("CreateFunction", "DeadLetterConfig", DEAD_LETTERS),
            ("UpdateFunctionConfiguration", "DeadLetterConfig", DEAD_LETTERS),
            ("PutFunctionEventInvokeConfig", "DestinationConfig", DESTINATIONS),
            ("UpdateFunctionEventInvokeConfig", "DestinationConfig", DESTINATIONS),
            ("CreateFunction", "PackageType", "`Zip` only"),
            ("CreateFunction", "SnapStart", SNAP_START),
            ("UpdateFunctionConfiguration", "SnapStart", SNAP_START),
            ("CreateFunction", "TracingConfig", TRACING),
            ("UpdateFunctionConfiguration", "TracingConfig", TRACING),
            ("PutRuntimeManagementConfig", "RuntimeVersionArn", "the ARN that `RuntimeVersionConfig` shows"),
            ("UpdateFunctionCode", "S3Bucket", "refused; send `ZipFile`"),
            ("UpdateFunctionCode", "ImageUri", "refused; send `ZipFile`"),
            ("CreateEventSourceMapping", "EventSourceArn", "queues of Amazon SQS"),
            ("PublishLayerVersion", "Content", "`ZipFile` only"),
        ])
        .chain(mappings::MEMBERS_OF_OTHERS.iter().flat_map(|&(operations, member)| {
            operations.iter().map(move |&operation| (operation, member, mappings::OF_OTHERS))
        }))
        .fold(table, |table, (operation, member, taken)| table.partly(operation, member, taken))
        .build()
}
