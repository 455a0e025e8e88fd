//! A topic's policy as a document: AWS's default one, and the statements that AddPermission and RemovePermission write.
//!
//! Who is let in is decided in `access`.
//! <https://docs.aws.amazon.com/sns/latest/api/API_AddPermission.html>.

use serde_json::{Value, json};

use crate::access::{self, ACTIONS};
use crate::errors::SnsError;
use crate::topic::Topic;
use crate::topic_attributes::Refusal;

/// The policy of a topic that was given none.
pub(crate) fn default_for(topic: &Topic) -> String {
    const DEFAULT: [&str; 8] = [
        "SNS:GetTopicAttributes",
        "SNS:SetTopicAttributes",
        "SNS:AddPermission",
        "SNS:RemovePermission",
        "SNS:DeleteTopic",
        "SNS:Subscribe",
        "SNS:ListSubscriptionsByTopic",
        "SNS:Publish",
    ];
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": DEFAULT,
            "Resource": topic.arn(),
            "Condition": { "StringEquals": { "AWS:SourceOwner": topic.account.to_string() } },
        }],
    })
    .to_string()
}

/// Looks at a policy before it is kept.
pub(crate) fn checked(text: &str, topic_arn: &str) -> Result<String, Refusal> {
    match access::check(text, topic_arn) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(Refusal::Value(why.to_owned())),
    }
}

/// The policy with one more statement.
///
/// # Errors
/// `InvalidParameter` for an action that there is not, an account that is none, and a label that is there already.
pub(crate) fn with_statement(
    policy: &str,
    topic_arn: &str,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<String, SnsError> {
    if !actions.iter().all(|action| action == "*" || ACTIONS.contains(&action.as_str())) {
        return Err(SnsError::invalid("Policy statement action out of service scope!"));
    }
    let mut principals = Vec::with_capacity(accounts.len());
    for account in accounts {
        let account: base::AccountId =
            account.parse().map_err(|_| SnsError::invalid("Policy Reason: PrincipalNotFound"))?;
        principals.push(format!("arn:aws:iam::{account}:root"));
    }
    let actions: Vec<String> = actions.iter().map(|action| format!("SNS:{action}")).collect();
    let mut document = document(policy)?;
    let statements = statements(&mut document)?;
    if statements.iter().any(|statement| statement.get("Sid").and_then(Value::as_str) == Some(label)) {
        return Err(SnsError::invalid("Statement already exists"));
    }
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(principals) },
        "Action": one_or_many(actions),
        "Resource": topic_arn,
    }));
    Ok(document.to_string())
}

/// The policy without the statements of that label. One that is not there is no error.
pub(crate) fn without_statement(policy: &str, label: &str) -> Result<String, SnsError> {
    let mut document = document(policy)?;
    statements(&mut document)?
        .retain(|statement| statement.get("Sid").and_then(Value::as_str) != Some(label));
    Ok(document.to_string())
}

fn document(policy: &str) -> Result<Value, SnsError> {
    serde_json::from_str(policy).map_err(|_| SnsError::invalid("Policy Error: null"))
}

/// The list of statements; a single one becomes a list.
fn statements(document: &mut Value) -> Result<&mut Vec<Value>, SnsError> {
    let unfit = || SnsError::invalid("Policy Error: null");
    let statements =
        document.as_object_mut().ok_or_else(unfit)?.entry("Statement").or_insert_with(|| json!([]));
    if statements.is_object() {
        *statements = json!([statements.take()]);
    }
    statements.as_array_mut().ok_or_else(unfit)
}

fn one_or_many(mut texts: Vec<String>) -> Value {
    match (texts.len(), texts.pop()) {
        (1, Some(one)) => Value::String(one),
        (_, last) => Value::Array(texts.into_iter().chain(last).map(Value::String).collect()),
    }
}
