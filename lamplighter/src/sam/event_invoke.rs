//! `AWS::Lambda::EventInvokeConfig`: how asynchronous invokes are repeated, and where their records go.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-lambda-eventinvokeconfig.html>

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::{Deployed, Nothing, found};
use super::node::Node;

/// The configuration as its template describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventInvokeSpec {
    function_name: String,
    qualifier: String,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_config: Option<Destinations>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destinations {
    #[serde(skip_serializing_if = "Option::is_none")]
    on_success: Option<Destination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_failure: Option<Destination>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

/// Reads a configuration whose properties are resolved.
pub(super) fn read(logical_id: &str, properties: &Node) -> Result<EventInvokeSpec, SamError> {
    let mut spec = EventInvokeSpec {
        function_name: String::new(),
        qualifier: "$LATEST".to_owned(),
        settings: Settings::default(),
    };
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "FunctionName" => node.text(key)?.clone_into(&mut spec.function_name),
            "Qualifier" => node.text(key)?.clone_into(&mut spec.qualifier),
            "MaximumRetryAttempts" => spec.settings.maximum_retry_attempts = Some(node.integer(key)?),
            "MaximumEventAgeInSeconds" => {
                spec.settings.maximum_event_age_in_seconds = Some(node.integer(key)?);
            }
            "DestinationConfig" => spec.settings.destination_config = Some(destinations(node)?),
            other => return Err(refused(node, logical_id, other)),
        }
    }
    if spec.function_name.is_empty() {
        return Err(SamError::at(properties.line, format!("'{logical_id}' has no 'FunctionName'")));
    }
    Ok(spec)
}

fn destinations(node: &Node) -> Result<Destinations, SamError> {
    let mut destinations = Destinations::default();
    for (when, node) in node.entries("DestinationConfig")? {
        let arn = match node.entries(when)? {
            [(key, arn)] if key == "Destination" => arn.text(key)?.to_owned(),
            _ => {
                return Err(SamError::at(
                    node.line,
                    format!("'{when}' has a 'Destination' and nothing else"),
                ));
            }
        };
        let destination = Some(Destination { destination: Some(arn) });
        match when.as_str() {
            "OnSuccess" => destinations.on_success = destination,
            "OnFailure" => destinations.on_failure = destination,
            other => return Err(refused(node, "DestinationConfig", other)),
        }
    }
    Ok(destinations)
}

fn refused(node: &Node, what: &str, property: &str) -> SamError {
    SamError::at(node.line, format!("the property '{property}' of '{what}' is not supported yet"))
}

/// Puts the configuration, if it is another.
///
/// # Errors
/// What Lambda says of it.
pub(crate) async fn deploy(call: &Call, spec: &EventInvokeSpec) -> Result<Deployed, ApiError> {
    let lambda = call.service("lambda");
    let named = Named { function_name: &spec.function_name, qualifier: &spec.qualifier };
    let known: Option<Settings> = found(lambda.invoke("GetFunctionEventInvokeConfig", &named).await)?;
    if known.as_ref().is_some_and(|known| known.whole() == spec.settings.whole()) {
        return Ok(Deployed::Unchanged);
    }
    lambda.invoke::<_, Nothing>("PutFunctionEventInvokeConfig", spec).await?;
    Ok(if known.is_some() { Deployed::Updated } else { Deployed::Created })
}

impl Settings {
    /// With what it leaves out at AWS's default.
    fn whole(&self) -> Settings {
        let config = self.destination_config.clone().unwrap_or_default();
        let named = |destination: Option<Destination>| destination.filter(|one| one.destination.is_some());
        Settings {
            maximum_retry_attempts: self.maximum_retry_attempts.or(Some(2)),
            maximum_event_age_in_seconds: self.maximum_event_age_in_seconds.or(Some(21_600)),
            destination_config: Some(Destinations {
                on_success: named(config.on_success),
                on_failure: named(config.on_failure),
            }),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    function_name: &'a str,
    qualifier: &'a str,
}
