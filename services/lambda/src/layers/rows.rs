//! Layer versions in the store: published, read, listed and deleted, each in one transaction.
//!
//! The zip itself is `package`'s; this keeps what the API says of it. A layer's row stays when its versions are gone,
//! so that no number is ever given twice.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html>.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use super::uses::{self, Refreshed};
use super::{LayerId, LayerPolicy, LayerVersionId};
use crate::error::LambdaError;
use crate::functions::{Functions, damaged, decode, read_usage};
use crate::keys::{self, V1};
use crate::record::CodeRecord;

/// A version of a layer. Its layer and number are in its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerVersion {
    pub(crate) description: String,
    pub(crate) license: Option<String>,
    /// AWS's names. Nothing is enforced by them: listings go by them.
    pub(crate) runtimes: Vec<String>,
    /// As `runtimes`.
    pub(crate) architectures: Vec<String>,
    pub(crate) content: CodeRecord,
    pub(crate) created_at: Timestamp,
}

/// Which versions a listing shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) runtime: Option<String>,
    pub(crate) architecture: Option<String>,
}

impl Filter {
    fn takes(&self, version: &LayerVersion) -> bool {
        self.runtime.as_ref().is_none_or(|runtime| version.runtimes.contains(runtime))
            && self.architecture.as_ref().is_none_or(|one| version.architectures.contains(one))
    }
}

/// A layer with its newest version.
pub(crate) type Newest = (LayerId, u64, LayerVersion);

/// How many rows a listing reads at a time.
const BATCH: usize = 50;

impl Functions {
    /// Publishes a version: the next number, and at once in every function that follows the layer.
    ///
    /// # Errors
    /// `CodeStorageExceededException`; a follower that could not have the new version.
    pub(crate) async fn publish_layer(
        &self,
        layer: &LayerId,
        version: LayerVersion,
    ) -> Result<(LayerVersionId, Vec<Refreshed>), LambdaError> {
        let (layer, mark, max_code_bytes) = (layer.clone(), self.mark(), self.max_code_bytes());
        self.run(move |tx| {
            let space = layer.space();
            let mut usage = read_usage(tx, &space)?;
            usage.code_bytes += version.content.size_bytes;
            if usage.code_bytes > max_code_bytes {
                return Ok(Err(LambdaError::CodeStorage));
            }
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            let head = space.layer(&layer.name);
            let last: u64 = tx.get(&head)?.map_or(Ok(0), |row| value::decode(V1, &row))?;
            let id = LayerVersionId { layer: layer.clone(), number: last + 1 };
            tx.put(head.build(), value::encode(V1, &id.number))?;
            tx.put(space.layer_version(&layer.name, id.number).build(), value::encode(V1, &version))?;
            let user = space.package_user(&version.content.digest, &package_user(&id));
            tx.put(user.build(), value::encode(V1, &()))?;
            let refreshed = uses::refresh_followers(tx, &layer, &mark)?;
            Ok(refreshed.map(|refreshed| (id, refreshed)))
        })
        .await
    }

    /// A version.
    pub(crate) fn layer_version(&self, id: &LayerVersionId) -> Result<Option<LayerVersion>, LambdaError> {
        let row = self.store().get(&id.layer.space().layer_version(&id.layer.name, id.number))?;
        row.map(|row| decode(&row)).transpose()
    }

    /// Deletes a version and its policy. One that is not there is no error; functions that use it are not touched.
    pub(crate) async fn delete_layer_version(&self, id: &LayerVersionId) -> Result<(), LambdaError> {
        let id = id.clone();
        self.run(move |tx| {
            let (space, name) = (id.layer.space(), &id.layer.name);
            let key = space.layer_version(name, id.number);
            let Some(row) = tx.get(&key)? else { return Ok(Ok(())) };
            let version: LayerVersion = value::decode(V1, &row)?;
            let mut usage = read_usage(tx, &space)?;
            usage.code_bytes = usage.code_bytes.saturating_sub(version.content.size_bytes);
            tx.put(space.usage().build(), value::encode(V1, &usage))?;
            tx.delete(&key)?;
            tx.delete(&space.layer_policy(name, id.number))?;
            tx.delete(&space.package_user(&version.content.digest, &package_user(&id)))?;
            Ok(Ok(()))
        })
        .await
    }

