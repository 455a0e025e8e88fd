//! Who may use a queue: its owner's account, and whom its policy lets in.
//!
//! Within the owner's account a policy can only deny; another account, a service or a stranger needs its permission.
//! (Policies of identities are not evaluated yet.) A batch needs the permission of the single operation. Which operations
//! no policy opens to others is `queues`' business.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-customer-managed-policy-examples.html>,
//! limits: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html>.

use base::Principal;
use frontdoor::Call;
use policy::{Decision, Document, PrincipalBlock, Request, account_of, resource_permits};

use crate::errors::SqsError;
use crate::queue::Queue;

/// Largest policy, in bytes.
const MAX_BYTES: usize = 8192;
const MAX_STATEMENTS: usize = 20;
/// In a policy.
const MAX_PRINCIPALS: usize = 50;
/// In a statement.
const MAX_ACTIONS: usize = 7;
/// In a statement.
const MAX_CONDITIONS: usize = 10;

/// Lets the call do `action` (such as `sqs:SendMessage`) to the queue.
///
/// # Errors
/// `AccessDenied`.
pub(crate) fn permit(call: &Call, queue: &Queue, action: &'static str) -> Result<(), SqsError> {
    let principal = call.principal();
    let Some(text) = queue.attributes.policy.as_deref() else {
        // Most queues have none, and most calls are the owner's: these cost nothing.
        if account_of(principal) == Some(queue.account) {
            return Ok(());
        }
        return Err(denied(principal, queue, action, Decision::Silent));
    };
    let document = Document::remembered(text)
        .map_err(|error| SqsError::Damaged(format!("a queue's policy cannot be read: {error}")))?;
    let arn = queue.arn();
    let request = Request::new(action, principal, &arn).within(call.policy_context());
    let decision = document.decide(&request);
    if resource_permits(queue.account, principal, decision) {
        return Ok(());
    }
    Err(denied(principal, queue, action, decision))
}

fn denied(principal: &Principal, queue: &Queue, action: &str, decision: Decision) -> SqsError {
    let resource = queue.arn();
    if *principal == Principal::Anonymous {
        return SqsError::AccessDenied { resource };
    }
    let action = action.to_ascii_lowercase();
    let why = match decision {
        Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        _ => format!("because no resource-based policy allows the {action} action"),
    };
    SqsError::NotAuthorized(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} {why}",
        principal.arn()
    ))
}

/// Looks at a policy before it is kept.
///
/// # Errors
/// `InvalidAttributeValue` for what is no policy of a queue, `OverLimit` for too much of it.
pub(crate) fn check(text: &str) -> Result<(), SqsError> {
    let invalid = || SqsError::other("InvalidAttributeValue", "Invalid value for the parameter Policy.");
    if text.len() > MAX_BYTES {
        return Err(invalid());
    }
    let document = Document::parse(text).map_err(|_| invalid())?;
    let statements = &document.statement;
    within("statements", statements.len(), MAX_STATEMENTS)?;
    let blocks = || statements.iter().flat_map(|statement| statement.principals());
    within("Principals", blocks().map(PrincipalBlock::names).sum(), MAX_PRINCIPALS)?;
    if blocks().any(|block| block.unknown_name().is_some()) {
        return Err(invalid());
    }
    for statement in statements {
        within("Actions", statement.actions().count(), MAX_ACTIONS)?;
        let conditions = statement.condition.iter().flat_map(|conditions| &conditions.0);
        within("Conditions", conditions.map(|(_, keys)| keys.0.len()).sum(), MAX_CONDITIONS)?;
        let of_sqs =
            |action: &str| action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("sqs:"));
        if !statement.actions().all(|action| action == "*" || of_sqs(action)) {
            return Err(invalid());
        }
    }
    Ok(())
}

fn within(what: &str, found: usize, most: usize) -> Result<(), SqsError> {
    if found <= most {
        return Ok(());
    }
    let message = match what {
        "statements" => {
            format!("{found} statements were found in the submitted policy, max allowed is {most}")
        }
        _ => format!("{found} {what} were found, maximum allowed is {most}."),
    };
    Err(SqsError::other("OverLimit", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(more: &str) -> String {
        format!(r#"{{"Effect":"Allow","Resource":"*",{more}}}"#)
    }

    fn found(statements: &[String]) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        match check(&text) {
            Ok(()) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn list<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> String {
        format!("{:?}", items.collect::<Vec<_>>())
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let plain = statement(r#""Principal":"*","Action":"sqs:SendMessage""#);
        assert_eq!(found(&vec![plain.clone(); 20]), "taken");
        assert!(found(&vec![plain.clone(); 21]).starts_with("21 statements were found"));
        let actions = |many: usize| {
            let actions = list((0..many).map(|number| format!("sqs:Send{number}")));
            found(&[statement(&format!(r#""Principal":"*","Action":{actions}"#))])
        };
        assert_eq!(actions(7), "taken");
        assert_eq!(actions(8), "8 Actions were found, maximum allowed is 7.");
        let principals = |many: usize| {
            let names = list((0..many).map(|number| format!("{number:012}")));
            found(&[statement(&format!(r#""Principal":{{"AWS":{names}}},"Action":"SQS:*""#))])
        };
        assert_eq!(principals(50), "taken");
        assert_eq!(principals(51), "51 Principals were found, maximum allowed is 50.");
        let conditions = |many: usize| {
            let keys: Vec<String> = (0..many).map(|number| format!(r#""aws:k{number}":"x""#)).collect();
            let keys = keys.join(",");
            let more = format!(r#""Principal":"*","Action":"*","Condition":{{"StringLike":{{{keys}}}}}"#);
            found(&[statement(&more)])
        };
        assert_eq!(conditions(10), "taken");
        assert!(conditions(11).starts_with("11 Conditions"));
        let sized = |bytes: usize| {
            let empty = r#"{"Id":"","Statement":}"#.len() + plain.len();
            let id = "i".repeat(bytes - empty);
            check(&format!(r#"{{"Id":"{id}","Statement":{plain}}}"#)).is_ok()
        };
        assert!(sized(8192) && !sized(8193));
    }

    #[test]
    fn what_is_no_policy_of_a_queue_is_refused() {
        const INVALID: &str = "Invalid value for the parameter Policy.";
        assert_eq!(found(&[statement(r#""Principal":"*","Action":"s3:GetObject""#)]), INVALID);
        assert_eq!(found(&[statement(r#""Principal":{"AWS":"me"},"Action":"*""#)]), INVALID);
        assert_eq!(found(&[statement(r#""Action":"*""#)]), INVALID);
        assert_eq!(found(&[]), INVALID);
        for text in ["", "x", "{}", "[]", r#"{"Statement":"x"}"#] {
            assert_eq!(check(text).unwrap_err().to_string(), INVALID, "{text}");
        }
        let service = r#""Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage""#;
        assert_eq!(found(&[statement(service)]), "taken");
    }
}
