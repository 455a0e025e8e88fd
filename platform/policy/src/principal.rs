//! Whom a statement is about.
//!
//! Paths of users and roles are no part of a principal here: the last segment of an ARN is the name.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>.

use base::{AccountId, Principal};

use crate::document::PrincipalBlock;

/// The kinds that a block may have.
pub(crate) const KINDS: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];

/// The account that a principal belongs to: a service and a stranger belong to none.
#[must_use]
pub fn account_of(principal: &Principal) -> Option<AccountId> {
    match principal {
        Principal::Root { account }
        | Principal::User { account, .. }
        | Principal::AssumedRole { account, .. } => Some(*account),
        Principal::Service(_) | Principal::Anonymous => None,
    }
}

impl PrincipalBlock {
    /// Whether the block names the principal. Nobody signs in through a federation or by a canonical user id here, so
    /// these name nobody.
    pub(crate) fn covers(&self, principal: &Principal) -> bool {
        let kinds = match self {
            PrincipalBlock::Everyone(_) => return true,
            PrincipalBlock::Kinds(kinds) => kinds,
        };
        kinds.0.iter().any(|(kind, names)| {
            names.items().iter().any(|name| match (kind.as_str(), principal) {
                ("AWS", _) if name == "*" => true,
                ("AWS", principal) => covers_identity(name, principal),
                ("Service", Principal::Service(host)) => name == host,
                _ => false,
            })
        })
    }

    /// How many names the block lists.
    #[must_use]
    pub fn names(&self) -> usize {
        match self {
            PrincipalBlock::Everyone(_) => 1,
            PrincipalBlock::Kinds(kinds) => kinds.0.iter().map(|(_, names)| names.items().len()).sum(),
        }
    }

    /// The first name under `AWS` that can be nobody's: neither `*`, nor an account, nor an ARN of IAM or STS, nor a
    /// unique id.
    #[must_use]
    pub fn unknown_name(&self) -> Option<&str> {
        let PrincipalBlock::Kinds(kinds) = self else { return None };
        let of_aws = kinds.0.iter().filter(|(kind, _)| kind == "AWS");
        of_aws.flat_map(|(_, names)| names.items()).map(String::as_str).find(|name| !is_name(name))
    }
}

fn is_name(name: &str) -> bool {
    if name == "*" || name.parse::<AccountId>().is_ok() {
        return true;
    }
    // A user or role that is gone shows by its unique id.
    let unique = ["AIDA", "AROA"].iter().any(|start| name.starts_with(start));
    if unique && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return true;
    }
    Identity::read(name).is_some()
}

/// An account (its number, or its root) covers everyone in it; a role covers its sessions.
fn covers_identity(name: &str, principal: &Principal) -> bool {
    let Some(account) = account_of(principal) else { return false };
    if let Ok(named) = name.parse::<AccountId>() {
        return named == account;
    }
    let Some(identity) = Identity::read(name).filter(|identity| identity.account == account) else {
        return false;
    };
    match (identity.kind, principal) {
        (Kind::Account, _) => true,
        (Kind::User(named), Principal::User { name, .. }) => named == name.as_ref(),
        (Kind::Role(named), Principal::AssumedRole { role, .. }) => named == role.as_ref(),
        (Kind::Session(named, in_session), Principal::AssumedRole { role, session, .. }) => {
            named == role.as_ref() && in_session == session.as_ref()
        }
        _ => false,
    }
}

