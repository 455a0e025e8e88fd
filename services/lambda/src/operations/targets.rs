//! The rules of destinations and dead-letter queues: what may be one, whether it is there, and whether it lets the
//! function's role in.
//!
//! What the role's own policies allow is not looked at yet; what the target's policy says is. Both can change later: what
//! comes of it then is `asynchronous::ending`'s business.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>.

use base::Principal;
use policy::{Request, resource_permits};
use service_delivery::{Destination, FunctionOrigin, Kind, Origin, Standing};

use crate::Lambda;
use crate::error::LambdaError;
use crate::name::{FunctionName, LATEST, Target};
use crate::policy::kept::resource_of;

/// Checks the destinations of an asynchronous event's record.
///
/// # Errors
/// `InvalidParameterValueException` in AWS's words; `UnsupportedParameterException` for what there is no service for.
pub(super) async fn check_destinations(
    lambda: &Lambda,
    target: &Target,
    operation: &'static str,
    success: Option<&str>,
    failure: Option<&str>,
) -> Result<(), LambdaError> {
    let invalid = || {
        let part = |name: &str, arn: Option<&str>| {
            arn.map_or_else(|| "null".to_owned(), |arn| format!("{name}(destination={arn})"))
        };
        LambdaError::InvalidParameter(format!(
            "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
            part("OnSuccess", success),
            part("OnFailure", failure)
        ))
    };
    let members = [
        ("DestinationConfig.OnSuccess.Destination", success, false),
        ("DestinationConfig.OnFailure.Destination", failure, true),
    ];
    for (parameter, arn, may_be_bucket) in members {
        let Some(arn) = arn else { continue };
        if arn.starts_with("kafka://") {
            let why = format!("no Kafka topic can be reached: {arn}");
            return Err(LambdaError::Unsupported { parameter, operation, why });
        }
        let destination = Destination::parse(arn).ok_or_else(invalid)?;
        match destination.kind() {
            Kind::Bucket if !may_be_bucket => return Err(invalid()),
            Kind::Queue | Kind::Topic if is_fifo(arn) => return Err(invalid()),
            kind if !lambda.events.delivery().has(kind) => {
                return Err(no_service(parameter, operation, kind, arn));
            }
            _ => {}
        }
        let origin = origin_of(lambda, target, None).await?;
        match standing(lambda, target, &destination, &origin).await? {
            Standing::Open => {}
            Standing::Missing => return Err(no_such(arn)),
            Standing::Closed => {
                return Err(LambdaError::InvalidParameter(format!(
                    "The function's execution role does not have permissions to call {} on {arn}",
                    action(destination.kind())
                )));
            }
        }
    }
    Ok(())
}

/// Checks the target of dead letters: a standard queue or topic that there is a service for. An empty ARN is none.
///
/// # Errors
/// `InvalidParameterValueException`; `UnsupportedParameterException` naming the service.
pub(super) async fn check_dead_letters(
    lambda: &Lambda,
    target: &Target,
    operation: &'static str,
    role_arn: &str,
    arn: Option<&str>,
) -> Result<(), LambdaError> {
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else { return Ok(()) };
    let invalid = |why: &str| {
        LambdaError::InvalidParameter(format!("The provided dead letter target {arn} is invalid: {why}"))
    };
    let destination = Destination::parse(arn)
        .filter(|destination| matches!(destination.kind(), Kind::Queue | Kind::Topic))
        .ok_or_else(|| invalid("it must be an Amazon SQS queue or an Amazon SNS topic."))?;
    if is_fifo(arn) {
        return Err(invalid("it must be a standard queue or topic, not FIFO."));
    }
    let kind = destination.kind();
    if !lambda.events.delivery().has(kind) {
        return Err(no_service("DeadLetterConfig.TargetArn", operation, kind, arn));
    }
    let origin = origin_of(lambda, target, Some(role_arn)).await?;
    match standing(lambda, target, &destination, &origin).await? {
        Standing::Open => Ok(()),
        Standing::Missing => Err(invalid("it does not exist.")),
        Standing::Closed => Err(LambdaError::InvalidParameter(format!(
            "The provided execution role does not have permissions to call {} on {}",
            action(kind),
            if kind == Kind::Queue { "SQS" } else { "SNS" }
        ))),
    }
}

fn is_fifo(arn: &str) -> bool {
    arn.ends_with(".fifo")
}

fn action(kind: Kind) -> &'static str {
    match kind {
        Kind::Function => "InvokeFunction",
        Kind::Queue => "SendMessage",
        Kind::Topic => "Publish",
        Kind::Bus => "PutEvents",
        Kind::Bucket => "PutObject",
    }
}

fn no_service(parameter: &'static str, operation: &'static str, kind: Kind, arn: &str) -> LambdaError {
    let why = format!("there is no {} here yet: {arn}", kind.service_name());
    LambdaError::Unsupported { parameter, operation, why }
}

fn no_such(arn: &str) -> LambdaError {
    LambdaError::InvalidParameter(format!("The destination ARN {arn} is invalid."))
}

/// The function as its records will be delivered.
async fn origin_of(
    lambda: &Lambda,
    target: &Target,
    role_arn: Option<&str>,
) -> Result<FunctionOrigin, LambdaError> {
    let role_arn = match role_arn {
        Some(role_arn) => role_arn.to_owned(),
        None => lambda.resolve(target).await?.function.role.clone(),
    };
    Ok(FunctionOrigin {
        account: target.account,
        region: target.region.clone(),
        function_name: target.name.clone(),
        function_arn: format!("{}:{}", target.arn(), target.qualifier.as_deref().unwrap_or(LATEST)),
        role_arn,
        trace_header: None,
    })
}

async fn standing(
    lambda: &Lambda,
    target: &Target,
    destination: &Destination,
    origin: &FunctionOrigin,
) -> Result<Standing, LambdaError> {
    let from = Origin::Function(origin.clone());
    if destination.kind() == Kind::Function {
        return with_function(lambda, target, destination, &from.principal());
    }
    lambda
        .events
        .delivery()
        .standing(destination, &from)
        .await
        .map_err(|error| LambdaError::Internal(error.to_string()))
}

/// A function as destination is there, another one, and its policy does not shut the role out.
fn with_function(
    lambda: &Lambda,
    target: &Target,
    destination: &Destination,
    role: &Principal,
) -> Result<Standing, LambdaError> {
    let arn = destination.to_string();
    let name = FunctionName::parse(&arn).map_err(|_| no_such(&arn))?;
    let region =
        name.region.as_deref().and_then(|region| region.parse().ok()).ok_or_else(|| no_such(&arn))?;
    let account =
        name.account.as_deref().and_then(|account| account.parse().ok()).ok_or_else(|| no_such(&arn))?;
    let found = Target { account, region, name: name.name, qualifier: name.qualifier };
    if found.arn() == target.arn() {
        return Err(LambdaError::InvalidParameter(
            "You can't specify the function as a destination for itself.".to_owned(),
        ));
    }
    match lambda.functions.check_qualifier(&found) {
        Ok(()) => {}
        Err(LambdaError::NotFound(_)) => return Ok(Standing::Missing),
        Err(error) => return Err(error),
    }
    let resource = resource_of(&found);
    let decision = lambda.policies(&found)?.decide(&Request::new("lambda:InvokeFunction", role, &resource));
    let permitted = resource_permits(account, role, decision);
    Ok(if permitted { Standing::Open } else { Standing::Closed })
}
