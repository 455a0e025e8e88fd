//! AddLayerVersionPermission, RemoveLayerVersionPermission and GetLayerVersionPolicy.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_AddLayerVersionPermission.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetLayerVersionPolicy.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::layers::own_layer;
use super::tags::Nothing;
use crate::Lambda;
use crate::error::LambdaError;
use crate::layers::LayerStatement;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddLayerVersionPermissionRequest {
    layer_name: String,
    version_number: i64,
    statement_id: String,
    /// Always `lambda:GetLayerVersion`: the model's pattern has nothing else.
    #[allow(dead_code)]
    action: String,
    principal: String,
    organization_id: Option<String>,
    revision_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddLayerVersionPermissionResponse {
    statement: String,
    revision_id: String,
}

/// Lets another account, everybody or an organisation use a layer version.
pub(crate) async fn add_layer_version_permission(
    lambda: Arc<Lambda>,
    call: Call,
    request: AddLayerVersionPermissionRequest,
) -> Result<AddLayerVersionPermissionResponse, LambdaError> {
    let layer = own_layer(&call, "AddLayerVersionPermission", &request.layer_name)?;
    let id = layer.version(request.version_number)?;
    let statement = LayerStatement {
        sid: request.statement_id,
        principal: request.principal,
        organization: request.organization_id,
    };
    let shown = statement.document(&id)?;
    let (at, revision_id) = (id.clone(), request.revision_id);
    let policy = lambda.functions.change_layer_policy(&id, move |policy| {
        policy.check_revision(revision_id.as_deref())?;
        policy.add(statement.clone(), &at)
    });
    Ok(AddLayerVersionPermissionResponse { statement: shown, revision_id: policy.await?.revision_id })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemoveLayerVersionPermissionRequest {
    layer_name: String,
    version_number: i64,
    statement_id: String,
    revision_id: Option<String>,
}

/// Takes a permission back. Functions that use the layer version go on.
pub(crate) async fn remove_layer_version_permission(
    lambda: Arc<Lambda>,
    call: Call,
    request: RemoveLayerVersionPermissionRequest,
) -> Result<Nothing, LambdaError> {
    let layer = own_layer(&call, "RemoveLayerVersionPermission", &request.layer_name)?;
    let id = layer.version(request.version_number)?;
    let change = lambda.functions.change_layer_policy(&id, move |policy| {
        policy.check_revision(request.revision_id.as_deref())?;
        policy.remove(&request.statement_id)
    });
    change.await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetLayerVersionPolicyRequest {
    layer_name: String,
    version_number: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetLayerVersionPolicyResponse {
    policy: String,
    revision_id: String,
}

/// The permissions of a layer version.
pub(crate) async fn get_layer_version_policy(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetLayerVersionPolicyRequest,
) -> Result<GetLayerVersionPolicyResponse, LambdaError> {
    let layer = own_layer(&call, "GetLayerVersionPolicy", &request.layer_name)?;
    let id = layer.version(request.version_number)?;
    if lambda.functions.layer_version(&id)?.is_none() {
        return Err(LambdaError::NotFound(id.does_not_exist()));
    }
    let policy = lambda.functions.layer_policy(&id)?.ok_or_else(|| {
        LambdaError::NotFound("No policy is associated with the given resource.".to_owned())
    })?;
    Ok(GetLayerVersionPolicyResponse { policy: policy.document(&id)?, revision_id: policy.revision_id })
}
