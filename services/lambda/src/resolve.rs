//! From a name to what is run: the version that a qualifier leads to, as the store has it now.
//!
//! The configurations kept here are a cache, and its key is the truth itself: each invoke reads the version's row from
//! the store, and takes the snapshot that was made from equal bytes, or makes one. There is nothing to invalidate, so no
//! invoke can see an older function than the store has. Without an alias that is one read, with one it is two.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::Lambda;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::decode;
use crate::lambda::MAX_SNAPSHOTS;
use crate::name::Target;
use crate::record::FunctionRecord;
use crate::version::{Named, Version};

/// What a target comes to.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The version to run.
    pub(crate) function: Arc<FunctionConfig>,
    /// The ARN as it was named: with the qualifier, if there was one.
    pub(crate) invoked_arn: Arc<str>,
}

/// A version as it was when its row had these bytes.
pub(crate) struct Snapshot {
    row: Bytes,
    function: Arc<FunctionConfig>,
    /// `function.arn`, shared.
    arn: Arc<str>,
}

/// How often an alias is followed anew, when the version that it led to is gone by the time it is read.
const ATTEMPTS: usize = 3;

impl Lambda {
    /// The version that the target leads to, its package on disk. Weights are drawn anew with each call.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn resolve(&self, target: &Target) -> Result<Resolved, LambdaError> {
        let alias = match target.named() {
            Named::Version(version) => {
                let row = self.functions.version_row(target, version)?.ok_or_else(|| target.not_found())?;
                let (function, arn) = self.snapshot(target, version, row).await?;
                let invoked_arn = if target.qualifier.is_some() { Arc::clone(&function.key) } else { arn };
                return Ok(Resolved { function, invoked_arn });
            }
            Named::Alias(alias) => alias,
        };
        let draw = self.draws.next();
        for _ in 0..ATTEMPTS {
            let record = self.functions.alias(target, alias)?.ok_or_else(|| target.not_found())?;
            let version = record.pick(draw);
            if let Some(row) = self.functions.version_row(target, version)? {
                let (function, _) = self.snapshot(target, version, row).await?;
                let invoked_arn = Arc::from(target.qualified_arn());
                return Ok(Resolved { function, invoked_arn });
            }
        }
        Err(target.not_found())
    }

    /// Makes ready, in the background, what the first invoke of a function will need.
    pub(crate) fn foresee(self: &Arc<Self>, target: &Target) {
        let (lambda, target) = (Arc::clone(self), target.clone());
        tokio::spawn(async move {
            // What is wrong with it, its first invoke will tell.
            if let Ok(resolved) = lambda.resolve(&target).await {
                lambda.invoker.foresee(resolved.function);
            }
        });
    }

    /// The snapshot that was made from these bytes, or a new one; and the unqualified ARN.
    async fn snapshot(
        &self,
        target: &Target,
        version: Version,
        row: Bytes,
    ) -> Result<(Arc<FunctionConfig>, Arc<str>), LambdaError> {
        let key = snapshot_key(target, version);
        if let Some(known) = self.known(&key, &row) {
            return Ok(known);
        }
        let record: FunctionRecord = decode(&row)?;
        let unpacked_dir = self.packages.ensure(&record.code.digest).await?;
        let opt_dir = self.packages.ensure_stack(&record.settings.layer_packages()).await?;
        let (account, region, name) = (target.account, &target.region, &target.name);
        let mut function = record.snapshot(account, region, name, version, unpacked_dir, opt_dir);
        function.file_systems = self.access_points.folders(&record.settings.file_systems)?;
        let (function, arn) = (Arc::new(function), Arc::from(target.arn()));
        let snapshot = Snapshot { row, function: Arc::clone(&function), arn: Arc::clone(&arn) };
        let mut snapshots = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        if snapshots.len() >= MAX_SNAPSHOTS {
            snapshots.clear();
        }
        snapshots.insert(key, snapshot);
        Ok((function, arn))
    }

    fn known(&self, key: &str, row: &Bytes) -> Option<(Arc<FunctionConfig>, Arc<str>)> {
        let snapshots = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        let known = snapshots.get(key).filter(|known| known.row == *row)?;
        Some((Arc::clone(&known.function), Arc::clone(&known.arn)))
    }

    /// Lets go of what is kept of a version that is deleted: its snapshot and its environments.
    pub(crate) fn let_go(&self, target: &Target, version: Version, record: &FunctionRecord) {
        let retired = FunctionConfig::key_of(&target.arn(), &version.to_string());
        self.invoker.retire(&retired, record.generation + 1);
        if record.settings.snap_start {
            self.forget_snapshot(&retired);
        }
        let key = snapshot_key(target, version);
        self.snapshots.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

fn snapshot_key(target: &Target, version: Version) -> String {
    match version {
        Version::Latest => target.arn(),
        Version::Number(number) => format!("{}:{number}", target.arn()),
    }
}

/// Where the draws for weighted aliases come from: SplitMix64, without a lock.
#[derive(Debug)]
pub(crate) struct Draws(AtomicU64);

impl Draws {
    pub(crate) fn seeded(seed: u64) -> Self {
        Draws(AtomicU64::new(seed))
    }

    /// Another sequence for each process.
    pub(crate) fn random() -> Self {
        Draws::seeded(uuid::Uuid::new_v4().as_u64_pair().0)
    }

    /// The next draw, from 0 up to, without, 1.
    pub(crate) fn next(&self) -> f64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The 53 highest bits are exactly what a double holds.
        #[allow(clippy::cast_precision_loss)]
        let draw = (z >> 11) as f64 / (1u64 << 53) as f64;
        draw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aliases::{AliasRecord, Share};

    #[test]
    fn draws_are_even_and_weights_are_kept() {
        let alias = |weight| AliasRecord {
            version: Version::Number(1),
            additional: Some(Share { number: 2, weight }),
            description: String::new(),
            revision_id: String::new(),
        };
        let part = |weight: f64| {
            let (draws, alias) = (Draws::seeded(7), alias(weight));
            let picked = (0..10_000).filter(|_| alias.pick(draws.next()) == Version::Number(2)).count();
            picked as f64 / 10_000.0
        };
        assert_eq!(part(0.0), 0.0);
        assert_eq!(part(1.0), 1.0);
        for weight in [0.01, 0.2, 0.5, 0.9] {
            assert!((part(weight) - weight).abs() < 0.02, "{weight}: {}", part(weight));
        }
    }
}
