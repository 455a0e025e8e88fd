//! A queue's policy as text: checked when it is set, and extended by AddPermission one statement at a time.
//!
//! Who may do what by it is [`crate::access`]'s business.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html>.

use base::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access;
use crate::attributes;
use crate::errors::SqsError;

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html>.
const MAX_ACTIONS: usize = 7;
const MAX_PRINCIPALS: usize = 50;
const MAX_LABEL_CHARS: usize = 80;

/// What others can be let do to a queue. The rest is its owner's alone.
const ACTIONS: [&str; 9] = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];
const OWNERS_ACTIONS: [&str; 12] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// A policy with its statements apart. They are the user's own and kept as they are.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Policy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    statement: Statements,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Statements {
    Many(Vec<Value>),
    One(Value),
}

impl Statements {
    fn into_vec(self) -> Vec<Value> {
        match self {
            Statements::Many(statements) => statements,
            Statements::One(statement) => vec![statement],
        }
    }
}

/// The statement of AddPermission, as AWS writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    sid: &'a str,
    effect: &'static str,
    principal: Aws,
    action: OneOrMany,
    resource: &'a str,
}

#[derive(Serialize)]
struct Aws {
    #[serde(rename = "AWS")]
    aws: OneOrMany,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<Vec<String>> for OneOrMany {
    fn from(mut list: Vec<String>) -> Self {
        if list.len() == 1 { OneOrMany::One(list.remove(0)) } else { OneOrMany::Many(list) }
    }
}

/// Checks `Policy`; an empty text is none.
///
/// # Errors
/// `InvalidAttributeValue` for what is no policy, `OverLimit` for too much of it.
pub(crate) fn check(text: &str) -> Result<Option<String>, SqsError> {
    if text.is_empty() {
        return Ok(None);
    }
    access::check(text)?;
    Ok(Some(text.to_owned()))
}

/// What AddPermission asks for, checked.
#[derive(Clone, Debug)]
pub(crate) struct Permission {
    label: String,
    accounts: Vec<AccountId>,
    actions: Vec<String>,
}

impl Permission {
    /// # Errors
    /// `MissingParameter`, `InvalidParameterValue`, `OverLimit`.
    pub(crate) fn new(
        label: String,
        accounts: &[String],
        actions: Vec<String>,
    ) -> Result<Permission, SqsError> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        if label.is_empty() || label.len() > MAX_LABEL_CHARS || !label.chars().all(is_plain) {
            return Err(SqsError::value(
                "Label",
                &label,
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            ));
        }
        if accounts.is_empty() {
            return Err(SqsError::missing("PrincipalId"));
        }
        if actions.is_empty() {
            return Err(SqsError::missing("Actions"));
        }
        if actions.len() > MAX_ACTIONS {
            return Err(SqsError::other(
                "OverLimit",
                format!("{} Actions were found, maximum allowed is {MAX_ACTIONS}.", actions.len()),
            ));
        }
        if accounts.len() > MAX_PRINCIPALS {
            return Err(SqsError::other(
                "OverLimit",
                format!("{} Principals were found, maximum allowed is {MAX_PRINCIPALS}.", accounts.len()),
            ));
        }
        for action in &actions {
            check_action(action)?;
        }
        let read = |account: &String| {
            let refused =
                |_| SqsError::value("PrincipalId", format_args!("[{account}]"), "Unable to verify.");
            account.parse::<AccountId>().map_err(refused)
        };
        let accounts = accounts.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Permission { label, accounts, actions })
    }

    /// The policy with this permission.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a label that is there already, `OverLimit` for one statement too many.
    pub(crate) fn add_to(&self, policy: Option<&str>, queue_arn: &str) -> Result<String, SqsError> {
        let mut policy = match policy {
            Some(text) => read(text)?,
            None => Policy {
                version: Some("2008-10-17".to_owned()),
                id: Some(format!("{queue_arn}/SQSDefaultPolicy")),
                statement: Statements::Many(Vec::new()),
            },
        };
        let mut statements = policy.statement.into_vec();
        if statements.iter().any(|statement| has_label(statement, &self.label)) {
            return Err(SqsError::value("Label", &self.label, "Already exists."));
        }
        let principals = self.accounts.iter().map(|account| format!("arn:aws:iam::{account}:root"));
        let actions = self.actions.iter().map(|action| format!("SQS:{action}"));
        let statement = Statement {
            sid: &self.label,
            effect: "Allow",
            principal: Aws { aws: principals.collect::<Vec<_>>().into() },
            action: actions.collect::<Vec<_>>().into(),
            resource: queue_arn,
        };
        statements.push(serde_json::to_value(statement).map_err(internal)?);
        policy.statement = Statements::Many(statements);
        let text = serde_json::to_string(&policy).map_err(internal)?;
        access::check(&text)?;
        Ok(text)
    }
}

