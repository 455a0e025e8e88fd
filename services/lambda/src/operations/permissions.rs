//! AddPermission, RemovePermission and GetPolicy: a resource policy, statement by statement.
//!
//! The document as a whole is `resource_policy`'s; what it means is `policy`'s.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use policy::{Conditions, Effect, OneOrMany, Pairs, PrincipalBlock, Scalar, Statement};
use serde::{Deserialize, Serialize};

use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::{LATEST, Target};
use crate::policy::kept::{PolicyRow, kept_at, resource_of};
use crate::policy::{Policy, to_json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermissionRequest {
    function_name: String,
    qualifier: Option<String>,
    statement_id: String,
    action: String,
    principal: String,
    source_arn: Option<String>,
    source_account: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    event_source_token: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    revision_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermissionResponse {
    statement: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemovePermissionRequest {
    function_name: String,
    qualifier: Option<String>,
    statement_id: String,
    revision_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetPolicyRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetPolicyResponse {
    policy: String,
    revision_id: String,
}

/// Adds a statement to the policy of a function, a version or an alias.
pub(crate) async fn add_permission(
    lambda: Arc<Lambda>,
    call: Call,
    request: AddPermissionRequest,
) -> Result<AddPermissionResponse, LambdaError> {
    let target =
        owner(&lambda, &call, "AddPermission", &request.function_name, request.qualifier.as_deref())?;
    if target.qualifier.as_deref() == Some(LATEST) {
        return Err(LambdaError::InvalidParameter(
            "We currently do not support adding policies for $LATEST.".to_owned(),
        ));
    }
    let statement = statement_of(&request, &target)?;
    let shown = to_json(&statement)?;
    let fresh_id = uuid::Uuid::new_v4().to_string();
    let add = move |row: Option<PolicyRow>| {
        PolicyRow::check(row.as_ref(), request.revision_id.as_deref())?;
        let mut policy = match row {
            Some(row) => Policy::stored(&row.text)?,
            None => Policy::empty(),
        };
        policy.add(statement.clone())?;
        Ok(Some(PolicyRow { revision_id: fresh_id.clone(), text: policy.text()? }))
    };
    lambda.functions.change_aspect(&target, kept_at(&target), add).await?;
    Ok(AddPermissionResponse { statement: shown })
}

/// Removes a statement; the last one takes the policy with it.
pub(crate) async fn remove_permission(
    lambda: Arc<Lambda>,
    call: Call,
    request: RemovePermissionRequest,
) -> Result<(), LambdaError> {
    let name = &request.function_name;
    let target = owner(&lambda, &call, "RemovePermission", name, request.qualifier.as_deref())?;
    let fresh_id = uuid::Uuid::new_v4().to_string();
    let remove = move |row: Option<PolicyRow>| {
        let Some(row) = row else {
            return Err(LambdaError::NotFound("No policy is associated with the given resource.".to_owned()));
        };
        PolicyRow::check(Some(&row), request.revision_id.as_deref())?;
        let mut policy = Policy::stored(&row.text)?;
        if !policy.remove(&request.statement_id) {
            let sid = &request.statement_id;
            return Err(LambdaError::NotFound(format!("Statement {sid} is not found in resource policy.")));
        }
        if policy.is_empty() {
            return Ok(None);
        }
        Ok(Some(PolicyRow { revision_id: fresh_id.clone(), text: policy.text()? }))
    };
    lambda.functions.change_aspect(&target, kept_at(&target), remove).await?;
    Ok(())
}

/// The policy of a function, a version or an alias.
pub(crate) async fn get_policy(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetPolicyRequest,
) -> Result<GetPolicyResponse, LambdaError> {
    let target = target(&call, "GetPolicy", &request.function_name, request.qualifier.as_deref())?;
    let row = policy_row(&lambda, &target)?;
    Ok(GetPolicyResponse { policy: row.text, revision_id: row.revision_id })
}

/// The stored policy.
///
/// # Errors
/// `ResourceNotFoundException` when there is none.
pub(super) fn policy_row(lambda: &Lambda, target: &Target) -> Result<PolicyRow, LambdaError> {
    let row = lambda.functions.aspect(target, kept_at(target))?;
    row.ok_or_else(|| LambdaError::NotFound("The resource you requested does not exist.".to_owned()))
}

/// What a policy belongs to; it must exist.
fn owner(
    lambda: &Lambda,
    call: &Call,
    operation: &'static str,
    function_name: &str,
    qualifier: Option<&str>,
) -> Result<Target, LambdaError> {
    let target = target(call, operation, function_name, qualifier)?;
    lambda.functions.check_qualifier(&target)?;
    Ok(target)
}

/// The statement that a request asks for, in AWS's form.
fn statement_of(request: &AddPermissionRequest, target: &Target) -> Result<Statement, LambdaError> {
    let only_for = |member: &str, action: &str| {
        Err(LambdaError::InvalidParameter(format!("{member} is only supported for {action} action")))
    };
    if request.function_url_auth_type.is_some() && request.action != "lambda:InvokeFunctionUrl" {
        return only_for("FunctionUrlAuthType", "lambda:InvokeFunctionUrl");
    }
    if request.invoked_via_function_url.is_some() && request.action != "lambda:InvokeFunction" {
        return only_for("InvokedViaFunctionUrl", "lambda:InvokeFunction");
    }
    Ok(Statement {
        sid: Some(request.statement_id.clone()),
        effect: Effect::Allow,
        principal: Some(principal_of(&request.principal)?),
        not_principal: None,
        action: Some(OneOrMany::One(request.action.clone())),
        not_action: None,
        resource: Some(OneOrMany::One(resource_of(target))),
        not_resource: None,
        condition: conditions_of(request),
    })
}

fn conditions_of(request: &AddPermissionRequest) -> Option<Conditions> {
    let text = |key: &str, value: &Option<String>| {
        value.as_ref().map(|value| (key.to_owned(), OneOrMany::One(Scalar::Text(value.clone()))))
    };
    let equal = [
        text("AWS:SourceAccount", &request.source_account),
        text("aws:PrincipalOrgID", &request.principal_org_id),
        text("lambda:EventSourceToken", &request.event_source_token),
        text("lambda:FunctionUrlAuthType", &request.function_url_auth_type),
    ];
    let via_url = request.invoked_via_function_url.map(|truth| truth.to_string());
    let operators = [
        ("StringEquals", equal.into_iter().flatten().collect::<Vec<_>>()),
        ("ArnLike", text("AWS:SourceArn", &request.source_arn).into_iter().collect()),
        ("Bool", text("lambda:InvokedViaFunctionUrl", &via_url).into_iter().collect()),
    ];
    let used = operators.into_iter().filter(|(_, keys)| !keys.is_empty());
    let conditions: Vec<_> = used.map(|(operator, keys)| (operator.to_owned(), Pairs(keys))).collect();
    if conditions.is_empty() { None } else { Some(Pairs(conditions)) }
}

/// `*`, an account, an ARN of IAM or STS, or a service's host name.
fn principal_of(text: &str) -> Result<PrincipalBlock, LambdaError> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if text == "*" {
        return Ok(PrincipalBlock::everyone());
    }
    if is_account(text) {
        return Ok(PrincipalBlock::one("AWS", format!("arn:aws:iam::{text}:root")));
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    if let ["arn", partition, "iam" | "sts", "", account, resource] = fields.as_slice()
        && partition.starts_with("aws")
        && is_account(account)
        && !resource.is_empty()
    {
        return Ok(PrincipalBlock::one("AWS", text));
    }
    let of_host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let services = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com", ".aws.internal"];
    if text.bytes().all(of_host) && services.iter().any(|end| text.ends_with(end) && text.len() > end.len()) {
        return Ok(PrincipalBlock::one("Service", text));
    }
    Err(LambdaError::InvalidParameter(
        "The provided principal was invalid. Please check the principal and try again.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_get_their_kind() {
        let shown = |text: &str| principal_of(text).map(|block| to_json(&block).unwrap()).ok();
        assert_eq!(shown("*").unwrap(), r#""*""#);
        assert_eq!(shown("111122223333").unwrap(), r#"{"AWS":"arn:aws:iam::111122223333:root"}"#);
        assert_eq!(shown("s3.amazonaws.com").unwrap(), r#"{"Service":"s3.amazonaws.com"}"#);
        assert_eq!(shown("alexa-appkit.amazon.com").unwrap(), r#"{"Service":"alexa-appkit.amazon.com"}"#);
        let role = "arn:aws:iam::111122223333:role/r";
        assert_eq!(shown(role).unwrap(), format!(r#"{{"AWS":"{role}"}}"#));
        for bad in [
            "",
            "me",
            "1234",
            "s3.example.com",
            "arn:aws:s3:::bucket",
            "arn:aws:iam::1:root",
            ".amazonaws.com",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
