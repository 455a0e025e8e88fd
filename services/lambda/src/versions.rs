//! Published versions in the store: published, read, listed and deleted.
//!
//! A version is a copy of `$LATEST`'s record at its moment, with a description and a revision id of its own, and never
//! changes. Its package is not copied: packages are content-addressed, and the version's row among the users of the
//! package keeps it from being swept. `$LATEST` itself is `functions`' business.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html>.
//!
//! **Invariant:** the numbers of a name grow by one and are never given twice, not even after the version or the
//! function was deleted.
//! **Invariant:** each version has a row among the users of its package for as long as it exists.

use bytes::Bytes;
use store::{Tx, TxError, value};

use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::functions::{Functions, Mark, check_revision, damaged, decode, read_usage, space_of};
use crate::keys::{self, Space, V1};
use crate::name::Target;
use crate::record::{FunctionRecord, LastVersion, Usage};
use crate::runtime_updates::RuntimeUpdates;
use crate::snapstart;
use crate::url::record::forget_ids;
use crate::version::{Named, Version};

/// How many versions one transaction removes. Each has a row for itself and up to seven for its packages, and all of
/// them must fit the size of a transaction.
const REMOVED_AT_ONCE: usize = 500;

/// A version that a request asked to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) number: u64,
    pub(crate) record: FunctionRecord,
    /// `false` when `$LATEST` was not changed since this one was published, so that there is no new one.
    pub(crate) is_new: bool,
}

/// The conditions of a publication.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishRequest {
    /// Replaces the description of `$LATEST`.
    pub(crate) description: Option<String>,
    /// Must be `$LATEST`'s.
    pub(crate) code_sha256: Option<String>,
    /// Must be `$LATEST`'s.
    pub(crate) revision_id: Option<String>,
}

/// Some versions of a listing.
#[derive(Debug)]
pub(crate) struct VersionPage {
    pub(crate) versions: Vec<(String, Version, FunctionRecord)>,
    /// Whether the listing goes on after the last one.
    pub(crate) more: bool,
}

impl Functions {
    /// Publishes `$LATEST`, unless it is what the last version is.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `PreconditionFailedException` and `InvalidParameterValueException` when a condition
    /// does not hold; `CodeStorageExceededException`.
    pub(crate) async fn publish(
        &self,
        target: &Target,
        request: PublishRequest,
    ) -> Result<Published, LambdaError> {
        let (space, target) = (space_of(target), target.unqualified());
        let (mark, max_code_bytes) = (self.mark(), self.max_code_bytes());
        self.run(move |tx| {
            let Some(row) = tx.get(&space.function(&target.name))? else {
                return Ok(Err(target.not_found()));
            };
            let latest: FunctionRecord = value::decode(V1, &row)?;
            let allowed = check_revision(&latest, request.revision_id.as_deref())
                .and_then(|()| check_code(&latest, request.code_sha256.as_deref()));
            if let Err(error) = allowed {
                return Ok(Err(error));
            }
            let mut usage = read_usage(tx, &space)?;
            let published =
                publish_in(tx, &space, &target.name, &latest, &mut usage, &mark, &request.description)?;
            if published.is_new && usage.code_bytes > max_code_bytes {
                return Ok(Err(LambdaError::CodeStorage));
            }
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            Ok(Ok(published))
        })
        .await
    }

    /// The row of a version, as bytes; nothing when there is none.
    pub(crate) fn version_row(
        &self,
        target: &Target,
        version: Version,
    ) -> Result<Option<Bytes>, LambdaError> {
        Ok(self.store().get(&version_key(&space_of(target), &target.name, version))?)
    }

