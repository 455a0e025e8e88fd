//! Changes of what is set apart, each one transaction that checks the whole account; and telling the fleet afterwards.

use std::sync::Arc;

use store::{Range, Tx, TxError, value};

use super::ledger::{self, Ledger, SetApart};
use super::{Capacity, Provisioned, ProvisionedState, ProvisionedStatus, Reserved};
use crate::Lambda;
use crate::aliases::AliasRecord;
use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::{Functions, Outcome, space_of};
use crate::keys::{Space, V1};
use crate::name::Target;
use crate::record::FunctionRecord;
use crate::version::{Named, Version};

/// What is said of a version without a number.
const UNPUBLISHED: &str =
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";

impl Functions {
    /// Reserves concurrency of the account, of which there are `limit`.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `InvalidParameterValueException` when there is not enough.
    pub(crate) async fn reserve(&self, target: &Target, count: u32, limit: u32) -> Result<(), LambdaError> {
        let (space, target) = (space_of(target), target.unqualified());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            let ledger = read_ledger(tx, &space)?;
            if let Err(error) = ledger.check_reserved(&target.name, count, limit) {
                return Ok(Err(error));
            }
            let key = space.aspect(&target.name, Reserved::KIND, "");
            tx.put(key.build(), value::encode(V1, &Reserved(count)))?;
            Ok(Ok(()))
        })
        .await
    }

    /// Provisions concurrency for the version or alias that the target's qualifier names.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `ResourceConflictException` when the version is provisioned by another name;
    /// `InvalidParameterValueException` for `$LATEST`, and when there is not enough.
    pub(crate) async fn provision(
        &self,
        target: &Target,
        provisioned: Provisioned,
        limit: u32,
    ) -> Result<(), LambdaError> {
        let (space, target) = (space_of(target), target.clone());
        self.run(move |tx| {
            let at = match check_provisionable(tx, &space, &target)? {
                Ok(at) => at,
                Err(error) => return Ok(Err(error)),
            };
            let ledger = read_ledger(tx, &space)?;
            if let Err(error) = ledger.check_provisioned(&target.name, &at, provisioned.count, limit) {
                return Ok(Err(error));
            }
            let key = space.aspect(&target.name, Provisioned::KIND, &at);
            tx.put(key.build(), value::encode(V1, &provisioned))?;
            Ok(Ok(()))
        })
        .await
    }

    /// What is set apart for a function.
    pub(crate) fn set_apart(&self, target: &Target) -> Result<SetApart, LambdaError> {
        ledger::read_one(&space_of(target), &target.name, &|range| self.read(range))
    }

    /// What is set apart in an account and region.
    pub(crate) fn ledger(&self, space: &Space) -> Result<Ledger, LambdaError> {
        Ledger::read(space, &|range| self.read(range))
    }

    fn read(&self, range: Range) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, LambdaError> {
        Ok(self.store().range(range)?)
    }
}

fn read_ledger(tx: &dyn Tx, space: &Space) -> Result<Ledger, TxError> {
    Ledger::read(space, &|range| tx.range(range))
}

fn read_alias(tx: &dyn Tx, space: &Space, name: &str, alias: &str) -> Result<Option<AliasRecord>, TxError> {
    Ok(tx.get(&space.alias(name, alias))?.map(|row| value::decode(V1, &row)).transpose()?)
}

/// The qualifier that may be provisioned.
fn check_provisionable(tx: &dyn Tx, space: &Space, target: &Target) -> Outcome<String> {
    let name = &target.name;
    let (at, number) = match target.named() {
        Named::Version(version) => (version.to_string(), version.number()),
        Named::Alias(alias) => {
            let Some(record) = read_alias(tx, space, name, alias)? else {
                let arn = target.qualified_arn();
                return Ok(Err(LambdaError::NotFound(format!("Cannot find alias arn: {arn}"))));
            };
            if record.additional.is_some() {
                return Ok(Err(LambdaError::InvalidParameter(
                    "Invalid alias configuration for Provisioned Concurrency".to_owned(),
                )));
            }
            if let Err(error) = check_alias(tx, space, name, alias, &record)? {
                return Ok(Err(error));
            }
            (alias.to_owned(), record.version.number())
        }
    };
    let Some(number) = number else { return Ok(Err(LambdaError::InvalidParameter(UNPUBLISHED.to_owned()))) };
    let Some(row) = tx.get(&space.version(name, number))? else { return Ok(Err(target.not_found())) };
    let version: FunctionRecord = value::decode(V1, &row)?;
    if version.settings.tenant_isolation {
        return Ok(Err(LambdaError::InvalidParameter(
            "Provisioned concurrency is not supported for functions with tenant isolation.".to_owned(),
        )));
    }
    if version.settings.snap_start {
        return Ok(Err(LambdaError::InvalidParameter(
            "Provisioned concurrency is not supported for functions with SnapStart.".to_owned(),
        )));
    }
    if let Named::Version(_) = target.named() {
        for (key, _) in tx.range(space.aspects_of_kind(name, Provisioned::KIND).range())? {
            let Some(other) = crate::keys::qualifier_of(&key) else { continue };
            let alias = read_alias(tx, space, name, &other)?;
            if alias.is_some_and(|alias| alias.leads_to(number)) {
                return Ok(Err(LambdaError::Conflict(
                    "Version is pointed by a Provisioned Concurrency alias".to_owned(),
                )));
            }
        }
    }
    Ok(Ok(at))
}

