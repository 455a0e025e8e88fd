//! Who besides its own account may use a layer version: statements that allow `lambda:GetLayerVersion`.
//!
//! It is stored as the few facts that a statement can hold, and shown as the JSON document that AWS makes of them.
//! There are no organisations here, so a statement for one allows nobody; it is kept and shown all the same.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html>.

// The members of the document are the policy language's.
#![allow(missing_docs)]

use base::AccountId;
use serde::{Deserialize, Serialize};

use super::LayerVersionId;
use crate::error::LambdaError;
use crate::policy::MAX_POLICY_BYTES;

/// The only action that a layer's policy can allow.
pub(crate) const ACTION: &str = "lambda:GetLayerVersion";

/// The policy of a layer version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerPolicy {
    pub(crate) statements: Vec<LayerStatement>,
    /// New with every change.
    pub(crate) revision_id: String,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerStatement {
    pub(crate) sid: String,
    /// `*`, an account's number, or the ARN of its root.
    pub(crate) principal: String,
    pub(crate) organization: Option<String>,
}

impl LayerPolicy {
    /// Whether another account may use the version.
    pub(crate) fn allows(&self, account: AccountId) -> bool {
        let account = account.to_string();
        self.statements.iter().any(|statement| {
            statement.organization.is_none()
                && (statement.principal == "*" || statement.account() == Some(account.as_str()))
        })
    }

    /// Adds a statement.
    ///
    /// # Errors
    /// `ResourceConflictException`, `PolicyLengthExceededException`.
    pub(crate) fn add(&mut self, statement: LayerStatement, id: &LayerVersionId) -> Result<(), LambdaError> {
        if self.statements.iter().any(|other| other.sid == statement.sid) {
            return Err(LambdaError::Conflict(format!(
                "The statement id ({}) provided already exists. Please provide a new statement id, or remove the \
                 existing statement.",
                statement.sid
            )));
        }
        self.statements.push(statement);
        let length = self.document(id)?.len();
        if length > MAX_POLICY_BYTES {
            return Err(LambdaError::PolicyLength(length));
        }
        Ok(())
    }

    /// Removes a statement.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn remove(&mut self, sid: &str) -> Result<(), LambdaError> {
        let before = self.statements.len();
        self.statements.retain(|statement| statement.sid != sid);
        if self.statements.len() == before {
            return Err(LambdaError::NotFound(format!("Statement {sid} is not found in resource policy.")));
        }
        Ok(())
    }

    /// `PreconditionFailedException` unless the revision id is the current one, or none was given.
    pub(crate) fn check_revision(&self, revision_id: Option<&str>) -> Result<(), LambdaError> {
        match revision_id {
            Some(expected) if expected != self.revision_id => Err(LambdaError::LayerPolicyPrecondition),
            _ => Ok(()),
        }
    }

    /// The policy as JSON.
    pub(crate) fn document(&self, id: &LayerVersionId) -> Result<String, LambdaError> {
        let statements = self.statements.iter().map(|statement| statement.shown(id)).collect();
        json(&Document { version: "2012-10-17", id: "default", statement: statements })
    }
}

impl LayerStatement {
    /// The statement as JSON.
    pub(crate) fn document(&self, id: &LayerVersionId) -> Result<String, LambdaError> {
        json(&self.shown(id))
    }

    fn account(&self) -> Option<&str> {
        match self.principal.split(':').collect::<Vec<_>>()[..] {
            [account] => Some(account),
            ["arn", _, "iam", "", account, "root"] => Some(account),
            _ => None,
        }
    }

    fn shown(&self, id: &LayerVersionId) -> Statement<'_> {
        let principal = match self.account() {
            Some(account) if account != "*" => Principal::Aws { aws: format!("arn:aws:iam::{account}:root") },
            _ => Principal::Any("*"),
        };
        let organization = self.organization.as_deref();
        Statement {
            sid: &self.sid,
            effect: "Allow",
            principal,
            action: ACTION,
            resource: id.to_string(),
            condition: organization.map(|id| Condition { string_equals: StringEquals { organization: id } }),
        }
    }
}

fn json(value: &impl Serialize) -> Result<String, LambdaError> {
    serde_json::to_string(value).map_err(|error| LambdaError::Internal(error.to_string()))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    version: &'static str,
    id: &'static str,
    statement: Vec<Statement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    sid: &'a str,
    effect: &'static str,
    principal: Principal,
    action: &'static str,
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Principal {
    Any(&'static str),
    Aws {
        #[serde(rename = "AWS")]
        aws: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition<'a> {
    string_equals: StringEquals<'a>,
}

#[derive(Serialize)]
struct StringEquals<'a> {
    #[serde(rename = "aws:PrincipalOrgID")]
    organization: &'a str,
}
