//! Code signing configurations in the store, and which functions have which.
//!
//! A configuration says who may sign packages, and what becomes of a package that none of them signed. Packages come in
//! requests, and nobody has signed those; so this room never looks into one. Where the policy is `Enforce`, such a
//! package is refused; where it is `Warn`, it is taken.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html>.
//!
//! **Invariant:** a function's aspect `code-signing` and its row among the users of the configuration are written and
//! removed together; a configuration with users is not deleted.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::functions::{Functions, damaged, decode, space_of};
use crate::keys::{self, Space, V1};
use crate::name::Target;

/// A code signing configuration. Its id is in its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningConfig {
    pub(crate) description: String,
    /// ARNs of signing profile versions, 1 to 20.
    pub(crate) publishers: Vec<String>,
    pub(crate) policy: Untrusted,
    pub(crate) modified_at: Timestamp,
}

/// What becomes of a package that nobody allowed has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Untrusted {
    /// It is taken.
    #[default]
    Warn,
    /// It is refused.
    Enforce,
}

/// The configuration that a function has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signing {
    /// The configuration's id.
    pub(crate) config: String,
}

impl Aspect for Signing {
    const KIND: &'static str = "code-signing";
}

/// Changes of a configuration; `None` is "as it is".
#[derive(Clone, Debug, Default)]
pub(crate) struct SigningChange {
    pub(crate) description: Option<String>,
    pub(crate) publishers: Option<Vec<String>>,
    pub(crate) policy: Option<Untrusted>,
}

impl Untrusted {
    /// AWS's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Untrusted::Warn => "Warn",
            Untrusted::Enforce => "Enforce",
        }
    }
}

/// A new id: `csc-` and 17 letters and digits.
pub(crate) fn new_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("csc-0{}", &random[..16])
}

/// The ARN of a configuration.
pub(crate) fn arn(space: &Space, id: &str) -> String {
    format!("arn:aws:lambda:{}:{}:code-signing-config:{id}", space.region(), space.account())
}

impl Functions {
    /// Writes a new configuration.
    pub(crate) async fn create_signing(
        &self,
        space: &Space,
        id: &str,
        config: SigningConfig,
    ) -> Result<SigningConfig, LambdaError> {
        let key = space.signing_config(id).build();
        self.run(move |tx| {
            tx.put(key.clone(), value::encode(V1, &config))?;
            Ok(Ok(config.clone()))
        })
        .await
    }

    /// A configuration, if it is there.
    pub(crate) fn signing(&self, space: &Space, id: &str) -> Result<Option<SigningConfig>, LambdaError> {
        self.store().get(&space.signing_config(id))?.map(|row| decode(&row)).transpose()
    }

    /// Changes a configuration; nothing when there is none.
    pub(crate) async fn change_signing(
        &self,
        space: &Space,
        id: &str,
        change: SigningChange,
    ) -> Result<Option<SigningConfig>, LambdaError> {
        let (key, at) = (space.signing_config(id), self.mark().at);
        self.run(move |tx| {
            let Some(row) = tx.get(&key)? else { return Ok(Ok(None)) };
            let mut config: SigningConfig = value::decode(V1, &row)?;
            if let Some(description) = &change.description {
                config.description.clone_from(description);
            }
            if let Some(publishers) = &change.publishers {
                config.publishers.clone_from(publishers);
            }
            config.policy = change.policy.unwrap_or(config.policy);
            config.modified_at = at;
            tx.put(key.clone().build(), value::encode(V1, &config))?;
            Ok(Ok(Some(config)))
        })
        .await
    }

    /// Deletes a configuration that no function has; says whether it was there.
    ///
    /// # Errors
    /// `ResourceConflictException` when a function has it.
    pub(crate) async fn delete_signing(&self, space: &Space, id: &str) -> Result<bool, LambdaError> {
        let (space, id) = (space.clone(), id.to_owned());
        self.run(move |tx| {
            let key = space.signing_config(&id);
            if tx.get(&key)?.is_none() {
                return Ok(Ok(false));
            }
            if !tx.range(space.signing_users(&id).range().limit(1))?.is_empty() {
                return Ok(Err(LambdaError::Conflict(format!(
                    "The code signing configuration {} cannot be deleted while functions use it.",
                    arn(&space, &id)
                ))));
            }
            tx.delete(&key)?;
            Ok(Ok(true))
        })
        .await
    }

