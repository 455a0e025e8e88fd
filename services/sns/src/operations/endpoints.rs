//! CreatePlatformEndpoint, GetEndpointAttributes, SetEndpointAttributes, ListEndpointsByPlatformApplication and
//! DeleteEndpoint.
//!
//! Making an endpoint again with the same token and the same attributes gives the one that is there; with others it is an
//! error, which clients parse for the ARN.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_CreatePlatformEndpoint.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use super::applications::{check_owner, no_application, own};
use super::paging;
use crate::Sns;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::outside::apps::{AppName, Endpoint, EndpointName};

/// Endpoints of one answer.
const PAGE: usize = 100;
/// The longest `CustomUserData`, in bytes.
const MAX_DATA_BYTES: usize = 2048;
/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;
const DATA: &str = "CustomUserData";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    platform_application_arn: String,
    token: String,
    custom_user_data: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    endpoint_arn: String,
}

/// A `true` or `false` in a map of attributes.
pub(super) fn truth(name: &str, value: &str) -> Result<bool, SnsError> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => {
            Err(SnsError::InvalidParameter(format!("Attributes Reason: Invalid value for attribute: {name}")))
        }
    }
}

/// The changes that a map of attributes asks for.
#[derive(Default)]
struct Changes {
    enabled: Option<bool>,
    token: Option<String>,
    rest: BTreeMap<String, String>,
}

fn changes(attributes: BTreeMap<String, String>) -> Result<Changes, SnsError> {
    let mut changes = Changes::default();
    for (name, value) in attributes {
        match name.as_str() {
            "Enabled" => changes.enabled = Some(truth(&name, &value)?),
            "Token" => changes.token = Some(checked_token(value)?),
            DATA => {
                check_data(&value)?;
                changes.rest.insert(name, value);
            }
            // Baidu's two.
            "UserId" | "ChannelId" => {
                changes.rest.insert(name, value);
            }
            _ => {
                return Err(SnsError::InvalidParameter(format!(
                    "Attributes Reason: Invalid attribute name: {name}"
                )));
            }
        }
    }
    Ok(changes)
}

fn check_data(data: &str) -> Result<(), SnsError> {
    if data.len() <= MAX_DATA_BYTES {
        return Ok(());
    }
    Err(SnsError::InvalidParameter(format!(
        "{DATA} Reason: {DATA} must be at most {MAX_DATA_BYTES} bytes long in UTF-8 encoding"
    )))
}

fn checked_token(token: String) -> Result<String, SnsError> {
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(SnsError::InvalidParameter(
            "Token Reason: iOS device tokens and registration ids have 1 to 4096 bytes".to_owned(),
        ));
    }
    Ok(token)
}

pub(crate) async fn create(sns: Arc<Sns>, call: Call, request: Create) -> Result<Created, SnsError> {
    let app = own(&call, &request.platform_application_arn)?;
    let token = checked_token(request.token)?;
    let mut asked = changes(request.attributes.unwrap_or_default())?;
    if let Some(data) = request.custom_user_data {
        check_data(&data)?;
        asked.rest.insert(DATA.to_owned(), data);
    }
    let id = uuid::Uuid::new_v4().to_string();
    let made = Endpoint { is_enabled: asked.enabled.unwrap_or(true), token, attributes: asked.rest };
    let outcome = sns.store.transact_with(move |tx| {
        if tx.get(&keys::application(&app))?.is_none() {
            return Ok(Err(no_application()));
        }
        if let Some(found) = by_token(tx, &app, &made.token)? {
            let is_same = endpoint(tx, &found)?.is_some_and(|there| there == made);
            return Ok(if is_same { Ok(found.to_string()) } else { Err(taken(&found)) });
        }
        let name = EndpointName { app: app.clone(), id: id.clone() };
        tx.put(keys::endpoint(&name), value::encode(VERSION, &made))?;
        tx.put(keys::endpoint_token(&app, &made.token), value::encode(VERSION, &name.id))?;
        Ok(Ok(name.to_string()))
    });
    Ok(Created { endpoint_arn: outcome.await?? })
}

fn taken(endpoint: &EndpointName) -> SnsError {
    SnsError::InvalidParameter(format!(
        "Token Reason: Endpoint {endpoint} already exists with the same Token, but different attributes."
    ))
}

