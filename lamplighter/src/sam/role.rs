//! A function's own role: what lets Lambda take it on, and what the function may do.
//!
//! What left the template is not taken away from the role: nothing is deleted here.

use base::ApiError;
use frontdoor::Call;
use serde::Serialize;

use super::SamError;
use super::deploy::Nothing;
use super::layer::texts;
use super::node::Node;

/// What lets Lambda take on a role.
const LAMBDA_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// A role as its function needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoleSpec {
    pub(crate) name: String,
    /// ARNs of managed policies.
    pub(crate) managed: Vec<String>,
    /// Policy documents, as JSON text.
    pub(crate) inline: Vec<String>,
}

/// Reads a role whose properties are resolved.
pub(super) fn read(name: &str, properties: &Node) -> Result<RoleSpec, SamError> {
    let mut spec = RoleSpec { name: name.to_owned(), managed: Vec::new(), inline: Vec::new() };
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "ManagedPolicyArns" => spec.managed = texts(node, key)?,
            "Policies" => spec.inline = node.items(key)?.iter().map(document).collect(),
            other => {
                return Err(SamError::at(node.line, format!("'{other}' of a role is not supported yet")));
            }
        }
    }
    spec.managed.dedup();
    Ok(spec)
}

/// A policy document as JSON text, with the language's newer version if it names none.
fn document(node: &Node) -> String {
    let mut document = node.to_json();
    if let Some(map) = document.as_object_mut() {
        map.entry("Version").or_insert_with(|| "2012-10-17".into());
    }
    document.to_string()
}

/// Makes the role and gives it its policies.
///
/// # Errors
/// What IAM says.
pub(crate) async fn deploy(call: &Call, spec: &RoleSpec) -> Result<(), ApiError> {
    let iam = call.service("iam");
    let role_name = &spec.name;
    let create = CreateRole { role_name, assume_role_policy_document: LAMBDA_TRUST };
    match iam.invoke::<_, serde::de::IgnoredAny>("CreateRole", &create).await {
        Ok(_) => {}
        Err(error) if error.code == "EntityAlreadyExists" => {}
        Err(error) => return Err(error),
    }
    for policy_arn in &spec.managed {
        let attach = AttachRolePolicy { role_name, policy_arn };
        iam.invoke::<_, Nothing>("AttachRolePolicy", &attach).await?;
    }
    for (number, policy_document) in spec.inline.iter().enumerate() {
        let policy_name = format!("{role_name}Policy{number}");
        let put = PutRolePolicy { role_name, policy_name: &policy_name, policy_document };
        iam.invoke::<_, Nothing>("PutRolePolicy", &put).await?;
    }
    Ok(())
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