    /// Up to `limit` configurations by id after this one, and whether there are more.
    pub(crate) fn signings(
        &self,
        space: &Space,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, SigningConfig)>, bool), LambdaError> {
        let mut range = space.signing_configs().range().limit(limit + 1);
        if let Some(after) = after {
            range.from = space.signing_config(after).prefix_end();
        }
        let mut configs = Vec::new();
        for (key, row) in self.store().range(range)? {
            let id =
                keys::function_name_of(&key).ok_or_else(|| damaged("a code signing configuration's key"))?;
            configs.push((id, decode(&row)?));
        }
        let more = configs.len() > limit;
        configs.truncate(limit);
        Ok((configs, more))
    }

    /// Up to `limit` names of functions that have this configuration, after this one, and whether there are more.
    pub(crate) fn signed_functions(
        &self,
        space: &Space,
        id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), LambdaError> {
        let mut range = space.signing_users(id).range().limit(limit + 1);
        if let Some(after) = after {
            range.from = space.signing_user(id, after).prefix_end();
        }
        let mut names = Vec::new();
        for (key, _) in self.store().range(range)? {
            names.push(keys::tag_key_of(&key).ok_or_else(|| damaged("a code signing user's key"))?);
        }
        let more = names.len() > limit;
        names.truncate(limit);
        Ok((names, more))
    }

    /// Gives a function a configuration, or takes it away.
    ///
    /// # Errors
    /// `ResourceNotFoundException` for the function, `CodeSigningConfigNotFoundException`.
    pub(crate) async fn sign(&self, target: &Target, config: Option<String>) -> Result<(), LambdaError> {
        let (space, target) = (space_of(target), target.unqualified());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            leave_in(tx, &space, &target.name)?;
            match &config {
                Some(id) => join_in(tx, &space, &target.name, id),
                None => Ok(Ok(())),
            }
        })
        .await
    }

    /// Refuses a package or a layer that nobody signed for a function whose configuration enforces signatures.
    ///
    /// # Errors
    /// `CodeVerificationFailedException`.
    pub(crate) fn check_unsigned_for(&self, target: &Target) -> Result<(), LambdaError> {
        let signing = self.aspect::<Signing>(target, "")?;
        self.check_unsigned(target, signing.as_ref().map(|signing| signing.config.as_str()))
    }

    /// The same for a function that is to have this configuration.
    ///
    /// # Errors
    /// `CodeVerificationFailedException`; `CodeSigningConfigNotFoundException`.
    pub(crate) fn check_unsigned(&self, target: &Target, config: Option<&str>) -> Result<(), LambdaError> {
        let Some(id) = config else { return Ok(()) };
        let space = space_of(target);
        let config = self.signing(&space, id)?.ok_or_else(|| not_found(&space, id))?;
        match config.policy {
            Untrusted::Warn => {
                tracing::warn!(function = %target.arn(), config = id, "an unsigned package is taken");
                Ok(())
            }
            Untrusted::Enforce => Err(LambdaError::CodeVerification(target.arn())),
        }
    }
}

/// Gives a function a configuration, within a transaction.
pub(crate) fn join_in(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    id: &str,
) -> Result<Result<(), LambdaError>, TxError> {
    if tx.get(&space.signing_config(id))?.is_none() {
        return Ok(Err(not_found(space, id)));
    }
    let signing = Signing { config: id.to_owned() };
    tx.put(space.aspect(name, Signing::KIND, "").build(), value::encode(V1, &signing))?;
    tx.put(space.signing_user(id, name).build(), value::encode(V1, &()))?;
    Ok(Ok(()))
}

/// Takes a function's configuration away, within a transaction.
pub(crate) fn leave_in(tx: &mut dyn Tx, space: &Space, name: &str) -> Result<(), TxError> {
    let key = space.aspect(name, Signing::KIND, "");
    if let Some(row) = tx.get(&key)? {
        let signing: Signing = value::decode(V1, &row)?;
        tx.delete(&key)?;
        tx.delete(&space.signing_user(&signing.config, name))?;
    }
    Ok(())
}

/// AWS's words for a configuration that a function should have.
pub(crate) fn not_found(space: &Space, id: &str) -> LambdaError {
    LambdaError::SigningConfigNotFound(format!(
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: {}.",
        arn(space, id)
    ))
}