fn by_token(tx: &dyn Tx, app: &AppName, token: &str) -> Result<Option<EndpointName>, TxError> {
    let Some(bytes) = tx.get(&keys::endpoint_token(app, token))? else { return Ok(None) };
    Ok(Some(EndpointName { app: app.clone(), id: value::decode(VERSION, &bytes)? }))
}

fn endpoint(tx: &dyn Tx, name: &EndpointName) -> Result<Option<Endpoint>, TxError> {
    Ok(tx.get(&keys::endpoint(name))?.map(|bytes| value::decode(VERSION, &bytes)).transpose()?)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct One {
    endpoint_arn: String,
}

fn own_endpoint(call: &Call, arn: &str) -> Result<EndpointName, SnsError> {
    let name = EndpointName::parse("EndpointArn", arn)?;
    check_owner(call, &name.app.scope)?;
    Ok(name)
}

fn no_endpoint() -> SnsError {
    SnsError::Other { code: "NotFoundException", message: "Endpoint does not exist".to_owned() }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    attributes: BTreeMap<String, String>,
}

fn shown(endpoint: Endpoint) -> BTreeMap<String, String> {
    let mut all = endpoint.attributes;
    all.insert("Enabled".to_owned(), endpoint.is_enabled.to_string());
    all.insert("Token".to_owned(), endpoint.token);
    all
}

pub(crate) async fn get_attributes(sns: Arc<Sns>, call: Call, request: One) -> Result<Attributes, SnsError> {
    let found = own_endpoint(&call, &request.endpoint_arn)?.find(&sns.store)?;
    Ok(Attributes { attributes: shown(found.ok_or_else(no_endpoint)?) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Set {
    endpoint_arn: String,
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn set_attributes(sns: Arc<Sns>, call: Call, request: Set) -> Result<(), SnsError> {
    let name = own_endpoint(&call, &request.endpoint_arn)?;
    let asked = changes(request.attributes)?;
    let outcome = sns.store.transact_with(move |tx| {
        let Some(mut there) = endpoint(tx, &name)? else { return Ok(Err(no_endpoint())) };
        if let Some(token) = asked.token.as_ref().filter(|token| **token != there.token) {
            if let Some(other) = by_token(tx, &name.app, token)? {
                return Ok(Err(taken(&other)));
            }
            tx.delete(&keys::endpoint_token(&name.app, &there.token))?;
            tx.put(keys::endpoint_token(&name.app, token), value::encode(VERSION, &name.id))?;
            there.token.clone_from(token);
        }
        there.is_enabled = asked.enabled.unwrap_or(there.is_enabled);
        there.attributes.extend(asked.rest.clone());
        tx.put(keys::endpoint(&name), value::encode(VERSION, &there))?;
        Ok(Ok(()))
    });
    outcome.await?
}

pub(crate) async fn delete(sns: Arc<Sns>, call: Call, request: One) -> Result<(), SnsError> {
    let name = own_endpoint(&call, &request.endpoint_arn)?;
    let deleted = sns.store.transact(move |tx| {
        if let Some(there) = endpoint(tx, &name)? {
            tx.delete(&keys::endpoint_token(&name.app, &there.token))?;
        }
        tx.delete(&keys::endpoint(&name))
    });
    Ok(deleted.await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    platform_application_arn: String,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoints {
    endpoints: Vec<Listed>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    endpoint_arn: String,
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn list(sns: Arc<Sns>, call: Call, request: List) -> Result<Endpoints, SnsError> {
    let app = own(&call, &request.platform_application_arn)?;
    app.find(&sns.store)?.ok_or_else(no_application)?;
    let mut range = keys::endpoints(&app).range().limit(PAGE + 1);
    if let Some(last) = paging::read("NextToken", request.next_token.as_deref())? {
        let last = EndpointName::parse("NextToken", &last)?;
        range.from = paging::after(keys::endpoint(&EndpointName { app: app.clone(), ..last }));
    }
    let mut endpoints = Vec::new();
    for (key, bytes) in sns.store.range(range)? {
        let Some(id) = keys::last_text(&key) else { continue };
        let found: Endpoint = value::decode(VERSION, &bytes).map_err(TxError::from)?;
        let endpoint_arn = EndpointName { app: app.clone(), id }.to_string();
        endpoints.push(Listed { endpoint_arn, attributes: shown(found) });
    }
    let next_token = paging::cut(&mut endpoints, PAGE, |listed| &listed.endpoint_arn);
    Ok(Endpoints { endpoints, next_token })
}
