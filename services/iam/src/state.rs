//! The service's state: the store, and how records are read, changed and listed.
//!
//! It knows no operation. Every change is one transaction over whole records.

use std::sync::Arc;

use base::{AccountId, Clock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Store, Tx, TxError};

use crate::IamDeps;
use crate::errors::{IamError, Stop};
use crate::keys::{self, Kind};
use crate::page::{Page, PageRequest, marker_after};
use crate::policy::Policy;
use crate::role::Role;

/// Records read at once while a list is filtered.
const SCAN_BATCH: usize = 100;

/// The service. One per server.
pub struct Iam {
    store: Store,
    pub(crate) clock: Clock,
}

/// A record with a table of its own.
pub(crate) trait Entity: Serialize + DeserializeOwned + Send + 'static {
    const KIND: Kind;
    const VERSION: u8;
    fn name(&self) -> &str;
    fn path(&self) -> &str;
    fn missing(name: &str) -> IamError;
}

impl Entity for Role {
    const KIND: Kind = Kind::Role;
    const VERSION: u8 = keys::ROLE_VERSION;
    fn name(&self) -> &str {
        &self.name
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn missing(name: &str) -> IamError {
        IamError::NoSuchRole(name.to_owned())
    }
}

impl Entity for Policy {
    const KIND: Kind = Kind::Policy;
    const VERSION: u8 = keys::POLICY_VERSION;
    fn name(&self) -> &str {
        &self.name
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn missing(name: &str) -> IamError {
        IamError::NoSuchPolicy(name.to_owned())
    }
}

impl Iam {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: IamDeps) -> Arc<Iam> {
        Arc::new(Iam { store: deps.store, clock: deps.clock })
    }

    /// Reads a record outside a transaction.
    pub(crate) fn read<T: Entity>(&self, account: AccountId, name: &str) -> Result<T, IamError> {
        let stored = self.store.get(&keys::entity(T::KIND, account, name))?;
        let stored = stored.ok_or_else(|| T::missing(name))?;
        Ok(decode(&stored)?)
    }

    /// Runs a change in one transaction; on disk when it returns. `change` may run more than once.
    pub(crate) async fn change<T, F>(&self, mut change: F) -> Result<T, IamError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Stop> + Send + 'static,
    {
        self.store
            .transact_with(move |tx| match change(tx) {
                Ok(value) => Ok(Ok(value)),
                Err(Stop::No(error)) => Ok(Err(error)),
                Err(Stop::Store(error)) => Err(error),
            })
            .await?
    }

    /// Loads a record, changes it, and stores it again.
    pub(crate) async fn update<T, R, F>(
        &self,
        account: AccountId,
        name: String,
        mut update: F,
    ) -> Result<R, IamError>
    where
        T: Entity,
        R: Send + 'static,
        F: FnMut(&mut T) -> Result<R, IamError> + Send + 'static,
    {
        self.change(move |tx| {
            let mut record: T = load(tx, account, &name)?;
            let result = update(&mut record)?;
            save(tx, account, &record)?;
            Ok(result)
        })
        .await
    }

    /// A page of the records below a path that `wanted` takes, sorted by name.
    pub(crate) fn list<T: Entity>(
        &self,
        account: AccountId,
        path_prefix: &str,
        page: &PageRequest,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, IamError> {
        let snapshot = self.store.snapshot()?;
        let mut range = keys::all(T::KIND, account).limit(SCAN_BATCH);
        if let Some(after) = &page.after {
            range.from = just_above(&keys::entity(T::KIND, account, after));
        }
        let mut items: Vec<T> = Vec::new();
        loop {
            let batch = snapshot.range(range.clone())?;
            let is_last = batch.len() < SCAN_BATCH;
            if let Some((key, _)) = batch.last() {
                range.from = just_above(key);
            }
            for (_, stored) in &batch {
                let record: T = decode(stored)?;
                if !record.path().starts_with(path_prefix) || !wanted(&record) {
                    continue;
                }
                if items.len() == page.max_items {
                    let marker = items.last().map(|last| marker_after(last.name()));
                    return Ok(Page { items, marker });
                }
                items.push(record);
            }
            if is_last {
                return Ok(Page { items, marker: None });
            }
        }
    }
}

/// Reads a record inside a transaction.
pub(crate) fn load<T: Entity>(tx: &dyn Tx, account: AccountId, name: &str) -> Result<T, Stop> {
    let stored = tx.get(&keys::entity(T::KIND, account, name))?;
    let stored = stored.ok_or_else(|| T::missing(name))?;
    Ok(decode(&stored)?)
}

/// Whether a record of this name (in any case) is there.
pub(crate) fn exists<T: Entity>(tx: &dyn Tx, account: AccountId, name: &str) -> Result<bool, TxError> {
    Ok(tx.get(&keys::entity(T::KIND, account, name))?.is_some())
}

/// Writes a record inside a transaction.
pub(crate) fn save<T: Entity>(tx: &mut dyn Tx, account: AccountId, record: &T) -> Result<(), TxError> {
    tx.put(keys::entity(T::KIND, account, record.name()), store::value::encode(T::VERSION, record))
}

/// Removes a record inside a transaction.
pub(crate) fn remove<T: Entity>(tx: &mut dyn Tx, account: AccountId, name: &str) -> Result<(), TxError> {
    tx.delete(&keys::entity(T::KIND, account, name))
}

fn decode<T: Entity>(stored: &[u8]) -> Result<T, TxError> {
    Ok(store::value::decode(T::VERSION, stored)?)
}

/// The smallest key above `key`.
fn just_above(key: &[u8]) -> Vec<u8> {
    let mut above = key.to_vec();
    above.push(0);
    above
}
