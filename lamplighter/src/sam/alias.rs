//! `AutoPublishAlias`: a version for each new state of a function, and an alias that leads to the newest.
//!
//! As in SAM a version is published when the code is new; with `AutoPublishAliasAllProperties` also when the settings
//! are. What is compared is what the alias leads to, so a deployment that was cut off is made up for by the next one.
//! It deletes neither versions nor aliases.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html>.

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

/// `AutoPublishAlias` and what goes with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AutoPublish {
    /// The alias; without one nothing is published.
    pub(crate) alias: Option<String>,
    /// `AutoPublishAliasAllProperties`.
    pub(crate) all_properties: bool,
    /// `VersionDescription`.
    pub(crate) description: Option<String>,
}

/// Publishes a version if there is something new, and leads the alias to it. Says whether anything was changed.
pub(super) async fn publish(
    call: &Call,
    function_name: &str,
    wanted: &AutoPublish,
    code_sha256: &str,
) -> Result<bool, ApiError> {
    let Some(alias) = wanted.alias.as_deref() else { return Ok(false) };
    let lambda = call.service("lambda");
    let qualified = Qualified { function_name, qualifier: alias };
    let led_to = match lambda.invoke::<_, Version>("GetFunctionConfiguration", &qualified).await {
        Ok(version) => Some(version),
        Err(error) if error.code == "ResourceNotFoundException" => None,
        Err(error) => return Err(error),
    };
    let is_new = led_to.as_ref().is_none_or(|version| version.code_sha256 != code_sha256);
    if !is_new && !wanted.all_properties {
        return Ok(false);
    }
    let publish = PublishVersion { function_name, description: wanted.description.as_deref() };
    let published = lambda.invoke::<_, Version>("PublishVersion", &publish).await?;
    let operation = match &led_to {
        None => "CreateAlias",
        Some(version) if version.version != published.version => "UpdateAlias",
        Some(_) => return Ok(false),
    };
    let lead = Lead { function_name, name: alias, function_version: &published.version };
    lambda.invoke::<_, Nothing>(operation, &lead).await?;
    Ok(true)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Qualified<'a> {
    function_name: &'a str,
    qualifier: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PublishVersion<'a> {
    function_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Lead<'a> {
    function_name: &'a str,
    name: &'a str,
    function_version: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    code_sha256: String,
}

#[derive(Deserialize)]
struct Nothing {}
