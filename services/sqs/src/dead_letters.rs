//! Redrive policies: which queue takes what was received too often, and whom a dead-letter queue lets in.
//!
//! It moves no message. Where a queue names another, the store has a row that tells the way back ([`keys::source`]),
//! written in the transaction that sets the policy.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>.

use base::Arn;
use serde_json::{Map, Value, json};
use store::{Tx, TxError, value};

use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::queue::{Queue, Redrive, RedriveAllow};

const MAX_SOURCE_ARNS: usize = 10;
const NO_MAP: &str =
    "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map.";
const NO_FORM: &str = "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the redrive \
                       allow policy, as it’s in an unsupported format.";

fn map(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

/// Reads `RedrivePolicy` of the queue `name`; an empty text is none.
///
/// # Errors
/// `InvalidAttributeValue` for what is no JSON object, `InvalidParameterValue` for what is in it.
pub(crate) fn redrive(text: &str, name: &str) -> Result<Option<Redrive>, SqsError> {
    if text.is_empty() {
        return Ok(None);
    }
    let policy = map(text).ok_or_else(|| SqsError::other("InvalidAttributeValue", NO_MAP))?;
    let refused = |reason: &str| SqsError::value("RedrivePolicy", text, reason);
    let mandatory = |attribute: &str| {
        let reason =
            || refused(&format!("Redrive policy does not contain mandatory attribute: {attribute}."));
        policy.get(attribute).ok_or_else(reason)
    };
    let (count, target) = (mandatory("maxReceiveCount")?, mandatory("deadLetterTargetArn")?);
    if policy.len() > 2 {
        return Err(refused(
            "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].",
        ));
    }
    let shown = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
    let max_receive_count =
        shown.parse().ok().filter(|count| (1..=1000).contains(count)).ok_or_else(|| {
            refused(&format!(
                "Invalid value for maxReceiveCount: {shown}, valid values are from 1 to 1000 both inclusive."
            ))
        })?;
    let target = target.as_str().unwrap_or_default();
    let arn: Arn =
        target.parse().map_err(|_| refused("Dead-letter target ARN should be fully qualified ARN."))?;
    if arn.service != "sqs" {
        return Err(refused("Only SQS queues are valid resources for deadLetterTargetArn."));
    }
    if arn.resource.ends_with(".fifo") != name.ends_with(".fifo") {
        return Err(refused("Dead-letter queue must be same type of queue as the source."));
    }
    Ok(Some(Redrive { dead_letter_target_arn: target.to_owned(), max_receive_count }))
}

pub(crate) fn show_redrive(redrive: &Redrive) -> String {
    let target = Value::from(redrive.dead_letter_target_arn.as_str());
    format!("{{\"deadLetterTargetArn\":{target},\"maxReceiveCount\":{}}}", redrive.max_receive_count)
}

/// Reads `RedriveAllowPolicy`; an empty text is none, which lets everybody in.
///
/// # Errors
/// `InvalidAttributeValue` for another form, `InvalidParameterValue` for a list that does not fit.
pub(crate) fn redrive_allow(text: &str) -> Result<Option<RedriveAllow>, SqsError> {
    if text.is_empty() {
        return Ok(None);
    }
    let no_form = || SqsError::other("InvalidAttributeValue", NO_FORM);
    let mut policy = map(text).ok_or_else(no_form)?;
    let permission = policy.remove("redrivePermission").ok_or_else(no_form)?;
    let arns: Option<Vec<String>> = match policy.remove("sourceQueueArns") {
        Some(arns) => Some(serde_json::from_value(arns).map_err(|_| no_form())?),
        None => None,
    };
    if !policy.is_empty() {
        return Err(no_form());
    }
    let refused = |reason: &str| {
        let reason = format!("Amazon SQS can't create the redrive allow policy. {reason}");
        Err(SqsError::value("RedriveAllowPolicy", text, &reason))
    };
    let allow = match (permission.as_str(), arns) {
        (Some("allowAll"), None) => RedriveAllow::All,
        (Some("denyAll"), None) => RedriveAllow::None,
        (Some("allowAll" | "denyAll"), Some(_)) => {
            return refused(
                "To specify one or more source queue ARNs, you must set redrivePermission to byQueue.",
            );
        }
        (Some("byQueue"), Some(arns)) if arns.len() > MAX_SOURCE_ARNS => {
            return refused("The maximum number of source queue ARNs you can specify is 10.");
        }
        (Some("byQueue"), Some(arns)) if !arns.is_empty() => {
            let is_queue = |arn: &String| arn.parse::<Arn>().is_ok_and(|arn| arn.service == "sqs");
            if !arns.iter().all(is_queue) {
                return Err(no_form());
            }
            RedriveAllow::Queues(arns)
        }
        (Some("byQueue"), _) => {
            return refused(
                "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values.",
            );
        }
        _ => return Err(no_form()),
    };
    Ok(Some(allow))
}

pub(crate) fn show_redrive_allow(allow: &RedriveAllow) -> String {
    match allow {
        RedriveAllow::All => r#"{"redrivePermission":"allowAll"}"#.to_owned(),
        RedriveAllow::None => r#"{"redrivePermission":"denyAll"}"#.to_owned(),
        RedriveAllow::Queues(arns) => {
            json!({ "redrivePermission": "byQueue", "sourceQueueArns": arns }).to_string()
        }
    }
}

/// Puts the rows right that lead from a dead-letter queue to its sources, for a queue whose policy was `before` and
/// shall be the one that `queue` has; checks the new one. Part of the transaction that writes the record.
pub(crate) fn link(
    tx: &mut dyn Tx,
    queue: &Queue,
    before: Option<&Redrive>,
    given: Option<&str>,
) -> Result<Result<(), SqsError>, TxError> {
    let after = queue.attributes.redrive.as_ref();
    if let Some(redrive) = after
        && let Some(given) = given
        && let Err(error) = check_target(&*tx, queue, redrive, given)?
    {
        return Ok(Err(error));
    }
    let target =
        |redrive: Option<&Redrive>| redrive.and_then(|redrive| target_name(redrive).map(str::to_owned));
    let (old, new) = (target(before), target(after));
    let scope = queue.scope();
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        tx.delete(&keys::source(&scope, &old, &queue.name))?;
    }
    if let Some(new) = new {
        tx.put(keys::source(&scope, &new, &queue.name), Vec::new())?;
    }
    Ok(Ok(()))
}

