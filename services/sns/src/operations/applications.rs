//! CreatePlatformApplication, GetPlatformApplicationAttributes, SetPlatformApplicationAttributes,
//! ListPlatformApplications and DeletePlatformApplication.
//!
//! Nothing is sent to a push service, so nobody checks credentials; they are kept and never shown. Events of endpoints
//! (`EventEndpointCreated` and the like) and reports of deliveries are refused by name.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_CreatePlatformApplication.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{KeyReader, TxError, value};

use super::paging;
use super::sms::scope_of;
use crate::Sns;
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::outside::apps::{AppName, Application, PLATFORMS};

/// Applications of one answer.
const PAGE: usize = 100;
/// The longest name.
const MAX_NAME: usize = 256;
/// Attributes that are kept; those that are shown come with `true`.
const KNOWN: [(&str, bool); 6] = [
    ("PlatformCredential", false),
    ("PlatformPrincipal", false),
    ("ApplePlatformTeamID", true),
    ("ApplePlatformBundleID", true),
    ("AuthenticationMethod", true),
    ("Enabled", false),
];
/// Attributes that AWS has and nothing here acts on.
const REFUSED: [&str; 7] = [
    "EventEndpointCreated",
    "EventEndpointDeleted",
    "EventEndpointUpdated",
    "EventDeliveryFailure",
    "SuccessFeedbackRoleArn",
    "FailureFeedbackRoleArn",
    "SuccessFeedbackSampleRate",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    name: String,
    platform: String,
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    platform_application_arn: String,
}

pub(crate) async fn create(sns: Arc<Sns>, call: Call, request: Create) -> Result<Created, SnsError> {
    let Create { name, platform, attributes } = request;
    check_name(&name)?;
    if !PLATFORMS.contains(&platform.as_str()) {
        return Err(SnsError::InvalidParameter(format!("Platform Reason: {platform} is not supported")));
    }
    let enabled = check_attributes(&attributes)?;
    if attributes.get("PlatformCredential").is_none_or(String::is_empty) {
        return Err(SnsError::InvalidParameter(
            "Attributes Reason: PlatformCredential attribute is required".to_owned(),
        ));
    }
    let name = AppName { scope: scope_of(&call), platform, name };
    let arn = name.to_string();
    let made = Application { is_enabled: enabled.unwrap_or(true), attributes };
    let outcome = sns.store.transact_with(move |tx| {
        let key = keys::application(&name);
        match tx.get(&key)? {
            Some(bytes) if value::decode::<Application>(VERSION, &bytes)? == made => {}
            Some(_) => {
                return Ok(Err(SnsError::InvalidParameter(format!(
                    "Attributes Reason: Platform application {name} already exists with different attributes"
                ))));
            }
            None => tx.put(key, value::encode(VERSION, &made))?,
        }
        Ok(Ok(()))
    });
    outcome.await??;
    Ok(Created { platform_application_arn: arn })
}

fn check_name(name: &str) -> Result<(), SnsError> {
    let is_fine = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_fine {
        return Ok(());
    }
    Err(SnsError::InvalidParameter(format!(
        "Name Reason: must be at most {MAX_NAME} characters long, and contain only characters in the range \
         'a-z', 'A-Z', '0-9', '_', '-', and '.'"
    )))
}

