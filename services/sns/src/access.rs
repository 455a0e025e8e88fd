//! Who may use a topic: its owner's account, and whom its policy lets in.
//!
//! Within the owner's account a policy can only deny; another account, a service or a stranger needs its permission.
//! (Policies of identities are not evaluated yet.) The policy of a topic that was given none lets the account in alone.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html>, limits and actions:
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html>.

use base::Principal;
use frontdoor::Call;
use policy::{
    Context, Decision, Document, Flaw, PolicyError, PrincipalBlock, Request, account_of, resource_permits,
};

use crate::errors::SnsError;
use crate::topic::Topic;

/// Largest policy, in bytes.
const MAX_BYTES: usize = 30_720;
const MAX_STATEMENTS: usize = 100;
/// In a policy.
const MAX_PRINCIPALS: usize = 200;
/// What a topic's policy can be about.
pub(crate) const ACTIONS: [&str; 14] = [
    "AddPermission",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "ListTagsForResource",
    "Publish",
    "PutDataProtectionPolicy",
    "Receive",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
    "TagResource",
    "UntagResource",
];

/// Lets the call do `action` (such as `SNS:Publish`) to the topic.
///
/// # Errors
/// `AuthorizationError`.
pub(crate) fn permit(call: &Call, topic: &Topic, action: &'static str) -> Result<(), SnsError> {
    permit_within(call, topic, action, Context::new)
}

/// Lets the call subscribe to the topic: policies may ask for the protocol and the endpoint.
///
/// # Errors
/// `AuthorizationError`.
pub(crate) fn permit_subscribe<'a>(
    call: &'a Call,
    topic: &Topic,
    protocol: &'a str,
    endpoint: Option<&'a str>,
) -> Result<(), SnsError> {
    permit_within(call, topic, "SNS:Subscribe", || {
        Context::new().with("sns:Protocol", protocol).with_some("sns:Endpoint", endpoint)
    })
}

fn permit_within<'a>(
    call: &'a Call,
    topic: &Topic,
    action: &'static str,
    more: impl FnOnce() -> Context<'a>,
) -> Result<(), SnsError> {
    let principal = call.principal();
    let Some(text) = topic.settings.policy.as_deref() else {
        // Most topics have none, and most calls are the owner's: these cost nothing.
        if account_of(principal) == Some(topic.account) {
            return Ok(());
        }
        return Err(denied(principal, topic, action, Decision::Silent));
    };
    let document = Document::remembered(text)
        .map_err(|error| SnsError::Damaged(format!("a topic's policy cannot be read: {error}")))?;
    let owner = source_owner(call).map(|account| account.to_string());
    let context = call.policy_context().and(more()).with_some("aws:SourceOwner", owner);
    let arn = topic.arn();
    let decision = document.decide(&Request::new(action, principal, &arn).within(context));
    if resource_permits(topic.account, principal, decision) {
        return Ok(());
    }
    Err(denied(principal, topic, action, decision))
}

/// Whose call it is: SNS's own key `aws:SourceOwner`, which its default policy asks for. Of the services only
/// CloudWatch's alarms have it.
fn source_owner(call: &Call) -> Option<base::AccountId> {
    match call.principal() {
        Principal::Service("cloudwatch.amazonaws.com") => {
            call.on_behalf().map(|on_behalf| on_behalf.source_account)
        }
        principal => account_of(principal),
    }
}

fn denied(principal: &Principal, topic: &Topic, action: &str, decision: Decision) -> SnsError {
    let why = match decision {
        Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        _ => format!("because no resource-based policy allows the {action} action"),
    };
    SnsError::NotAuthorized(format!(
        "User: {} is not authorized to perform: {action} on resource: {} {why}",
        principal.arn(),
        topic.arn()
    ))
}

