//! Which layers a function has: chosen by a request, checked, written down beside its record, and followed.
//!
//! A function that follows its layers (the tag `lamplighter:layers=follow-latest`, of ours) always has the newest
//! version of each that its own account has. The version that it uses is part of its record, which changes in the
//! transaction that publishes the layer: so the next invoke has the new one, and none has a bit of both.
//!
//! Rules: <https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html>.

use std::collections::{BTreeMap, BTreeSet};

use frontdoor::Call;
use store::{Tx, TxError, value};

use super::rows::{newest_in, version_in};
use super::{LayerId, LayerVersionId};
use crate::error::LambdaError;
use crate::functions::{Functions, Mark, Outcome, Tags, damaged, read_usage};
use crate::keys::{self, Space, V1};
use crate::name::Target;
use crate::package::{Digest, MAX_UNPACKED_BYTES};
use crate::record::{FunctionRecord, LayerRecord};
use crate::settings::{FOLLOW_LAYERS, OwnSettings};

/// AWS's limit for one function.
pub(crate) const MAX_LAYERS: usize = 5;

/// A function that got a newer layer, and its record with it.
pub(crate) type Refreshed = (Target, FunctionRecord);

impl Functions {
    /// The layers that a request names for a function.
    ///
    /// # Errors
    /// Too many, two versions of one layer, a layer of another region, one that does not exist, or one of another
    /// account that does not allow it: in AWS's words.
    pub(crate) fn choose_layers(
        &self,
        call: &Call,
        target: &Target,
        arns: &[String],
    ) -> Result<Vec<LayerRecord>, LambdaError> {
        if arns.len() > MAX_LAYERS {
            return Err(LambdaError::InvalidParameter(format!(
                "Cannot reference more than {MAX_LAYERS} layers."
            )));
        }
        let mut seen: BTreeMap<LayerId, String> = BTreeMap::new();
        let mut chosen = Vec::new();
        for arn in arns {
            let Some(id) = LayerVersionId::parse(arn) else {
                return Err(LambdaError::InvalidParameter(format!("Layer version {arn} does not exist.")));
            };
            if let Some(other) = seen.insert(id.layer.clone(), arn.clone()) {
                return Err(LambdaError::InvalidParameter(format!(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. \
                     {other} and {arn} are versions of the same layer."
                )));
            }
            if id.layer.region != target.region {
                return Err(LambdaError::InvalidParameter(format!(
                    "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                    target.region
                )));
            }
            self.may_use_layer(call, &id, "GetLayerVersion")?;
            let version = self.layer_version(&id)?;
            let version = version.ok_or_else(|| LambdaError::InvalidParameter(id.does_not_exist()))?;
            chosen.push(LayerRecord { arn: id.to_string(), content: version.content });
        }
        Ok(chosen)
    }

    /// # Errors
    /// `AccessDeniedException` for a layer version of another account, unless its policy allows the caller's.
    pub(crate) fn may_use_layer(
        &self,
        call: &Call,
        id: &LayerVersionId,
        operation: &str,
    ) -> Result<(), LambdaError> {
        let allowed = id.layer.account == call.account()
            || self.layer_policy(id)?.is_some_and(|policy| policy.allows(call.account()));
        if allowed { Ok(()) } else { Err(denied(call, operation, id)) }
    }
}

/// AWS's words for something of another account that nothing allows.
pub(crate) fn denied(call: &Call, operation: &str, resource: impl std::fmt::Display) -> LambdaError {
    LambdaError::AccessDenied(format!(
        "User: {} is not authorized to perform: lambda:{operation} on resource: {resource} because no resource-based \
         policy allows the lambda:{operation} action",
        call.principal().arn()
    ))
}

/// Whether the tags say that the function follows its layers.
pub(crate) fn follows(tags: &Tags) -> bool {
    OwnSettings::of(tags).is_ok_and(|own| own.follow_layers)
}

/// [`follows`], by the stored tags: the tag has one value only.
fn is_following(tx: &dyn Tx, space: &Space, function: &str) -> Result<bool, TxError> {
    Ok(tx.get(&space.tag(function, FOLLOW_LAYERS))?.is_some())
}

/// What a changed (or, without `before`, new) record must pass before it is written: its layers are there, the newest
/// ones if the function follows them (`tags` of a new one, the stored ones of an old one), and all fits.
///
/// # Errors
/// A layer version that was deleted meanwhile; more than AWS's 250 MB.
pub(crate) fn settle(
    tx: &dyn Tx,
    target: &Target,
    record: &mut FunctionRecord,
    before: Option<&FunctionRecord>,
    tags: Option<&Tags>,
) -> Outcome<()> {
    if record.settings.layers.is_empty() {
        return Ok(Ok(()));
    }
    if before.is_none_or(|before| before.settings.layers != record.settings.layers) {
        for layer in &record.settings.layers {
            let id = LayerVersionId::parse(&layer.arn);
            let there = id.map(|id| version_in(tx, &id)).transpose()?.flatten();
            if there.is_none() {
                let gone = format!("Layer version {} does not exist.", layer.arn);
                return Ok(Err(LambdaError::InvalidParameter(gone)));
            }
        }
    }
    let space = Space::new(target.account, &target.region);
    let following = match tags {
        Some(tags) => follows(tags),
        None => is_following(tx, &space, &target.name)?,
    };
    if following {
        advance(tx, target, record)?;
    }
    Ok(check_size(record))
}

