//! Aliases in the store: names that lead to a version, or to two of them by weight.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>.
//!
//! **Invariant:** every version that an alias leads to exists: it is checked in the transaction that writes the alias,
//! and a version that an alias leads to is not deleted.

use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use crate::error::LambdaError;
use crate::functions::{Functions, Outcome, damaged, decode, space_of};
use crate::keys::{self, Space, V1};
use crate::name::Target;
use crate::record::FunctionRecord;
use crate::version::Version;
use crate::versions::remove_aspects_at;

/// An alias. Its name is in its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    pub(crate) version: Version,
    /// A second version that gets a part of the invokes.
    pub(crate) additional: Option<Share>,
    pub(crate) description: String,
    /// A random UUID, new with every change.
    pub(crate) revision_id: String,
}

/// A published version, and its part of the invokes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) number: u64,
    /// 0 to 1.
    pub(crate) weight: f64,
}

/// What a request wants of an alias; `None` is "as it is".
#[derive(Clone, Debug, Default)]
pub(crate) struct AliasChange {
    pub(crate) version: Option<Version>,
    pub(crate) description: Option<String>,
    /// `Some(None)`: no second version.
    pub(crate) additional: Option<Option<Share>>,
}

impl AliasRecord {
    /// The version that a draw from `[0, 1)` leads to.
    pub(crate) fn pick(&self, draw: f64) -> Version {
        match self.additional {
            Some(share) if draw < share.weight => Version::Number(share.number),
            _ => self.version,
        }
    }

    /// Whether any invoke may be led to the version.
    pub(crate) fn leads_to(&self, number: u64) -> bool {
        self.version == Version::Number(number) || self.additional.is_some_and(|share| share.number == number)
    }

    fn apply(&mut self, change: &AliasChange) {
        if let Some(version) = change.version {
            self.version = version;
        }
        if let Some(description) = &change.description {
            self.description.clone_from(description);
        }
        if let Some(additional) = change.additional {
            self.additional = additional;
        }
    }
}

impl Functions {
    /// An alias of the target's function, if it is there.
    pub(crate) fn alias(&self, target: &Target, alias: &str) -> Result<Option<AliasRecord>, LambdaError> {
        let row = self.store().get(&space_of(target).alias(&target.name, alias))?;
        row.map(|row| decode(&row)).transpose()
    }

    /// Creates the alias that the target's qualifier names.
    ///
    /// # Errors
    /// `ResourceNotFoundException` for a function or version that is not there, `ResourceConflictException` when the name
    /// is taken, `InvalidParameterValueException` for weights that cannot be.
    pub(crate) async fn create_alias(
        &self,
        target: &Target,
        alias: &str,
        version: Version,
        change: AliasChange,
    ) -> Result<AliasRecord, LambdaError> {
        let (space, target, alias) = (space_of(target), target.unqualified(), alias.to_owned());
        let revision_id = uuid::Uuid::new_v4().to_string();
        self.run(move |tx| {
            let mut record = AliasRecord {
                version,
                additional: None,
                description: String::new(),
                revision_id: revision_id.clone(),
            };
            record.apply(&change);
            if let Err(error) = check(tx, &space, &target, &record)? {
                return Ok(Err(error));
            }
            let key = space.alias(&target.name, &alias);
            if tx.get(&key)?.is_some() {
                let arn = target.at(&alias).qualified_arn();
                return Ok(Err(LambdaError::Conflict(format!("Alias already exists: {arn}"))));
            }
            tx.put(key.build(), value::encode(V1, &record))?;
            Ok(Ok(record))
        })
        .await
    }

    /// Changes an alias.
    ///
    /// # Errors
    /// As [`Functions::create_alias`]; `PreconditionFailedException` when `revision_id` is not the current one.
    pub(crate) async fn update_alias(
        &self,
        target: &Target,
        alias: &str,
        revision_id: Option<String>,
        change: AliasChange,
    ) -> Result<AliasRecord, LambdaError> {
        let (space, target, alias) = (space_of(target), target.unqualified(), alias.to_owned());
        let new_revision_id = uuid::Uuid::new_v4().to_string();
        self.run(move |tx| {
            let key = space.alias(&target.name, &alias);
            let Some(row) = tx.get(&key)? else {
                let arn = target.at(&alias).qualified_arn();
                return Ok(Err(LambdaError::NotFound(format!("Alias not found: {arn}"))));
            };
            let mut record: AliasRecord = value::decode(V1, &row)?;
            if revision_id.as_ref().is_some_and(|expected| *expected != record.revision_id) {
                return Ok(Err(LambdaError::Precondition));
            }
            record.apply(&change);
            if let Err(error) = check(tx, &space, &target, &record)? {
                return Ok(Err(error));
            }
            if let Err(error) =
                crate::capacity::check_alias_change(tx, &space, &target.name, &alias, &record)?
            {
                return Ok(Err(error));
            }
            record.revision_id.clone_from(&new_revision_id);
            tx.put(key.build(), value::encode(V1, &record))?;
            Ok(Ok(record))
        })
        .await
    }

