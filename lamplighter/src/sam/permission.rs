//! `AWS::Lambda::Permission`: a statement in a function's policy, made anew under another id when it changed.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-lambda-permission.html>

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SamError;
use super::deploy::{Deployed, Nothing, found};
use super::node::Node;

/// A permission as its template describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PermissionSpec {
    function_name: String,
    /// `<resource's name>-<digest of what it says>`.
    statement_id: String,
    action: String,
    principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_url_auth_type: Option<String>,
    #[serde(rename = "PrincipalOrgID", skip_serializing_if = "Option::is_none")]
    principal_org_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_via_function_url: Option<bool>,
}

/// Reads a permission whose properties are resolved. `name` begins the ids of its statements.
pub(super) fn read(logical_id: &str, name: &str, properties: &Node) -> Result<PermissionSpec, SamError> {
    let mut spec = PermissionSpec::default();
    let mut digest = Sha256::new();
    for (key, node) in properties.entries("Properties")? {
        let text = node.text(key)?.to_owned();
        digest.update(format!("{key}={text}\n"));
        match key.as_str() {
            "FunctionName" => spec.function_name = text,
            "Action" => spec.action = text,
            "Principal" => spec.principal = text,
            "SourceArn" => spec.source_arn = Some(text),
            "SourceAccount" => spec.source_account = Some(text),
            "EventSourceToken" => spec.event_source_token = Some(text),
            "FunctionUrlAuthType" => spec.function_url_auth_type = Some(text),
            "PrincipalOrgID" => spec.principal_org_id = Some(text),
            "InvokedViaFunctionUrl" => spec.invoked_via_function_url = Some(node.truth(key)?),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the permission '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    for (what, value) in
        [("FunctionName", &spec.function_name), ("Action", &spec.action), ("Principal", &spec.principal)]
    {
        if value.is_empty() {
            return Err(SamError::at(
                properties.line,
                format!("the permission '{logical_id}' has no '{what}'"),
            ));
        }
    }
    let digest = digest.finalize();
    spec.statement_id =
        format!("{name}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]);
    Ok(spec)
}

/// Adds the permission and takes away what it said before.
///
/// # Errors
/// What Lambda says.
pub(crate) async fn deploy(call: &Call, spec: &PermissionSpec) -> Result<Deployed, ApiError> {
    let lambda = call.service("lambda");
    let (function_name, qualifier) = spec.target();
    let named = Named { function_name, qualifier, statement_id: None };
    let policy: Option<Policy> = found(lambda.invoke("GetPolicy", &named).await)?;
    let known = policy.map(|policy| sids(&policy.policy)).unwrap_or_default();
    if known.contains(&spec.statement_id) {
        return Ok(Deployed::Unchanged);
    }
    lambda.invoke::<_, Nothing>("AddPermission", spec).await?;
    let own = spec.statement_id.rsplit_once('-').map_or("", |(name, _)| name);
    let mut deployed = Deployed::Created;
    for old in known.iter().filter(|sid| sid.rsplit_once('-').is_some_and(|(name, _)| name == own)) {
        let remove = Named { statement_id: Some(old), ..named };
        lambda.invoke::<_, Nothing>("RemovePermission", &remove).await?;
        deployed = Deployed::Updated;
    }
    Ok(deployed)
}

impl PermissionSpec {
    /// The function, and the alias or version that its name may end with.
    fn target(&self) -> (&str, Option<&str>) {
        let name = &self.function_name;
        let prefix = name.rfind(":function:").map_or(0, |at| at + ":function:".len());
        match name[prefix..].find(':') {
            Some(colon) => (&name[..prefix + colon], Some(&name[prefix + colon + 1..])),
            None => (name, None),
        }
    }
}

fn sids(policy: &str) -> Vec<String> {
    let read: Result<Document, _> = serde_json::from_str(policy);
    read.map(|document| document.statement.into_iter().map(|statement| statement.sid).collect())
        .unwrap_or_default()
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    function_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement_id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    policy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    statement: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    #[serde(default)]
    sid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_permission_has_another_id() {
        let read = |source: &str| {
            let text = format!(
                "{{Action: lambda:InvokeFunction, FunctionName: 'arn:aws:lambda:us-east-1:1:function:f:live', Principal: sns.amazonaws.com, SourceArn: {source}}}"
            );
            read("P", "demo-P", &Node::parse(&text).unwrap()).unwrap()
        };
        let one = read("a");
        assert_eq!(one, read("a"));
        assert_ne!(one.statement_id, read("b").statement_id);
        assert_eq!(one.target(), ("arn:aws:lambda:us-east-1:1:function:f", Some("live")));
    }
}