/// Gives a record the newest version of each layer of its own account. True if anything is new.
fn advance(tx: &dyn Tx, target: &Target, record: &mut FunctionRecord) -> Result<bool, TxError> {
    let mut changed = false;
    for layer in &mut record.settings.layers {
        let Some(id) = LayerVersionId::parse(&layer.arn).filter(|id| id.layer.account == target.account)
        else {
            continue;
        };
        let Some((number, newest)) = newest_in(tx, &id.layer)? else { continue };
        if number > id.number {
            let arn = LayerVersionId { layer: id.layer, number }.to_string();
            *layer = LayerRecord { arn, content: newest.content };
            changed = true;
        }
    }
    Ok(changed)
}

fn check_size(record: &FunctionRecord) -> Result<(), LambdaError> {
    let layers: u64 = record.settings.layers.iter().map(|layer| layer.content.unpacked_bytes).sum();
    let all = layers + record.code.unpacked_bytes;
    if all > MAX_UNPACKED_BYTES {
        return Err(LambdaError::InvalidParameter(format!(
            "Function code combined with layers exceeds the maximum allowed size of {MAX_UNPACKED_BYTES} bytes. The \
             actual size is {all} bytes."
        )));
    }
    Ok(())
}

/// Writes and removes the rows that say what a function's `$LATEST` uses: packages and layers.
pub(crate) fn relink(
    tx: &mut dyn Tx,
    target: &Target,
    before: Option<&FunctionRecord>,
    after: Option<&FunctionRecord>,
) -> Result<(), TxError> {
    let (space, name) = (Space::new(target.account, &target.region), &target.name);
    let packages = |record: Option<&FunctionRecord>| record.map(FunctionRecord::packages).unwrap_or_default();
    let (old, new): (BTreeSet<Digest>, BTreeSet<Digest>) = (packages(before), packages(after));
    for gone in old.difference(&new) {
        tx.delete(&space.package_user(gone, name))?;
    }
    for added in new.difference(&old) {
        tx.put(space.package_user(added, name).build(), value::encode(V1, &()))?;
    }
    let layers = |record: Option<&FunctionRecord>| own_layers(target, record);
    let (old, new) = (layers(before), layers(after));
    for gone in old.difference(&new) {
        tx.delete(&space.layer_user(gone, name))?;
    }
    for added in new.difference(&old) {
        tx.put(space.layer_user(added, name).build(), value::encode(V1, &()))?;
    }
    Ok(())
}

/// The names of a record's layers that are of the function's own account: those that can be followed.
fn own_layers(target: &Target, record: Option<&FunctionRecord>) -> BTreeSet<String> {
    let layers = record.into_iter().flat_map(|record| &record.settings.layers);
    layers
        .filter_map(|layer| LayerVersionId::parse(&layer.arn))
        .filter(|id| id.layer.account == target.account)
        .map(|id| id.layer.name)
        .collect()
}

/// After a new version of `layer` was written: gives it to every function that follows the layer.
///
/// # Errors
/// The first function for which the new version is too large; then nothing is published.
pub(super) fn refresh_followers(tx: &mut dyn Tx, layer: &LayerId, mark: &Mark) -> Outcome<Vec<Refreshed>> {
    let space = layer.space();
    let mut refreshed = Vec::new();
    for (key, _) in tx.range(space.layer_users(&layer.name).range())? {
        let Some(name) = keys::layer_user_of(&key) else {
            return Ok(Err(damaged("the key of a layer's user")));
        };
        if !is_following(tx, &space, &name)? {
            continue;
        }
        let target = Target { account: layer.account, region: layer.region.clone(), name, qualifier: None };
        match refresh(tx, &target, mark)? {
            Ok(Some(record)) => refreshed.push((target, record)),
            Ok(None) => {}
            Err(error) => {
                return Ok(Err(LambdaError::InvalidParameter(format!(
                    "The function {} follows this layer and could not have the new version: {error} Remove its tag \
                     {FOLLOW_LAYERS}, or take the layer from it.",
                    target.name
                ))));
            }
        }
    }
    Ok(Ok(refreshed))
}

/// Gives a function that follows its layers what is newer than what it has. `None`: nothing is.
///
/// # Errors
/// The new layers are too large.
pub(crate) fn refresh(tx: &mut dyn Tx, target: &Target, mark: &Mark) -> Outcome<Option<FunctionRecord>> {
    let space = Space::new(target.account, &target.region);
    let key = space.function(&target.name);
    let Some(row) = tx.get(&key)? else { return Ok(Ok(None)) };
    let before: FunctionRecord = value::decode(V1, &row)?;
    let mut record = before.clone();
    if !advance(tx, target, &mut record)? {
        return Ok(Ok(None));
    }
    if let Err(error) = check_size(&record) {
        return Ok(Err(error));
    }
    let mut usage = read_usage(tx, &space)?;
    usage.last_generation += 1;
    record.generation = usage.last_generation;
    record.revision_id.clone_from(&mark.revision_id);
    record.modified_at = mark.at;
    tx.put(key.build(), value::encode(V1, &record))?;
    tx.put(space.usage().build(), value::encode(V1, &usage))?;
    relink(tx, target, Some(&before), Some(&record))?;
    Ok(Ok(Some(record)))
}