    /// Deletes an alias with its aspects. One that is not there is no error, as with AWS.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such function.
    pub(crate) async fn delete_alias(&self, target: &Target, alias: &str) -> Result<(), LambdaError> {
        let (space, target, alias) = (space_of(target), target.unqualified(), alias.to_owned());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            let key = space.alias(&target.name, &alias);
            if tx.get(&key)?.is_some() {
                tx.delete(&key)?;
                remove_aspects_at(tx, &space, &target.name, &alias)?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Up to `limit` aliases by name after the name `after`, only those that may lead to `number` if it is given, and
    /// whether there are more.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such function.
    pub(crate) fn aliases(
        &self,
        target: &Target,
        version: Option<Version>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, AliasRecord)>, bool), LambdaError> {
        self.row(&target.unqualified())?;
        let space = space_of(target);
        let mut range = space.aliases(&target.name).range();
        if let Some(after) = after {
            range.from = space.alias(&target.name, after).prefix_end();
        }
        if version.is_none() {
            range = range.limit(limit + 1);
        }
        let mut aliases = Vec::new();
        for (key, row) in self.store().range(range)? {
            let name = keys::alias_name_of(&key).ok_or_else(|| damaged("an alias's key"))?;
            let alias: AliasRecord = decode(&row)?;
            let wanted = version.is_none_or(|version| match version {
                Version::Latest => alias.version == Version::Latest,
                Version::Number(number) => alias.leads_to(number),
            });
            if wanted {
                aliases.push((name, alias));
            }
        }
        let more = aliases.len() > limit;
        aliases.truncate(limit);
        Ok((aliases, more))
    }
}

/// The aliases of a function that may lead to a version.
pub(crate) fn leading_to(
    tx: &dyn Tx,
    space: &Space,
    name: &str,
    number: u64,
) -> Result<Vec<String>, TxError> {
    let mut names = Vec::new();
    for (key, row) in tx.range(space.aliases(name).range())? {
        let alias: AliasRecord = value::decode(V1, &row)?;
        if alias.leads_to(number) {
            names.extend(keys::alias_name_of(&key));
        }
    }
    Ok(names)
}

/// Checks that an alias leads to versions that are there, and that two of them can share its invokes.
fn check(tx: &dyn Tx, space: &Space, target: &Target, alias: &AliasRecord) -> Outcome<()> {
    let invalid = |message: String| Ok(Err(LambdaError::InvalidParameter(message)));
    let read = |version: Version| -> Result<Option<FunctionRecord>, TxError> {
        let key = match version {
            Version::Latest => space.function(&target.name),
            Version::Number(number) => space.version(&target.name, number),
        };
        Ok(tx.get(&key)?.map(|row| value::decode(V1, &row)).transpose()?)
    };
    let Some(main) = read(alias.version)? else { return Ok(Err(target.at(alias.version).not_found())) };
    let Some(share) = alias.additional else { return Ok(Ok(())) };
    let additional = Version::Number(share.number);
    if additional == alias.version {
        return invalid(format!(
            "Invalid function version {additional}. Function version {additional} is already included in routing \
             configuration."
        ));
    }
    if alias.version == Version::Latest {
        return invalid("$LATEST is not supported for an alias pointing to more than 1 version".to_owned());
    }
    let Some(second) = read(additional)? else { return Ok(Err(target.at(additional).not_found())) };
    let differ = |what: &str| {
        let main = alias.version;
        invalid(format!(
            "Function versions {main} and {additional} must have the same {what} to share an alias."
        ))
    };
    if main.settings.role != second.settings.role {
        return differ("execution role");
    }
    if main.settings.dead_letter_arn != second.settings.dead_letter_arn {
        return differ("dead-letter queue configuration");
    }
    Ok(Ok(()))
}

#[cfg(test)]
#[path = "aliases_tests.rs"]
mod tests;