    /// Up to `limit` versions of a layer below the number `below`, the newest first; and whether there are more.
    pub(crate) fn layer_versions(
        &self,
        layer: &LayerId,
        filter: &Filter,
        below: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<(u64, LayerVersion)>, bool), LambdaError> {
        let space = layer.space();
        let mut found = Vec::new();
        let mut range = space.layer_versions(&layer.name).range().reversed().limit(BATCH);
        if let Some(below) = below {
            range.to = space.layer_version(&layer.name, below).build();
        }
        loop {
            let rows = self.store().range(range.clone())?;
            let Some((last, _)) = rows.last() else { return Ok((found, false)) };
            range.to = last.to_vec();
            for (key, row) in &rows {
                let version: LayerVersion = decode(row)?;
                if !filter.takes(&version) {
                    continue;
                }
                if found.len() == limit {
                    return Ok((found, true));
                }
                let number =
                    keys::version_number_of(key).ok_or_else(|| damaged("the key of a layer version"))?;
                found.push((number, version));
            }
        }
    }

    /// Up to `limit` layers by name after the name `after`, each with its newest version that the filter takes; and
    /// whether there are more. Layers without such a version are left out.
    pub(crate) fn layers(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
        id: impl Fn(String) -> LayerId,
    ) -> Result<(Vec<Newest>, bool), LambdaError> {
        let mut found = Vec::new();
        let space = id(String::new()).space();
        let mut range = space.layers().range().limit(BATCH);
        if let Some(after) = after {
            range.from = space.layer(after).prefix_end();
        }
        loop {
            let rows = self.store().range(range.clone())?;
            let Some((last, _)) = rows.last() else { return Ok((found, false)) };
            // Just above this key: keys of tuples have no zero byte after a whole one.
            range.from = [last.as_ref(), &[0]].concat();
            for (key, _) in &rows {
                let name = keys::function_name_of(key).ok_or_else(|| damaged("the key of a layer"))?;
                let layer = id(name);
                let Some((number, version)) = self.layer_versions(&layer, filter, None, 1)?.0.pop() else {
                    continue;
                };
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push((layer, number, version));
            }
        }
    }

    /// Who else may use a version.
    pub(crate) fn layer_policy(&self, id: &LayerVersionId) -> Result<Option<LayerPolicy>, LambdaError> {
        let row = self.store().get(&id.layer.space().layer_policy(&id.layer.name, id.number))?;
        row.map(|row| decode(&row)).transpose()
    }

    /// Reads, changes and writes a version's policy in one transaction; a policy without statements is removed.
    /// `change` gets a fresh revision id.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such version; what `change` refuses.
    pub(crate) async fn change_layer_policy(
        &self,
        id: &LayerVersionId,
        change: impl Fn(&mut LayerPolicy) -> Result<(), LambdaError> + Send + 'static,
    ) -> Result<LayerPolicy, LambdaError> {
        let (id, mark) = (id.clone(), self.mark());
        self.run(move |tx| {
            let (space, name) = (id.layer.space(), &id.layer.name);
            if tx.get(&space.layer_version(name, id.number))?.is_none() {
                return Ok(Err(LambdaError::NotFound(id.does_not_exist())));
            }
            let key = space.layer_policy(name, id.number);
            let mut policy: LayerPolicy =
                tx.get(&key)?.map_or_else(|| Ok(LayerPolicy::default()), |row| value::decode(V1, &row))?;
            if let Err(error) = change(&mut policy) {
                return Ok(Err(error));
            }
            policy.revision_id.clone_from(&mark.revision_id);
            if policy.statements.is_empty() {
                tx.delete(&key)?;
            } else {
                tx.put(key.build(), value::encode(V1, &policy))?;
            }
            Ok(Ok(policy))
        })
        .await
    }
}

/// A version, as a transaction sees it.
pub(super) fn version_in(tx: &dyn Tx, id: &LayerVersionId) -> Result<Option<LayerVersion>, TxError> {
    let row = tx.get(&id.layer.space().layer_version(&id.layer.name, id.number))?;
    Ok(row.map(|row| value::decode(V1, &row)).transpose()?)
}

/// The newest version of a layer, as a transaction sees it.
pub(super) fn newest_in(tx: &dyn Tx, layer: &LayerId) -> Result<Option<(u64, LayerVersion)>, TxError> {
    let newest = layer.space().layer_versions(&layer.name).range().reversed().limit(1);
    let Some((key, row)) = tx.range(newest)?.pop() else { return Ok(None) };
    let Some(number) = keys::version_number_of(&key) else { return Ok(None) };
    Ok(Some((number, value::decode(V1, &row)?)))
}

/// The user of a package that a layer version is; no function has a colon in its name.
fn package_user(id: &LayerVersionId) -> String {
    format!("layer:{}:{}", id.layer.name, id.number)
}
