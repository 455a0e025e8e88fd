//! The functions of the store: created, read, changed, listed and deleted, each in one transaction.
//!
//! A change and its new generation are one commit, so who reads a function after the commit has both or neither.
//! It knows neither requests nor zips nor boxes; it takes what was checked before.
//!
//! **Invariant:** for every version, `$LATEST` included, there is exactly one row for each package it uses, and `usage`
//! counts the functions, the code of all versions and the content of all layer versions.

use std::collections::BTreeMap;

use base::{Clock, Timestamp};
use bytes::Bytes;
use store::{Store, Tx, TxError, value};

use crate::code_signing;
use crate::error::LambdaError;
use crate::keys::{self, Space, V1};
use crate::layers;
use crate::name::Target;
use crate::package::Digest;
use crate::record::{CodeRecord, FunctionRecord, Settings, Usage};
use crate::url::record::forget_ids;
use crate::versions::{Published, publish_in, remove_some_in};

/// The tags of a function.
pub(crate) type Tags = BTreeMap<String, String>;

/// AWS's limit of tags for one resource.
pub(crate) const MAX_TAGS: usize = 50;

/// What a transaction comes to: the caller's error rolls it back.
pub(crate) type Outcome<T> = Result<Result<T, LambdaError>, TxError>;

/// What a function is created with.
#[derive(Clone, Debug)]
pub(crate) struct Creation {
    pub(crate) settings: Settings,
    pub(crate) code: CodeRecord,
    pub(crate) tags: Tags,
    /// Whether the first version is published with it.
    pub(crate) publish: bool,
    /// The id of the code signing configuration that it has.
    pub(crate) signing: Option<String>,
}

/// What a write comes to.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// `$LATEST`.
    pub(crate) latest: FunctionRecord,
    /// The version that was published with it, when one was asked for.
    pub(crate) published: Option<Published>,
}

/// A function that is gone: all its versions, for who keeps something of them.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) latest: FunctionRecord,
    pub(crate) versions: Vec<(u64, FunctionRecord)>,
    /// There are more versions: the function is still there.
    more: bool,
}

/// One page of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) functions: Vec<(String, FunctionRecord)>,
    /// The last name of this page, when there are more.
    pub(crate) next: Option<String>,
}

/// The functions in a store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Functions {
    store: Store,
    clock: Clock,
    /// All uploaded code of an account in a region, in bytes.
    max_code_bytes: u64,
}

impl Functions {
    pub(crate) fn new(store: Store, clock: Clock, max_code_bytes: u64) -> Self {
        Functions { store, clock, max_code_bytes }
    }

    /// Creates a function.
    ///
    /// # Errors
    /// `ResourceConflictException` when the name is taken; `CodeStorageExceededException`.
    pub(crate) async fn create(&self, target: &Target, creation: Creation) -> Result<Written, LambdaError> {
        let Creation { settings, code, tags, publish, signing } = creation;
        let (space, target) = (space_of(target), target.clone());
        let (mark, max_code_bytes) = (self.mark(), self.max_code_bytes);
        self.run(move |tx| {
            let name = &target.name;
            let key = space.function(name);
            if tx.get(&key)?.is_some() {
                return Ok(Err(LambdaError::Conflict(format!("Function already exist: {name}"))));
            }
            let mut usage = read_usage(tx, &space)?;
            usage.functions += 1;
            usage.code_bytes += code.size_bytes;
            usage.last_generation += 1;
            let mut record = FunctionRecord {
                settings: settings.clone(),
                code,
                generation: usage.last_generation,
                revision_id: mark.revision_id.clone(),
                modified_at: mark.at,
            };
            if let Err(error) = layers::settle(tx, &target, &mut record, None, Some(&tags))? {
                return Ok(Err(error));
            }
            let published = if publish {
                Some(publish_in(tx, &space, name, &record, &mut usage, &mark, &None)?)
            } else {
                None
            };
            if usage.code_bytes > max_code_bytes {
                return Ok(Err(LambdaError::CodeStorage));
            }
            tx.put(key.build(), value::encode(V1, &record))?;
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            layers::relink(tx, &target, None, Some(&record))?;
            if let Some(signing) = &signing
                && let Err(error) = code_signing::join_in(tx, &space, name, signing)?
            {
                return Ok(Err(error));
            }
            for (tag_key, tag) in &tags {
                tx.put(space.tag(name, tag_key).build(), value::encode(V1, tag))?;
            }
            Ok(Ok(Written { latest: record, published }))
        })
        .await
    }