/// What an ARN of IAM or STS names.
struct Identity<'a> {
    account: AccountId,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Account,
    User(&'a str),
    Role(&'a str),
    Session(&'a str, &'a str),
    /// A federated user, or a SAML or OIDC provider: nobody signs in as one here.
    Other,
}

impl<'a> Identity<'a> {
    fn read(arn: &'a str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':');
        let head = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let ("arn", "aws" | "aws-cn" | "aws-us-gov", service @ ("iam" | "sts"), "") = head else {
            return None;
        };
        let account: AccountId = fields.next()?.parse().ok()?;
        let resource = fields.next()?;
        if resource.contains(['*', '?']) {
            return None;
        }
        let last = resource.rsplit('/').next().filter(|name| !name.is_empty())?;
        let kind = match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => Kind::Account,
            ("iam", Some(("user", _))) => Kind::User(last),
            ("iam", Some(("role", _))) => Kind::Role(last),
            ("sts", Some(("assumed-role", rest))) => {
                let (role, session) = rest.split_once('/')?;
                Kind::Session(role, session)
            }
            (_, Some(("federated-user" | "saml-provider" | "oidc-provider", _))) => Kind::Other,
            _ => return None,
        };
        Some(Identity { account, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(block: &str, principal: &Principal) -> bool {
        serde_json::from_str::<PrincipalBlock>(block).unwrap().covers(principal)
    }

    fn user(account: &str, name: &str) -> Principal {
        Principal::User { account: account.parse().unwrap(), name: name.into() }
    }

    #[test]
    fn principals_are_told_apart() {
        let account = "111122223333".parse().unwrap();
        let role = Principal::AssumedRole { account, role: "runner".into(), session: "s1".into() };
        let ann = user("111122223333", "ann");
        let sns = Principal::Service("sns.amazonaws.com");
        for everyone in [r#""*""#, r#"{"AWS":"*"}"#] {
            for principal in [&ann, &role, &sns, &Principal::Anonymous] {
                assert!(covers(everyone, principal), "{everyone} {principal:?}");
            }
        }
        for account in [r#"{"AWS":"111122223333"}"#, r#"{"AWS":["x","arn:aws:iam::111122223333:root"]}"#] {
            assert!(covers(account, &ann) && covers(account, &role));
            assert!(covers(account, &Principal::Root { account: "111122223333".parse().unwrap() }));
            assert!(!covers(account, &user("000000000001", "ann")) && !covers(account, &sns));
            assert!(!covers(account, &Principal::Anonymous));
        }
        assert!(covers(r#"{"AWS":"arn:aws:iam::111122223333:user/dept/ann"}"#, &ann));
        assert!(!covers(r#"{"AWS":"arn:aws:iam::111122223333:user/bob"}"#, &ann));
        assert!(!covers(r#"{"AWS":"arn:aws:iam::111122223333:user/*"}"#, &ann), "no wildcards in names");
        assert!(covers(r#"{"AWS":"arn:aws:iam::111122223333:role/service-role/runner"}"#, &role));
        assert!(!covers(r#"{"AWS":"arn:aws:iam::444455556666:role/runner"}"#, &role));
        assert!(covers(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/runner/s1"}"#, &role));
        assert!(!covers(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/runner/s2"}"#, &role));
        assert!(covers(r#"{"Service":["s3.amazonaws.com","sns.amazonaws.com"]}"#, &sns));
        assert!(!covers(r#"{"Service":"s3.amazonaws.com"}"#, &sns));
        assert!(!covers(r#"{"Service":"sns.amazonaws.com"}"#, &ann));
        assert!(!covers(r#"{"Federated":"cognito-identity.amazonaws.com"}"#, &ann));
        assert!(!covers(
            r#"{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}"#,
            &ann
        ));
        assert!(
            covers(r#"{"Service":"s3.amazonaws.com","AWS":"111122223333"}"#, &ann),
            "kinds are alternatives"
        );
    }

    #[test]
    fn names_that_are_nobodys_are_found() {
        let unknown = |names: &str| {
            let block: PrincipalBlock = serde_json::from_str(&format!(r#"{{"AWS":{names}}}"#)).unwrap();
            block.unknown_name().map(str::to_owned)
        };
        for known in [
            "*",
            "111122223333",
            "arn:aws:iam::111122223333:root",
            "arn:aws-cn:iam::111122223333:user/a/b",
            "arn:aws:sts::111122223333:assumed-role/r/s",
            "arn:aws:sts::111122223333:federated-user/u",
            "AIDAEXAMPLE12345",
        ] {
            assert_eq!(unknown(&format!("{known:?}")), None, "{known}");
        }
        for bad in
            ["", "me", "1234", "arn:aws:iam::1:root", "arn:aws:s3:::b", "arn:aws:iam::111122223333:user/*"]
        {
            assert_eq!(unknown(&format!("[\"*\",{bad:?}]")).as_deref(), Some(bad));
        }
    }
}
