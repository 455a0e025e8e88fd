//! CreateAlias, GetAlias, UpdateAlias, DeleteAlias and ListAliases.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_UpdateAlias.html>,
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListAliases.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::page::{self, page_size};
use super::target;
use super::versions::check_unqualified;
use crate::Lambda;
use crate::aliases::{AliasChange, AliasRecord, Share};
use crate::error::LambdaError;
use crate::name::Target;
use crate::version::Version;

/// An alias's name, as a marker has it.
const MAX_NAME_BYTES: usize = 128;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoutingConfig {
    additional_version_weights: Option<BTreeMap<String, f64>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AliasConfiguration {
    alias_arn: String,
    name: String,
    function_version: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_config: Option<RoutingConfig>,
    revision_id: String,
}

impl AliasConfiguration {
    fn of(target: &Target, name: &str, alias: &AliasRecord) -> Self {
        let weights =
            alias.additional.map(|share| BTreeMap::from([(share.number.to_string(), share.weight)]));
        AliasConfiguration {
            alias_arn: target.at(name).qualified_arn(),
            name: name.to_owned(),
            function_version: alias.version.to_string(),
            description: alias.description.clone(),
            routing_config: weights
                .map(|weights| RoutingConfig { additional_version_weights: Some(weights) }),
            revision_id: alias.revision_id.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateAliasRequest {
    function_name: String,
    name: String,
    function_version: String,
    description: Option<String>,
    routing_config: Option<RoutingConfig>,
}

/// Gives a version a name.
pub(crate) async fn create_alias(
    lambda: Arc<Lambda>,
    call: Call,
    request: CreateAliasRequest,
) -> Result<AliasConfiguration, LambdaError> {
    let target = target(&call, "CreateAlias", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    check_name(&request.name)?;
    let version = version(&target, &request.function_version)?;
    let change = AliasChange {
        version: None,
        description: request.description,
        additional: request.routing_config.map(RoutingConfig::share).transpose()?,
    };
    let alias = lambda.functions.create_alias(&target, &request.name, version, change).await?;
    Ok(AliasConfiguration::of(&target, &request.name, &alias))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetAliasRequest {
    function_name: String,
    name: String,
}

/// An alias.
pub(crate) async fn get_alias(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetAliasRequest,
) -> Result<AliasConfiguration, LambdaError> {
    let target = target(&call, "GetAlias", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let alias = lambda.functions.alias(&target, &request.name)?.ok_or_else(|| {
        let arn = target.at(&request.name).qualified_arn();
        LambdaError::NotFound(format!("Cannot find alias arn: {arn}"))
    })?;
    Ok(AliasConfiguration::of(&target, &request.name, &alias))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateAliasRequest {
    function_name: String,
    name: String,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingConfig>,
    revision_id: Option<String>,
}

/// Leads an alias elsewhere, or describes it anew. What the request does not name stays.
pub(crate) async fn update_alias(
    lambda: Arc<Lambda>,
    call: Call,
    request: UpdateAliasRequest,
) -> Result<AliasConfiguration, LambdaError> {
    let target = target(&call, "UpdateAlias", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let change = AliasChange {
        version: request.function_version.as_deref().map(|text| version(&target, text)).transpose()?,
        description: request.description,
        additional: request.routing_config.map(RoutingConfig::share).transpose()?,
    };
    let alias = lambda.functions.update_alias(&target, &request.name, request.revision_id, change).await?;
    lambda.provision(&target).await;
    Ok(AliasConfiguration::of(&target, &request.name, &alias))
}

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Deletes an alias; the version stays.
pub(crate) async fn delete_alias(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetAliasRequest,
) -> Result<Nothing, LambdaError> {
    let target = target(&call, "DeleteAlias", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    lambda.functions.delete_alias(&target, &request.name).await?;
    lambda.provision(&target).await;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAliasesRequest {
    function_name: String,
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAliasesResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    aliases: Vec<AliasConfiguration>,
}

/// The aliases of a function by name, or those that lead to one version.
pub(crate) async fn list_aliases(
    lambda: Arc<Lambda>,
    call: Call,
    request: ListAliasesRequest,
) -> Result<ListAliasesResponse, LambdaError> {
    let target = target(&call, "ListAliases", &request.function_name, None)?;
    check_unqualified(&lambda, &target)?;
    let version = request.function_version.as_deref().map(|text| version(&target, text)).transpose()?;
    let after = page::read_marker(request.marker.as_deref(), MAX_NAME_BYTES)?;
    let limit = page_size(request.max_items);
    let (aliases, more) = lambda.functions.aliases(&target, version, after.as_deref(), limit)?;
    let last = aliases.last().filter(|_| more);
    Ok(ListAliasesResponse {
        next_marker: last.map(|(name, _)| page::marker(name)),
        aliases: aliases.iter().map(|(name, alias)| AliasConfiguration::of(&target, name, alias)).collect(),
    })
}

/// A name of digits alone would be a version.
fn check_name(name: &str) -> Result<(), LambdaError> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if word && !digits {
        return Ok(());
    }
    let pattern = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)";
    Err(LambdaError::constraint(name, "name", pattern))
}

/// The version that a request names: never an alias.
fn version(target: &Target, text: &str) -> Result<Version, LambdaError> {
    Version::parse(text).ok_or_else(|| target.at(text).not_found())
}

impl RoutingConfig {
    /// The second version; nothing when the weights are empty.
    fn share(self) -> Result<Option<Share>, LambdaError> {
        let weights = self.additional_version_weights.unwrap_or_default();
        if weights.len() > 1 {
            return Err(LambdaError::InvalidParameter(
                "Number of items in AdditionalVersionWeights cannot be greater than 1".to_owned(),
            ));
        }
        let Some((text, weight)) = weights.into_iter().next() else { return Ok(None) };
        let refuse = |constraint: &str| {
            let shown = format!("{{{text}={weight:?}}}");
            Err(LambdaError::constraint(&shown, "routingConfig.additionalVersionWeights", constraint))
        };
        let Some(Version::Number(number)) = Version::parse(&text) else {
            return refuse(
                "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have \
                 length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must \
                 not be null]",
            );
        };
        if !(0.0..=1.0).contains(&weight) {
            return refuse(
                "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have \
                 value greater than or equal to 0.0, Member must not be null]",
            );
        }
        Ok(Some(Share { number, weight }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_but_no_numbers() {
        for good in ["live", "7a", "a-b_c", "-", "LATEST"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["7", "0123", "a b", "a.b", "$LATEST"] {
            let message = check_name(bad).unwrap_err().to_string();
            assert!(message.starts_with("1 validation error detected: Value '"), "{bad}: {message}");
        }
    }

    #[test]
    fn weights_are_one_and_from_zero_to_one() {
        let share = |weights: &[(&str, f64)]| {
            let weights = weights.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect();
            RoutingConfig { additional_version_weights: Some(weights) }
                .share()
                .map_err(|error| error.to_string())
        };
        assert_eq!(share(&[]).unwrap(), None);
        for weight in [0.0, 0.5, 1.0] {
            assert_eq!(share(&[("2", weight)]).unwrap(), Some(Share { number: 2, weight }));
        }
        for weight in [-0.1, 1.01, f64::NAN] {
            assert!(share(&[("2", weight)]).unwrap_err().contains("Map value must satisfy"), "{weight}");
        }
        assert!(share(&[("$LATEST", 0.5)]).unwrap_err().contains("Value '{$LATEST=0.5}' at"));
        assert!(share(&[("1", 0.1), ("2", 0.1)]).unwrap_err().starts_with("Number of items"));
    }
}