/// Checks that no other name provisions a version that the alias leads to. To be asked of every alias that is
/// provisioned, before it is led elsewhere.
fn check_alias(tx: &dyn Tx, space: &Space, name: &str, alias: &str, record: &AliasRecord) -> Outcome<()> {
    for (key, _) in tx.range(space.aspects_of_kind(name, Provisioned::KIND).range())? {
        let Some(other) = crate::keys::qualifier_of(&key).filter(|other| other != alias) else { continue };
        let clashes = match Version::parse(&other) {
            Some(version) => version.number().is_some_and(|number| record.leads_to(number)),
            None => read_alias(tx, space, name, &other)?.is_some_and(|other| {
                let shared = other.additional.is_some_and(|share| record.leads_to(share.number));
                shared || other.version.number().is_some_and(|number| record.leads_to(number))
            }),
        };
        if clashes {
            return Ok(Err(LambdaError::Conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
                    .to_owned(),
            )));
        }
    }
    Ok(Ok(()))
}

/// Checks that an alias may be led to where `record` leads, as far as its provisioned concurrency goes.
pub(crate) fn check_alias_change(
    tx: &dyn Tx,
    space: &Space,
    name: &str,
    alias: &str,
    record: &AliasRecord,
) -> Outcome<()> {
    if tx.get(&space.aspect(name, Provisioned::KIND, alias))?.is_none() {
        return Ok(Ok(()));
    }
    if record.version == Version::Latest {
        return Ok(Err(LambdaError::InvalidParameter(UNPUBLISHED.to_owned())));
    }
    check_alias(tx, space, name, alias, record)
}

/// The versions that an alias provisions, and how many environments of each: as its invokes are shared.
fn shares(record: &AliasRecord, count: u32) -> Vec<(u64, u32)> {
    let main = record.version.number();
    let Some(share) = record.additional else { return main.map(|main| (main, count)).into_iter().collect() };
    // Weights are between 0 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let second = (f64::from(count) * share.weight).round() as u32;
    let all = [main.map(|main| (main, count - second.min(count))), Some((share.number, second.min(count)))];
    all.into_iter().flatten().filter(|(_, count)| *count > 0).collect()
}

impl Lambda {
    /// Tells the fleet what is set apart for a function, as it is stored now. To be called after every change of that, or
    /// of where an alias leads, and when a version, an alias or the function itself was deleted.
    pub(crate) async fn provision(&self, target: &Target) {
        // One at a time: otherwise an older reading could be told last.
        let _turn = self.capacity_turn.lock().await;
        match self.capacity(target).await {
            Ok(capacity) => self.invoker.set_capacity(capacity),
            Err(error) => {
                tracing::error!(function = %target.arn(), %error, "the function's concurrency cannot be read");
            }
        }
    }

    /// Tells the fleet what is set apart for every function. To be called once, before the first request.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore_capacity(&self) -> Result<(), LambdaError> {
        let spaces = ledger::spaces(&|range| Ok::<_, LambdaError>(self.store.range(range)?))?;
        for space in spaces {
            let ledger = self.functions.ledger(&space)?;
            for name in ledger.names() {
                self.provision(&space.target(name)).await;
            }
        }
        Ok(())
    }

    async fn capacity(&self, target: &Target) -> Result<Capacity, LambdaError> {
        let apart = self.functions.set_apart(target)?;
        let mut provisioned: Vec<(Arc<FunctionConfig>, u32)> = Vec::new();
        for (at, wanted) in &apart.provisioned {
            for (number, count) in self.versions_of(target, at, wanted.count)? {
                match self.resolve(&target.at(number)).await {
                    Ok(resolved) => provisioned.push((resolved.function, count)),
                    // The version was deleted a moment ago, or its package is broken: that one has none.
                    Err(error) => {
                        let function = target.at(number).qualified_arn();
                        tracing::warn!(%function, %error, "a version cannot be provisioned");
                    }
                }
            }
        }
        Ok(Capacity {
            account: target.account,
            region: target.region.clone(),
            function_arn: target.arn(),
            reserved: apart.reserved,
            provisioned,
        })
    }

    fn versions_of(&self, target: &Target, at: &str, count: u32) -> Result<Vec<(u64, u32)>, LambdaError> {
        if let Some(version) = Version::parse(at) {
            return Ok(version.number().map(|number| (number, count)).into_iter().collect());
        }
        Ok(self.functions.alias(target, at)?.map(|alias| shares(&alias, count)).unwrap_or_default())
    }

    /// How far the provisioned concurrency of a version or alias is.
    pub(crate) fn provisioned_state(
        &self,
        target: &Target,
        at: &str,
        count: u32,
    ) -> Result<ProvisionedState, LambdaError> {
        let mut whole = ProvisionedState { ready: 0, status: ProvisionedStatus::Ready };
        for (number, _) in self.versions_of(target, at, count)? {
            let key = FunctionConfig::key_of(&target.arn(), &number.to_string());
            let state = self.invoker.provisioned_state(&key);
            whole.ready += state.ready;
            match (&whole.status, state.status) {
                (ProvisionedStatus::Failed(_), _) | (_, ProvisionedStatus::Ready) => {}
                (_, status) => whole.status = status,
            }
        }
        whole.ready = whole.ready.min(count);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aliases::Share;

    #[test]
    fn an_alias_shares_what_it_provisions() {
        let alias = |weight: Option<f64>| AliasRecord {
            version: Version::Number(1),
            additional: weight.map(|weight| Share { number: 2, weight }),
            description: String::new(),
            revision_id: String::new(),
        };
        assert_eq!(shares(&alias(None), 10), [(1, 10)]);
        assert_eq!(shares(&alias(Some(0.25)), 10), [(1, 7), (2, 3)]);
        assert_eq!(shares(&alias(Some(0.0)), 10), [(1, 10)]);
        assert_eq!(shares(&alias(Some(1.0)), 10), [(2, 10)]);
    }
}