    /// The version that the qualifier names, through its alias if it is one: of a weighted alias the main one.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn version(&self, target: &Target) -> Result<(Version, FunctionRecord), LambdaError> {
        let version = self.version_of(target)?;
        let row = self.version_row(target, version)?.ok_or_else(|| target.not_found())?;
        Ok((version, decode(&row)?))
    }

    /// Checks that the function is there, and the version or alias that the qualifier names.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn check_qualifier(&self, target: &Target) -> Result<(), LambdaError> {
        let version = self.version_of(target)?;
        self.version_row(target, version)?.map(|_| ()).ok_or_else(|| target.not_found())
    }

    fn version_of(&self, target: &Target) -> Result<Version, LambdaError> {
        match target.named() {
            Named::Version(version) => Ok(version),
            Named::Alias(alias) => Ok(self.alias(target, alias)?.ok_or_else(|| target.not_found())?.version),
        }
    }

    /// Up to `limit` versions of the function after the version `after`, `$LATEST` first.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such function.
    pub(crate) fn versions(
        &self,
        target: &Target,
        after: Option<Version>,
        limit: usize,
    ) -> Result<VersionPage, LambdaError> {
        let latest = self.row(&target.unqualified())?;
        let mut versions = Vec::new();
        self.add_versions(&space_of(target), &target.name, &latest, after, limit + 1, &mut versions)?;
        Ok(page(versions, limit))
    }

    /// Up to `limit` versions of all functions, after this one: by name, of each `$LATEST` first.
    pub(crate) fn all_versions(
        &self,
        space: &Space,
        after: Option<(&str, Version)>,
        limit: usize,
    ) -> Result<VersionPage, LambdaError> {
        let mut versions = Vec::new();
        // One more than asked for, and the function in which the last page ended, which may have no more versions.
        let mut range = space.functions().range().limit(limit + 2);
        if let Some((name, _)) = after {
            range.from = space.function(name).build();
        }
        for (key, row) in self.store().range(range)? {
            let name = keys::function_name_of(&key).ok_or_else(|| damaged("a function's key"))?;
            let after = after.filter(|(last, _)| *last == name).map(|(_, version)| version);
            self.add_versions(space, &name, &row, after, limit + 1, &mut versions)?;
            if versions.len() > limit {
                break;
            }
        }
        Ok(page(versions, limit))
    }

    /// Adds versions of one function until there are `most`.
    fn add_versions(
        &self,
        space: &Space,
        name: &str,
        latest: &[u8],
        after: Option<Version>,
        most: usize,
        versions: &mut Vec<(String, Version, FunctionRecord)>,
    ) -> Result<(), LambdaError> {
        if after.is_none() {
            versions.push((name.to_owned(), Version::Latest, decode(latest)?));
        }
        let mut range = space.versions(name).range().limit(most.saturating_sub(versions.len()));
        if let Some(number) = after.and_then(Version::number) {
            range.from = space.version(name, number).prefix_end();
        }
        for (key, row) in self.store().range(range)? {
            let number = keys::version_number_of(&key).ok_or_else(|| damaged("a version's key"))?;
            versions.push((name.to_owned(), Version::Number(number), decode(&row)?));
        }
        Ok(())
    }

    /// Deletes a published version with its aspects. One that is not there is no error, as with AWS.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such function, `ResourceConflictException` when an alias leads to
    /// the version.
    pub(crate) async fn delete_version(
        &self,
        target: &Target,
        number: u64,
    ) -> Result<Option<FunctionRecord>, LambdaError> {
        let (space, target) = (space_of(target), target.unqualified());
        self.run(move |tx| {
            let name = &target.name;
            if tx.get(&space.function(name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            let aliases = crate::aliases::leading_to(tx, &space, name, number)?;
            if !aliases.is_empty() {
                return Ok(Err(LambdaError::Conflict(format!(
                    "Unable to delete version because the following aliases reference it: [{}]",
                    aliases.join(", ")
                ))));
            }
            let Some(row) = tx.get(&space.version(name, number))? else { return Ok(Ok(None)) };
            let record: FunctionRecord = value::decode(V1, &row)?;
            let mut usage = read_usage(tx, &space)?;
            usage.code_bytes = usage.code_bytes.saturating_sub(record.code.size_bytes);
            remove_in(tx, &space, name, number, &record)?;
            remove_aspects_at(tx, &space, name, &number.to_string())?;
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            Ok(Ok(Some(record)))
        })
        .await
    }
}

fn page(mut versions: Vec<(String, Version, FunctionRecord)>, limit: usize) -> VersionPage {
    let more = versions.len() > limit;
    versions.truncate(limit);
    VersionPage { versions, more }
}

fn version_key(space: &Space, name: &str, version: Version) -> store::Key {
    match version {
        Version::Latest => space.function(name),
        Version::Number(number) => space.version(name, number),
    }
}

fn check_code(latest: &FunctionRecord, code_sha256: Option<&str>) -> Result<(), LambdaError> {
    let current = latest.code.digest.base64();
    match code_sha256.filter(|expected| !expected.is_empty() && **expected != current) {
        Some(expected) => Err(LambdaError::InvalidParameter(format!(
            "CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with \
             the CodeSHA256 in $LATEST."
        ))),
        None => Ok(()),
    }
}

/// Publishes `latest` within a transaction, and counts it into `usage`, which the caller checks and writes.
pub(crate) fn publish_in(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    latest: &FunctionRecord,
    usage: &mut Usage,
    mark: &Mark,
    description: &Option<String>,
) -> Result<Published, TxError> {
    let counter = space.last_version(name);
    let mut last: LastVersion = match tx.get(&counter)? {
        Some(row) => value::decode(V1, &row)?,
        None => LastVersion::default(),
    };
    let content = latest.content();
    if last.content == Some(content)
        && let Some(row) = tx.get(&space.version(name, last.number))?
    {
        return Ok(Published { number: last.number, record: value::decode(V1, &row)?, is_new: false });
    }
    last = LastVersion { number: last.number + 1, content: Some(content) };
    usage.last_generation += 1;
    usage.code_bytes += latest.code.size_bytes;
    let mut record = FunctionRecord {
        generation: usage.last_generation,
        revision_id: mark.version_revision_id.clone(),
        modified_at: mark.at,
        ..latest.clone()
    };
    if let Some(description) = description {
        record.settings.description.clone_from(description);
    }
    let updates = space.aspect(name, RuntimeUpdates::KIND, "");
    if let Some(row) = tx.get(&updates)? {
        let inherited = space.aspect(name, RuntimeUpdates::KIND, &last.number.to_string());
        tx.put(inherited.build(), row.to_vec())?;
    }
    tx.put(space.version(name, last.number).build(), value::encode(V1, &record))?;
    tx.put(counter.build(), value::encode(V1, &last))?;
    if record.settings.snap_start {
        snapstart::order_in(tx, space, name, last.number, mark.at)?;
    }
    for package in record.packages() {
        let user = space.package_user_version(&package, name, last.number);
        tx.put(user.build(), value::encode(V1, &()))?;
    }
    Ok(Published { number: last.number, record, is_new: true })
}

/// Removes versions of a function that goes, as many as one transaction may; gives them, and whether there are more. The
/// last number stays.
pub(crate) fn remove_some_in(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
) -> Result<(Vec<(u64, FunctionRecord)>, bool), TxError> {
    let mut gone = Vec::new();
    for (key, row) in tx.range(space.versions(name).range().limit(REMOVED_AT_ONCE))? {
        let Some(number) = keys::version_number_of(&key) else { continue };
        let record: FunctionRecord = value::decode(V1, &row)?;
        remove_in(tx, space, name, number, &record)?;
        gone.push((number, record));
    }
    if let Some(row) = tx.get(&space.last_version(name))? {
        let last: LastVersion = value::decode(V1, &row)?;
        let last = LastVersion { content: None, ..last };
        tx.put(space.last_version(name).build(), value::encode(V1, &last))?;
    }
    let more = gone.len() == REMOVED_AT_ONCE;
    Ok((gone, more))
}

fn remove_in(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    number: u64,
    record: &FunctionRecord,
) -> Result<(), TxError> {
    tx.delete(&space.version(name, number))?;
    for package in record.packages() {
        tx.delete(&space.package_user_version(&package, name, number))?;
    }
    Ok(())
}

/// Removes what belongs to one version or alias.
pub(crate) fn remove_aspects_at(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    qualifier: &str,
) -> Result<(), TxError> {
    forget_ids(tx, space, name, Some(qualifier))?;
    let all = tx.range(space.aspects(name).range())?;
    for (key, _) in all {
        if keys::qualifier_of(&key).as_deref() == Some(qualifier) {
            tx.delete(&key)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