    /// The row of a function, as bytes: equal bytes are the same generation.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn row(&self, target: &Target) -> Result<Bytes, LambdaError> {
        self.store.get(&space_of(target).function(&target.name))?.ok_or_else(|| target.not_found())
    }

    /// A function.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn get(&self, target: &Target) -> Result<FunctionRecord, LambdaError> {
        decode(&self.row(target)?)
    }

    /// Changes a function: `change` gets the stored record and alters settings or code. The record that comes back
    /// has a new generation, revision id and time.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, `PreconditionFailedException` when `revision_id` is not the current one,
    /// `CodeStorageExceededException`, and what `change` refuses; then nothing is changed.
    pub(crate) async fn change(
        &self,
        target: &Target,
        revision_id: Option<String>,
        change: impl Fn(&mut FunctionRecord) -> Result<(), LambdaError> + Send + 'static,
    ) -> Result<FunctionRecord, LambdaError> {
        Ok(self.change_and_publish(target, revision_id, false, change).await?.latest)
    }

    /// As [`Functions::change`], and publishes what comes of it in the same transaction, if `publish`.
    ///
    /// # Errors
    /// As [`Functions::change`].
    pub(crate) async fn change_and_publish(
        &self,
        target: &Target,
        revision_id: Option<String>,
        publish: bool,
        change: impl Fn(&mut FunctionRecord) -> Result<(), LambdaError> + Send + 'static,
    ) -> Result<Written, LambdaError> {
        let (space, target) = (space_of(target), target.clone());
        let (mark, max_code_bytes) = (self.mark(), self.max_code_bytes);
        self.run(move |tx| {
            let key = space.function(&target.name);
            let Some(row) = tx.get(&key)? else { return Ok(Err(target.not_found())) };
            let mut record: FunctionRecord = value::decode(V1, &row)?;
            if let Err(error) = check_revision(&record, revision_id.as_deref()) {
                return Ok(Err(error));
            }
            let before = record.clone();
            if let Err(error) = change(&mut record) {
                return Ok(Err(error));
            }
            if let Err(error) = layers::settle(tx, &target, &mut record, Some(&before), None)? {
                return Ok(Err(error));
            }
            let mut usage = read_usage(tx, &space)?;
            usage.last_generation += 1;
            usage.code_bytes =
                usage.code_bytes.saturating_sub(before.code.size_bytes) + record.code.size_bytes;
            layers::relink(tx, &target, Some(&before), Some(&record))?;
            record.generation = usage.last_generation;
            record.revision_id.clone_from(&mark.revision_id);
            record.modified_at = mark.at;
            let published = if publish {
                Some(publish_in(tx, &space, &target.name, &record, &mut usage, &mark, &None)?)
            } else {
                None
            };
            let grew = record.code != before.code || published.as_ref().is_some_and(|version| version.is_new);
            if grew && usage.code_bytes > max_code_bytes {
                return Ok(Err(LambdaError::CodeStorage));
            }
            tx.put(key.build(), value::encode(V1, &record))?;
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            Ok(Ok(Written { latest: record, published }))
        })
        .await
    }

    /// Deletes a function with its versions, aliases, tags and aspects. Its logs are not touched.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn delete(&self, target: &Target) -> Result<Deleted, LambdaError> {
        let mut gone = Vec::new();
        // So many versions that one transaction cannot remove them go in several, before the function itself.
        loop {
            let mut deleted = self.delete_step(target).await?;
            gone.append(&mut deleted.versions);
            if !deleted.more {
                return Ok(Deleted { versions: gone, ..deleted });
            }
        }
    }

    async fn delete_step(&self, target: &Target) -> Result<Deleted, LambdaError> {
        let (space, target) = (space_of(target), target.clone());
        self.run(move |tx| {
            let key = space.function(&target.name);
            let Some(row) = tx.get(&key)? else { return Ok(Err(target.not_found())) };
            let record: FunctionRecord = value::decode(V1, &row)?;
            let mut usage = read_usage(tx, &space)?;
            let (versions, more) = remove_some_in(tx, &space, &target.name)?;
            let bytes: u64 = versions.iter().map(|(_, version)| version.code.size_bytes).sum();
            usage.code_bytes = usage.code_bytes.saturating_sub(bytes);
            if more {
                tx.put(space.usage().build(), value::encode(V1, &usage))?;
                return Ok(Ok(Deleted { latest: record, versions, more }));
            }
            usage.functions = usage.functions.saturating_sub(1);
            usage.code_bytes = usage.code_bytes.saturating_sub(record.code.size_bytes);
            // A function of the same name that is created later must not reuse a generation of this one.
            usage.last_generation += 1;
            tx.delete(&key)?;
            layers::relink(tx, &target, Some(&record), None)?;
            let tags = space.tags(&target.name).range();
            tx.clear_range(&tags.from, &tags.to)?;
            code_signing::leave_in(tx, &space, &target.name)?;
            forget_ids(tx, &space, &target.name, None)?;
            let aspects = space.aspects(&target.name).range();
            tx.clear_range(&aspects.from, &aspects.to)?;
            let aliases = space.aliases(&target.name).range();
            tx.clear_range(&aliases.from, &aliases.to)?;
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            Ok(Ok(Deleted { latest: record, versions, more: false }))
        })
        .await
    }

    /// Up to `limit` functions by name, after the name `after`.
    pub(crate) fn list(&self, space: &Space, after: Option<&str>, limit: usize) -> Result<Page, LambdaError> {
        let mut range = space.functions().range().limit(limit + 1);
        if let Some(after) = after {
            // Just above the key of `after`: no other key begins with a whole name's key.
            range.from = space.function(after).prefix_end();
        }
        let mut functions = Vec::new();
        for (key, row) in self.store.range(range)? {
            let name = keys::function_name_of(&key).ok_or_else(|| damaged("a function's key"))?;
            functions.push((name, decode(&row)?));
        }
        let next = if functions.len() > limit {
            functions.truncate(limit);
            functions.last().map(|(name, _)| name.clone())
        } else {
            None
        };
        Ok(Page { functions, next })
    }

    /// Counts of an account in a region.
    pub(crate) fn usage(&self, space: &Space) -> Result<Usage, LambdaError> {
        match self.store.get(&space.usage())? {
            Some(row) => decode(&row),
            None => Ok(Usage::default()),
        }
    }

    /// The tags of a function. It may have none; whether it exists is not looked at.
    pub(crate) fn tags(&self, target: &Target) -> Result<Tags, LambdaError> {
        let rows = self.store.range(space_of(target).tags(&target.name).range())?;
        rows.iter().map(|(key, row)| read_tag(key, row)).collect()
    }

    /// Adds tags, or replaces their values. The record comes back if they changed the function: it follows its layers
    /// from now on, and there are newer ones.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `InvalidParameterValueException` when there would be too many, or when newer layers
    /// are too large.
    pub(crate) async fn tag(
        &self,
        target: &Target,
        tags: Tags,
    ) -> Result<Option<FunctionRecord>, LambdaError> {
        let (space, target, mark) = (space_of(target), target.clone(), self.mark());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            for (tag_key, tag) in &tags {
                tx.put(space.tag(&target.name, tag_key).build(), value::encode(V1, tag))?;
            }
            let all = tx.range(space.tags(&target.name).range().limit(MAX_TAGS + 1))?;
            if all.len() > MAX_TAGS {
                return Ok(Err(too_many_tags()));
            }
            if layers::follows(&tags) { layers::refresh(tx, &target, &mark) } else { Ok(Ok(None)) }
        })
        .await
    }

    /// Removes tags. Keys that are not there are no error.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn untag(&self, target: &Target, tag_keys: Vec<String>) -> Result<(), LambdaError> {
        let (space, target) = (space_of(target), target.clone());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            for tag_key in &tag_keys {
                tx.delete(&space.tag(&target.name, tag_key))?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Whether any function of any account uses this package.
    pub(crate) fn uses(&self, digest: &Digest) -> Result<bool, LambdaError> {
        Ok(!self.store.range(keys::package_users(digest).range().limit(1))?.is_empty())
    }

    /// Every package that a function uses, each once. Jumps from package to package.
    pub(crate) fn used_packages(&self) -> Result<Vec<Digest>, LambdaError> {
        let mut rest = keys::packages().range().limit(1);
        let mut digests = Vec::new();
        while let Some((key, _)) = self.store.range(rest.clone())?.pop() {
            let digest = keys::digest_of(&key).ok_or_else(|| damaged("a package's key"))?;
            rest.from = keys::package_users(&digest).prefix_end();
            digests.push(digest);
        }
        Ok(digests)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Outcome<T> + Send + 'static,
    ) -> Result<T, LambdaError> {
        self.store.transact_with(work).await?
    }

    /// Made outside the closure, which may run twice and must do the same both times.
    pub(crate) fn mark(&self) -> Mark {
        let fresh = || uuid::Uuid::new_v4().to_string();
        Mark { revision_id: fresh(), version_revision_id: fresh(), at: self.clock.now() }
    }

    pub(crate) fn max_code_bytes(&self) -> u64 {
        self.max_code_bytes
    }
}