/// Looks at a policy before it is kept; what is wrong, in SNS's words.
pub(crate) fn check(text: &str, topic_arn: &str) -> Result<(), &'static str> {
    const NO_POLICY: &str = "Policy Error: null";
    const NOBODY: &str = "Policy Error: PrincipalNotFound";
    const OUT_OF_SCOPE: &str = "Policy statement action out of service scope!";
    if text.len() > MAX_BYTES {
        return Err("Policy Error: Policy is too large");
    }
    let document = Document::parse(text).map_err(|error| match error {
        PolicyError::Statement { flaw: Flaw::Action(_), .. } => OUT_OF_SCOPE,
        _ => NO_POLICY,
    })?;
    let statements = &document.statement;
    let blocks = || statements.iter().flat_map(|statement| statement.principals());
    let principals: usize = blocks().map(PrincipalBlock::names).sum();
    if statements.len() > MAX_STATEMENTS || principals > MAX_PRINCIPALS {
        return Err(NO_POLICY);
    }
    if blocks().any(|block| block.unknown_name().is_some()) {
        return Err(NOBODY);
    }
    for statement in statements {
        if !statement.actions().all(is_in_scope) {
            return Err(OUT_OF_SCOPE);
        }
        let mut resources = statement.resources();
        let (first, second) = (resources.next(), resources.next());
        if !first.is_some_and(|resource| policy::matches(resource, topic_arn)) || second.is_some() {
            return Err(NO_POLICY);
        }
    }
    Ok(())
}

/// An action that a topic's policy can be about, or a pattern that some of them fit.
fn is_in_scope(action: &str) -> bool {
    let name = match action.split_once(':') {
        Some((service, name)) if service.eq_ignore_ascii_case("sns") => name,
        _ if action == "*" => "*",
        _ => return false,
    };
    let pattern = name.to_ascii_lowercase();
    ACTIONS.iter().any(|known| policy::matches(&pattern, &known.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:us-east-1:000000000000:t";

    fn found(statements: &[String]) -> &'static str {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        check(&text, ARN).err().unwrap_or("taken")
    }

    fn statement(principal: &str, action: &str, resource: &str) -> String {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":{resource}}}"#)
    }

    #[test]
    fn what_is_no_policy_of_a_topic_is_refused() {
        let own = format!("{ARN:?}");
        let action = |action: &str| found(&[statement(r#""*""#, action, &own)]);
        for known in [r#""SNS:Publish""#, r#"["sns:subscribe","sns:Get*"]"#, r#""sns:*""#] {
            assert_eq!(action(known), "taken", "{known}");
        }
        for other in
            [r#""sns:CreateTopic""#, r#"["sns:Publish","sqs:SendMessage"]"#, r#""Publish""#, r#""sns:X*""#]
        {
            assert_eq!(action(other), "Policy statement action out of service scope!", "{other}");
        }
        let resource = |resource: &str| found(&[statement(r#""*""#, r#""sns:Publish""#, resource)]);
        assert_eq!(resource(r#""*""#), "taken");
        assert_eq!(resource(r#""arn:aws:sns:*:000000000000:t""#), "taken");
        assert_eq!(resource(&format!("{:?}", format!("{ARN}x"))), "Policy Error: null");
        assert_eq!(resource(&format!("[{own},{own}]")), "Policy Error: null");
        let principal = |principal: &str| found(&[statement(principal, r#""sns:Publish""#, &own)]);
        assert_eq!(principal(r#"{"AWS":["111122223333","me"]}"#), "Policy Error: PrincipalNotFound");
        assert_eq!(principal(r#"{"Service":"s3.amazonaws.com"}"#), "taken");
        assert_eq!(principal(r#""me""#), "Policy Error: null");
        for text in ["", "x", "{}", "[]", r#"{"Statement":[]}"#] {
            assert_eq!(check(text, ARN), Err("Policy Error: null"), "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let plain = statement(r#""*""#, r#""sns:Publish""#, r#""*""#);
        assert_eq!(found(&vec![plain.clone(); 100]), "taken");
        assert_eq!(found(&vec![plain.clone(); 101]), "Policy Error: null");
        let principals = |many: usize| {
            let names: Vec<String> = (0..many).map(|number| format!("{number:012}")).collect();
            found(&[statement(&format!(r#"{{"AWS":{names:?}}}"#), r#""sns:Publish""#, r#""*""#)])
        };
        assert_eq!((principals(200), principals(201)), ("taken", "Policy Error: null"));
        let sized = |bytes: usize| {
            let empty = r#"{"Id":"","Statement":}"#.len() + plain.len();
            let id = "i".repeat(bytes - empty);
            check(&format!(r#"{{"Id":"{id}","Statement":{plain}}}"#), ARN).is_ok()
        };
        assert!(sized(30_720) && !sized(30_721));
    }
}