/// The name of the dead-letter queue: it is in the same account and region.
pub(crate) fn target_name(redrive: &Redrive) -> Option<&str> {
    redrive.dead_letter_target_arn.rsplit(':').next()
}

fn check_target(
    tx: &dyn Tx,
    queue: &Queue,
    redrive: &Redrive,
    given: &str,
) -> Result<Result<(), SqsError>, TxError> {
    let refused = |reason: &str| Ok(Err(SqsError::value("RedrivePolicy", given, reason)));
    let Ok(arn) = redrive.dead_letter_target_arn.parse::<Arn>() else {
        return refused("Dead-letter target ARN should be fully qualified ARN.");
    };
    if arn.account != queue.account.to_string() {
        return refused("Dead-letter target owner should be same as the source.");
    }
    if arn.region != queue.region.as_str() {
        return refused("Dead-letter target must be in same region as the source.");
    }
    let scope: Scope = queue.scope();
    // A queue that is made with itself as its target is not there yet.
    let target: Option<Queue> = if arn.resource == queue.name {
        Some(queue.clone())
    } else {
        tx.get(&keys::queue(&scope, &arn.resource))?.map(|row| value::decode(VERSION, &row)).transpose()?
    };
    let Some(target) = target else { return refused("Dead letter target does not exist.") };
    let lets_in = match &target.attributes.redrive_allow {
        None | Some(RedriveAllow::All) => true,
        Some(RedriveAllow::None) => false,
        Some(RedriveAllow::Queues(arns)) => arns.contains(&queue.arn()),
    };
    if !lets_in {
        return refused(
            "The redrive allow policy of the dead-letter queue does not permit this source queue.",
        );
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:d";

    fn policy(count: &str) -> String {
        format!("{{\"maxReceiveCount\": {count}, \"deadLetterTargetArn\": \"{ARN}\"}}")
    }

    #[test]
    fn a_count_is_a_number_or_a_text_within_bounds() {
        for (count, read) in [("1", 1), ("1000", 1000), ("\"7\"", 7)] {
            let redrive = redrive(&policy(count), "q").unwrap().unwrap();
            assert_eq!(redrive.max_receive_count, read);
            let shown = format!("{{\"deadLetterTargetArn\":\"{ARN}\",\"maxReceiveCount\":{read}}}");
            assert_eq!(show_redrive(&redrive), shown);
        }
        for count in ["0", "1001", "-1", "\"x\"", "1.5", "null", "[]"] {
            let error = redrive(&policy(count), "q").unwrap_err().to_string();
            assert!(error.ends_with("valid values are from 1 to 1000 both inclusive."), "{error}");
        }
        assert_eq!(redrive("", "q").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_with_a_redrive_policy_is_said() {
        let error = |text: &str, name: &str| redrive(text, name).unwrap_err().to_string();
        assert_eq!(error("[]", "q"), NO_MAP);
        assert_eq!(error(" ", "q"), NO_MAP);
        assert!(error("{}", "q").ends_with("mandatory attribute: maxReceiveCount."));
        assert!(error("{\"maxReceiveCount\":1}", "q").ends_with("mandatory attribute: deadLetterTargetArn."));
        assert!(error(&policy("1"), "q.fifo").ends_with("same type of queue as the source."));
        assert!(error(&policy("1").replace("sqs", "sns"), "q").contains("Only SQS queues"));
        assert!(error(&policy("1").replace(ARN, "d"), "q").contains("fully qualified"));
        assert!(error(&policy("1, \"x\": 2"), "q").contains("Only following attributes"));
    }

    #[test]
    fn who_is_let_in() {
        let by =
            |arns: &Value| json!({ "redrivePermission": "byQueue", "sourceQueueArns": arns }).to_string();
        assert_eq!(
            redrive_allow(&by(&json!([ARN]))).unwrap(),
            Some(RedriveAllow::Queues(vec![ARN.to_owned()]))
        );
        redrive_allow(&by(&json!(vec![ARN; 10]))).unwrap();
        for bad in [
            by(&json!(vec![ARN; 11])),
            by(&json!([])),
            by(&json!(["d"])),
            by(&json!([1])),
            "{\"redrivePermission\":\"ALL\"}".to_owned(),
            "{\"redrivePermission\":\"byQueue\"}".to_owned(),
            "{\"redrivePermission\":\"allowAll\",\"sourceQueueArns\":[]}".to_owned(),
            "{\"redrivePermission\":\"allowAll\",\"more\":1}".to_owned(),
            "{}".to_owned(),
            "x".to_owned(),
        ] {
            redrive_allow(&bad).unwrap_err();
        }
        for good in ["{\"redrivePermission\":\"allowAll\"}", "{\"redrivePermission\":\"denyAll\"}"] {
            assert_eq!(show_redrive_allow(&redrive_allow(good).unwrap().unwrap()), good);
        }
        assert_eq!(redrive_allow("").unwrap(), None);
    }
}
