//! The grammar of policy documents, as far as IAM checks it before it stores one.
//!
//! It does not evaluate anything, and keeps no parsed form: what is stored and given back is the text as it came.
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::errors::IamError;

const CURRENT_VERSION: &str = "2012-10-17";
const OLD_VERSION: &str = "2008-10-17";
const SYNTAX: &str = "Syntax errors in policy.";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    sid: Option<String>,
    effect: Option<Effect>,
    principal: Option<PrincipalBlock>,
    not_principal: Option<PrincipalBlock>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(rename = "Condition")]
    _condition: Option<BTreeMap<String, BTreeMap<String, OneOrMany<Scalar>>>>,
}

#[derive(Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn items(&self) -> &[T] {
        match self {
            OneOrMany::One(item) => std::slice::from_ref(item),
            OneOrMany::Many(items) => items,
        }
    }
}

/// A condition's value: text, number or truth value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(#[allow(dead_code)] String),
    Number(#[allow(dead_code)] f64),
    Truth(#[allow(dead_code)] bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PrincipalBlock {
    /// `"*"`, the only text there is.
    Everyone(String),
    /// `{"Service": "lambda.amazonaws.com"}`.
    Kinds(BTreeMap<String, OneOrMany<String>>),
}

/// Checks what may assume a role.
pub(crate) fn check_trust(text: &str) -> Result<(), IamError> {
    let document = parse(text)?;
    for statement in document.statement.items() {
        check_common(statement)?;
        if statement.principal.is_none() && statement.not_principal.is_none() {
            return Err(malformed("Missing required field Principal"));
        }
        for principal in [&statement.principal, &statement.not_principal].into_iter().flatten() {
            check_principal(principal)?;
        }
        if statement.resource.is_some() || statement.not_resource.is_some() {
            return Err(malformed("Has prohibited field Resource"));
        }
        let actions = statement.action.as_ref().or(statement.not_action.as_ref());
        let Some(actions) = actions else { return Err(malformed("Missing required field Action")) };
        let of_sts = |action: &String| action.to_lowercase().starts_with("sts:");
        if !actions.items().iter().all(of_sts) {
            return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
        }
    }
    Ok(())
}

/// Checks what an identity may do.
pub(crate) fn check_identity(text: &str) -> Result<(), IamError> {
    let document = parse(text)?;
    if document.version.as_deref() != Some(CURRENT_VERSION) {
        return Err(malformed("Policy document must be version 2012-10-17 or greater."));
    }
    for statement in document.statement.items() {
        check_common(statement)?;
        if statement.principal.is_some() || statement.not_principal.is_some() {
            return Err(malformed("Policy document should not specify a principal."));
        }
        check_actions(statement)?;
        check_resources(statement)?;
    }
    Ok(())
}

/// Characters that count towards IAM's size limits: all but white space.
pub(crate) fn size_chars(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

fn parse(text: &str) -> Result<Document, IamError> {
    if text.starts_with(char::is_whitespace) {
        return Err(malformed("JSON strings must not have leading spaces"));
    }
    let document: Document = serde_json::from_str(text).map_err(|error| {
        malformed(if error.is_data() { SYNTAX } else { "This policy contains invalid Json" })
    })?;
    if !matches!(document.version.as_deref(), None | Some(CURRENT_VERSION | OLD_VERSION)) {
        return Err(malformed(SYNTAX));
    }
    if document.statement.items().is_empty() {
        return Err(malformed(SYNTAX));
    }
    let mut sids = HashSet::new();
    let named = document.statement.items().iter().filter_map(|statement| statement.sid.as_deref());
    for sid in named.filter(|sid| !sid.is_empty()) {
        if !sids.insert(sid) {
            return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(document)
}

/// What both kinds of policy need.
fn check_common(statement: &Statement) -> Result<(), IamError> {
    match statement.effect {
        Some(Effect::Allow | Effect::Deny) => {}
        None => return Err(malformed("Missing required field Effect")),
    }
    let both = (statement.action.is_some() && statement.not_action.is_some())
        || (statement.resource.is_some() && statement.not_resource.is_some())
        || (statement.principal.is_some() && statement.not_principal.is_some());
    if both { Err(malformed(SYNTAX)) } else { Ok(()) }
}

fn check_principal(principal: &PrincipalBlock) -> Result<(), IamError> {
    let fits = match principal {
        PrincipalBlock::Everyone(text) => text == "*",
        PrincipalBlock::Kinds(kinds) => {
            !kinds.is_empty()
                && kinds.iter().all(|(kind, names)| {
                    ["AWS", "Service", "Federated", "CanonicalUser"].contains(&kind.as_str())
                        && !names.items().is_empty()
                })
        }
    };
    if fits { Ok(()) } else { Err(malformed("Invalid principal in policy")) }
}

fn check_actions(statement: &Statement) -> Result<(), IamError> {
    let actions = statement.action.as_ref().or(statement.not_action.as_ref());
    let actions = actions.map(OneOrMany::items).unwrap_or_default();
    if actions.is_empty() {
        return Err(malformed("Policy statement must contain actions."));
    }
    let has_vendor = |action: &String| {
        action == "*"
            || action.split_once(':').is_some_and(|(vendor, name)| !vendor.is_empty() && !name.is_empty())
    };
    if actions.iter().all(has_vendor) {
        Ok(())
    } else {
        Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."))
    }
}

fn check_resources(statement: &Statement) -> Result<(), IamError> {
    let resources = statement.resource.as_ref().or(statement.not_resource.as_ref());
    let resources = resources.map(OneOrMany::items).unwrap_or_default();
    if resources.is_empty() {
        return Err(malformed("Policy statement must contain resources."));
    }
    match resources.iter().find(|resource| *resource != "*" && !resource.starts_with("arn:")) {
        Some(bad) => Err(malformed(format!("Resource {bad} must be in ARN format or \"*\"."))),
        None => Ok(()),
    }
}

fn malformed(why: impl Into<String>) -> IamError {
    IamError::MalformedPolicy(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(result: Result<(), IamError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn the_usual_documents_pass() {
        check_trust(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
                "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#,
        )
        .unwrap();
        check_trust(r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":["sts:AssumeRole","sts:TagSession"]}}"#)
            .unwrap();
        check_identity(
            r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"a","Effect":"Allow","Action":"logs:*","Resource":"*"},
                {"Sid":"b","Effect":"Deny","NotAction":["s3:Get*"],"Resource":["arn:aws:s3:::b/*"],
                 "Condition":{"Bool":{"aws:SecureTransport":[true,"false"]},"NumericLessThan":{"a:b":3}}}]}"#,
        )
        .unwrap();
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        assert_eq!(why(check_trust("not json")), "This policy contains invalid Json");
        assert_eq!(why(check_trust(" {}")), "JSON strings must not have leading spaces");
        assert_eq!(why(check_trust("{}")), SYNTAX);
        assert_eq!(why(check_trust(r#"{"Version":"2012-10-17"}"#)), SYNTAX);
        assert_eq!(why(check_trust(r#"{"Version":"2012-10-17","Statement":[]}"#)), SYNTAX);
        assert_eq!(why(check_trust(r#"{"Version":"2020-01-01","Statement":[]}"#)), SYNTAX);
        assert_eq!(why(check_trust(r#"{"Statement":[{"Effect":"allow"}]}"#)), SYNTAX);
        assert_eq!(
            why(check_trust(r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}"#)),
            "Missing required field Principal"
        );
        assert_eq!(
            why(check_trust(
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}]}"#
            )),
            "Has prohibited field Resource"
        );
        assert_eq!(
            why(check_trust(r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*"}]}"#)),
            "AssumeRole policy may only specify STS AssumeRole actions."
        );
    }

    #[test]
    fn identity_policies_have_rules_of_their_own() {
        let with = |statement: &str| {
            check_identity(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#))
        };
        assert_eq!(
            why(check_identity(r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#)),
            "Policy document must be version 2012-10-17 or greater."
        );
        assert_eq!(
            why(with(r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#)),
            "Policy document should not specify a principal."
        );
        assert_eq!(
            why(with(r#"{"Effect":"Allow","Resource":"*"}"#)),
            "Policy statement must contain actions."
        );
        assert_eq!(
            why(with(r#"{"Effect":"Allow","Action":"*"}"#)),
            "Policy statement must contain resources."
        );
        assert_eq!(
            why(with(r#"{"Effect":"Allow","Action":"GetObject","Resource":"*"}"#)),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        );
        assert_eq!(
            why(with(r#"{"Effect":"Allow","Action":"*","Resource":"bucket"}"#)),
            "Resource bucket must be in ARN format or \"*\"."
        );
        assert_eq!(
            why(with(
                r#"{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}"#
            )),
            "Statement IDs (SID) in a single policy must be unique."
        );
    }

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size_chars("{ \"a\" :\n 1 }"), 7);
    }
}
