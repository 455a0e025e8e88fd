//! `FunctionUrlConfig`: a function's own address, and for a public one the permissions that SAM gives it.
//!
//! With `AutoPublishAlias` the address is the alias's, as in SAM. It is never taken away.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-functionurlconfig.html>.

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::Deployed;
use super::node::Node;

/// The property as the template has it, with whose address it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UrlSpec {
    pub(crate) function_name: String,
    qualifier: Option<String>,
    auth_type: String,
    invoke_mode: Option<String>,
    /// Passed on as it is: Lambda judges it.
    cors: Option<serde_json::Value>,
}

/// Reads `FunctionUrlConfig`.
pub(super) fn read(node: &Node) -> Result<UrlSpec, SamError> {
    let mut auth_type = None;
    let (mut invoke_mode, mut cors) = (None, None);
    let (mut function_name, mut qualifier) = (String::new(), None);
    for (key, node) in node.entries("FunctionUrlConfig")? {
        match key.as_str() {
            "FunctionName" => node.text(key)?.clone_into(&mut function_name),
            "Qualifier" => qualifier = Some(node.text(key)?.to_owned()),
            "AuthType" => auth_type = Some(node.text(key)?.to_owned()),
            "InvokeMode" => invoke_mode = Some(node.text(key)?.to_owned()),
            "Cors" => cors = Some(node.to_json()),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("'FunctionUrlConfig.{other}' is not supported yet"),
                ));
            }
        }
    }
    let missing = || SamError::at(node.line, "'FunctionUrlConfig' has no 'AuthType'");
    let auth_type = auth_type.ok_or_else(missing)?;
    Ok(UrlSpec { function_name, qualifier, auth_type, invoke_mode, cors })
}

/// Brings a function's URL to what the template says; the address.
///
/// # Errors
/// What Lambda says of the configuration.
pub(crate) async fn deploy(call: &Call, wanted: &UrlSpec) -> Result<(Deployed, String), ApiError> {
    let lambda = call.service("lambda");
    let named = Named { function_name: &wanted.function_name, qualifier: wanted.qualifier.as_deref() };
    let config = Config {
        named,
        auth_type: &wanted.auth_type,
        invoke_mode: wanted.invoke_mode(),
        cors: wanted.cors(),
    };
    let (deployed, found) = match lambda.invoke::<_, Found>("GetFunctionUrlConfig", &named).await {
        Ok(found) if wanted.is(&found) => (Deployed::Unchanged, found),
        Ok(_) => (Deployed::Updated, lambda.invoke("UpdateFunctionUrlConfig", &config).await?),
        Err(error) if error.code == "ResourceNotFoundException" => {
            (Deployed::Created, lambda.invoke("CreateFunctionUrlConfig", &config).await?)
        }
        Err(error) => return Err(error),
    };
    if wanted.auth_type == "NONE" {
        permit(call, named).await?;
    }
    Ok((deployed, found.function_url))
}

/// Opens a URL to everyone, with the statements that SAM makes.
async fn permit(call: &Call, named: Named<'_>) -> Result<(), ApiError> {
    let lambda = call.service("lambda");
    let url = Permission {
        named,
        statement_id: "FunctionURLAllowPublicAccess",
        action: "lambda:InvokeFunctionUrl",
        principal: "*",
        function_url_auth_type: Some("NONE"),
        invoked_via_function_url: None,
    };
    let invoke = Permission {
        statement_id: "FunctionURLInvokeAllowPublicAccess",
        action: "lambda:InvokeFunction",
        function_url_auth_type: None,
        invoked_via_function_url: Some(true),
        ..url
    };
    for permission in [url, invoke] {
        match lambda.invoke::<_, Nothing>("AddPermission", &permission).await {
            Ok(_) => {}
            Err(error) if error.code == "ResourceConflictException" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl UrlSpec {
    fn invoke_mode(&self) -> &str {
        self.invoke_mode.as_deref().unwrap_or("BUFFERED")
    }

    /// Said always, so that what left the template is reset.
    fn cors(&self) -> serde_json::Value {
        self.cors.clone().unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()))
    }

    fn is(&self, found: &Found) -> bool {
        let no_cors = || serde_json::Value::Object(serde_json::Map::new());
        found.auth_type == self.auth_type
            && found.invoke_mode == self.invoke_mode()
            && found.cors.clone().unwrap_or_else(no_cors) == self.cors()
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    function_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config<'a> {
    #[serde(flatten)]
    named: Named<'a>,
    auth_type: &'a str,
    invoke_mode: &'a str,
    cors: serde_json::Value,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Permission<'a> {
    #[serde(flatten)]
    named: Named<'a>,
    statement_id: &'a str,
    action: &'a str,
    principal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_url_auth_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_via_function_url: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    function_url: String,
    auth_type: String,
    invoke_mode: String,
    cors: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Nothing {}
