//! Platform applications and their endpoints: apps on devices, as push services know them. Nothing is sent to them.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/mobile-push-send.html>.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use store::{Store, StoreError, TxError, value};

use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};

/// The push services that AWS knows.
pub(crate) const PLATFORMS: [&str; 11] = [
    "ADM",
    "APNS",
    "APNS_SANDBOX",
    "APNS_VOIP",
    "APNS_VOIP_SANDBOX",
    "MACOS",
    "MACOS_SANDBOX",
    "BAIDU",
    "GCM",
    "MPNS",
    "WNS",
];

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Application {
    /// Whether endpoints can be reached.
    pub(crate) is_enabled: bool,
    /// As they were given; credentials are never shown.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// An app on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) is_enabled: bool,
    pub(crate) token: String,
    /// `CustomUserData`, and what else was given.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The name of an application: where it is, its platform and its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppName {
    pub(crate) scope: Scope,
    pub(crate) platform: String,
    pub(crate) name: String,
}

/// The name of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointName {
    pub(crate) app: AppName,
    pub(crate) id: String,
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "arn:aws:sns:{region}:{account}:app/{}/{}", self.platform, self.name)
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.app.scope;
        write!(
            f,
            "arn:aws:sns:{region}:{account}:endpoint/{}/{}/{}",
            self.app.platform, self.app.name, self.id
        )
    }
}

/// Takes an ARN apart, up to its resource's segments. `member` is the parameter it came in.
fn segments(member: &str, arn: &str) -> Result<(Scope, Vec<String>), SnsError> {
    let invalid = |reason: String| SnsError::InvalidParameter(format!("{member} Reason: {reason}"));
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &[_, _, service, region, account, resource] = parts.as_slice() else {
        return Err(invalid(format!("An ARN must have at least 6 elements, not {}", parts.len())));
    };
    let scope = account.parse().ok().zip(region.parse().ok());
    let scope = scope.filter(|_| arn.starts_with("arn:aws:") && service == "sns");
    let Some((account, region)) = scope else {
        return Err(invalid(format!("{arn} is not an ARN of this service")));
    };
    Ok((Scope { account, region }, resource.split('/').map(str::to_owned).collect()))
}

impl AppName {
    /// Reads an application's ARN.
    pub(crate) fn parse(member: &str, arn: &str) -> Result<Self, SnsError> {
        let (scope, parts) = segments(member, arn)?;
        match <[String; 3]>::try_from(parts) {
            Ok([kind, platform, name]) if kind == "app" => Ok(AppName { scope, platform, name }),
            _ => Err(SnsError::InvalidParameter(format!(
                "{member} Reason: {arn} is not the ARN of a platform application"
            ))),
        }
    }

    /// The application; `None`: there is none.
    pub(crate) fn find(&self, store: &Store) -> Result<Option<Application>, StoreError> {
        let Some(bytes) = store.get(&keys::application(self))? else { return Ok(None) };
        Ok(Some(value::decode(VERSION, &bytes).map_err(TxError::from)?))
    }
}

impl EndpointName {
    /// Reads an endpoint's ARN.
    pub(crate) fn parse(member: &str, arn: &str) -> Result<Self, SnsError> {
        let (scope, parts) = segments(member, arn)?;
        match <[String; 4]>::try_from(parts) {
            Ok([kind, platform, name, id]) if kind == "endpoint" => {
                Ok(EndpointName { app: AppName { scope, platform, name }, id })
            }
            _ => Err(SnsError::InvalidParameter(format!(
                "{member} Reason: {arn} is not the ARN of a platform endpoint"
            ))),
        }
    }

    /// The endpoint; `None`: there is none.
    pub(crate) fn find(&self, store: &Store) -> Result<Option<Endpoint>, StoreError> {
        let Some(bytes) = store.get(&keys::endpoint(self))? else { return Ok(None) };
        Ok(Some(value::decode(VERSION, &bytes).map_err(TxError::from)?))
    }
}