/// Checks what is given; says what `Enabled` is, if it is given.
fn check_attributes(attributes: &BTreeMap<String, String>) -> Result<Option<bool>, SnsError> {
    for name in attributes.keys() {
        if REFUSED.contains(&name.as_str()) {
            return Err(SnsError::InvalidParameter(format!(
                "Attributes Reason: {name} is not supported by Lamplighter yet"
            )));
        }
        if !KNOWN.iter().any(|(known, _)| known == name) {
            return Err(SnsError::InvalidParameter(format!(
                "Attributes Reason: Invalid attribute name: {name}"
            )));
        }
    }
    attributes.get("Enabled").map(|value| super::endpoints::truth("Enabled", value)).transpose()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct One {
    platform_application_arn: String,
}

/// The caller's own application.
pub(super) fn own(call: &Call, arn: &str) -> Result<AppName, SnsError> {
    let name = AppName::parse("PlatformApplicationArn", arn)?;
    check_owner(call, &name.scope)?;
    Ok(name)
}

/// Platform applications have no policies: they are their account's alone.
pub(super) fn check_owner(call: &Call, scope: &Scope) -> Result<(), SnsError> {
    if *scope == scope_of(call) {
        return Ok(());
    }
    Err(SnsError::NotAuthorized(format!(
        "User: {} is not authorized to perform this action on a resource of account {} in {}",
        call.principal().arn(),
        scope.account,
        scope.region
    )))
}

pub(super) fn no_application() -> SnsError {
    SnsError::Other { code: "NotFoundException", message: "PlatformApplication does not exist".to_owned() }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    attributes: BTreeMap<String, String>,
}

fn shown(application: &Application) -> BTreeMap<String, String> {
    let is_shown = |name: &str| KNOWN.iter().any(|(known, shown)| *known == name && *shown);
    let mut all: BTreeMap<String, String> = application
        .attributes
        .iter()
        .filter(|(name, _)| is_shown(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    all.insert("Enabled".to_owned(), application.is_enabled.to_string());
    all
}

pub(crate) async fn get_attributes(sns: Arc<Sns>, call: Call, request: One) -> Result<Attributes, SnsError> {
    let application = own(&call, &request.platform_application_arn)?.find(&sns.store)?;
    Ok(Attributes { attributes: shown(&application.ok_or_else(no_application)?) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Set {
    platform_application_arn: String,
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn set_attributes(sns: Arc<Sns>, call: Call, request: Set) -> Result<(), SnsError> {
    let name = own(&call, &request.platform_application_arn)?;
    let enabled = check_attributes(&request.attributes)?;
    let changes = request.attributes;
    let outcome = sns.store.transact_with(move |tx| {
        let key = keys::application(&name);
        let Some(bytes) = tx.get(&key)? else { return Ok(Err(no_application())) };
        let mut application: Application = value::decode(VERSION, &bytes)?;
        application.attributes.extend(changes.clone());
        application.is_enabled = enabled.unwrap_or(application.is_enabled);
        tx.put(key, value::encode(VERSION, &application))?;
        Ok(Ok(()))
    });
    outcome.await?
}

pub(crate) async fn delete(sns: Arc<Sns>, call: Call, request: One) -> Result<(), SnsError> {
    let name = own(&call, &request.platform_application_arn)?;
    let key = keys::application(&name);
    // The application goes first: nobody can make an endpoint after that, and those that are left reach nothing.
    sns.store.transact(move |tx| tx.delete(&key)).await?;
    for rows in [keys::endpoints(&name), keys::endpoint_tokens(&name)] {
        let range = rows.range();
        sns.store.clear_in_steps(range.from, range.to).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Applications {
    platform_applications: Vec<Listed>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    platform_application_arn: String,
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn list(sns: Arc<Sns>, call: Call, request: List) -> Result<Applications, SnsError> {
    let scope = scope_of(&call);
    let mut range = keys::applications(&scope).range().limit(PAGE + 1);
    if let Some(last) = paging::read("NextToken", request.next_token.as_deref())? {
        range.from = paging::after(keys::application(&AppName::parse("NextToken", &last)?));
    }
    let mut platform_applications = Vec::new();
    for (key, bytes) in sns.store.range(range)? {
        let application: Application = value::decode(VERSION, &bytes).map_err(TxError::from)?;
        let Some((platform, name)) = names(&key) else { continue };
        let name = AppName { scope: scope.clone(), platform, name };
        platform_applications
            .push(Listed { platform_application_arn: name.to_string(), attributes: shown(&application) });
    }
    let next_token = paging::cut(&mut platform_applications, PAGE, |listed| &listed.platform_application_arn);
    Ok(Applications { platform_applications, next_token })
}

/// Platform and name in the key of an application.
fn names(key: &[u8]) -> Option<(String, String)> {
    let mut reader = KeyReader::new(key);
    // "sns", "application", account, region.
    for _ in 0..4 {
        reader.str().ok()?;
    }
    Some((reader.str().ok()?, reader.str().ok()?))
}