/// What every change leaves on the record.
pub(crate) struct Mark {
    pub(crate) revision_id: String,
    /// That of a version which is published with it.
    pub(crate) version_revision_id: String,
    pub(crate) at: Timestamp,
}

/// `PreconditionFailedException` unless the revision id is the current one, or none was given.
pub(crate) fn check_revision(record: &FunctionRecord, revision_id: Option<&str>) -> Result<(), LambdaError> {
    match revision_id {
        Some(expected) if expected != record.revision_id => Err(LambdaError::Precondition),
        _ => Ok(()),
    }
}

/// The error for more than [`MAX_TAGS`] tags.
pub(crate) fn too_many_tags() -> LambdaError {
    LambdaError::InvalidParameter("Number of tags exceeds function tag limit.".to_owned())
}

pub(crate) fn space_of(target: &Target) -> Space {
    Space::new(target.account, &target.region)
}

pub(crate) fn read_usage(tx: &dyn Tx, space: &Space) -> Result<Usage, TxError> {
    match tx.get(&space.usage())? {
        Some(row) => Ok(value::decode(V1, &row)?),
        None => Ok(Usage::default()),
    }
}

fn read_tag(key: &[u8], row: &[u8]) -> Result<(String, String), LambdaError> {
    let key = keys::tag_key_of(key).ok_or_else(|| damaged("a tag's key"))?;
    Ok((key, decode(row)?))
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(row: &[u8]) -> Result<T, LambdaError> {
    value::decode(V1, row).map_err(|error| LambdaError::Internal(format!("store: {error}")))
}

pub(crate) fn damaged(what: &str) -> LambdaError {
    LambdaError::Internal(format!("store: {what} cannot be read"))
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