/// The policy without the statement of that label; `None`: no statement is left.
///
/// # Errors
/// `InvalidParameterValue` when there is no such statement.
pub(crate) fn without(policy: Option<&str>, label: &str) -> Result<Option<String>, SqsError> {
    let absent = || SqsError::value("Label", label, "can't find label.");
    let mut policy = read(policy.ok_or_else(absent)?)?;
    let mut statements = policy.statement.into_vec();
    let before = statements.len();
    statements.retain(|statement| !has_label(statement, label));
    if statements.len() == before {
        return Err(absent());
    }
    if statements.is_empty() {
        return Ok(None);
    }
    policy.statement = Statements::Many(statements);
    serde_json::to_string(&policy).map(Some).map_err(internal)
}

fn read(text: &str) -> Result<Policy, SqsError> {
    serde_json::from_str(text).map_err(|_| attributes::invalid("Policy"))
}

fn internal(error: serde_json::Error) -> SqsError {
    SqsError::Damaged(format!("a policy cannot be written: {error}"))
}

fn has_label(statement: &Value, label: &str) -> bool {
    statement.get("Sid").and_then(Value::as_str) == Some(label)
}

fn check_action(action: &str) -> Result<(), SqsError> {
    if ACTIONS.contains(&action) {
        return Ok(());
    }
    let reason = if OWNERS_ACTIONS.contains(&action) {
        "Only the queue owner is allowed to invoke this action."
    } else {
        "Please refer to the appropriate WSDL for a list of valid actions. "
    };
    Err(SqsError::value("ActionName", format_args!("SQS:{action}"), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:q";

    fn permission(label: &str, accounts: usize, actions: &[&str]) -> Result<Permission, SqsError> {
        let accounts: Vec<String> = (1..=accounts).map(|n| format!("{n:012}")).collect();
        Permission::new(
            label.to_owned(),
            &accounts,
            actions.iter().map(|action| (*action).to_owned()).collect(),
        )
    }

    #[test]
    fn a_permission_is_a_statement_as_aws_writes_it() {
        let one = permission("one", 1, &["SendMessage"]).unwrap().add_to(None, ARN).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&one).unwrap(),
            serde_json::json!({
                "Version": "2008-10-17",
                "Id": format!("{ARN}/SQSDefaultPolicy"),
                "Statement": [{
                    "Sid": "one",
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::000000000001:root"},
                    "Action": "SQS:SendMessage",
                    "Resource": ARN,
                }],
            })
        );
        let two = permission("two", 2, &["*", "GetQueueUrl"]).unwrap().add_to(Some(&one), ARN).unwrap();
        assert!(two.contains("[\"SQS:*\",\"SQS:GetQueueUrl\"]"), "{two}");
        permission("one", 1, &["*"]).unwrap().add_to(Some(&two), ARN).unwrap_err();
        let left = without(Some(&two), "two").unwrap().unwrap();
        without(Some(&left), "two").unwrap_err();
        assert_eq!(without(Some(&left), "one").unwrap(), None);
        without(None, "one").unwrap_err();
    }

    #[test]
    fn permissions_have_limits() {
        permission(&"x".repeat(80), 50, &["SendMessage"; 7]).unwrap();
        permission(&"x".repeat(81), 1, &["*"]).unwrap_err();
        permission("a b", 1, &["*"]).unwrap_err();
        permission("", 1, &["*"]).unwrap_err();
        permission("x", 51, &["*"]).unwrap_err();
        permission("x", 0, &["*"]).unwrap_err();
        permission("x", 1, &[]).unwrap_err();
        let error = permission("x", 1, &["SendMessage"; 8]).unwrap_err().to_string();
        assert_eq!(error, "8 Actions were found, maximum allowed is 7.");
        assert!(
            permission("x", 1, &["DeleteQueue"]).unwrap_err().to_string().contains("Only the queue owner")
        );
        assert!(permission("x", 1, &["Nonsense"]).unwrap_err().to_string().contains("WSDL"));
        Permission::new("x".to_owned(), &["12".to_owned()], vec!["*".to_owned()]).unwrap_err();
    }

    #[test]
    fn a_policy_that_is_full_takes_no_permission() {
        let statement = r#"{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}"#;
        let policy = |count: usize| {
            format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", vec![statement; count].join(","))
        };
        permission("x", 1, &["*"]).unwrap().add_to(Some(&policy(19)), ARN).unwrap();
        permission("x", 1, &["*"]).unwrap().add_to(Some(&policy(20)), ARN).unwrap_err();
        assert_eq!(check("").unwrap(), None);
    }
}
