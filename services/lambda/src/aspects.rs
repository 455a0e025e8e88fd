//! What belongs to a function, a version or an alias without being part of its configuration: a policy, a URL, limits.
//!
//! Such a thing has a row of its own, so that it changes without a new generation, and goes with its function in one
//! transaction. The configuration itself is `record`'s; what an aspect means is the business of the room that has it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::value;

use crate::error::LambdaError;
use crate::functions::{Functions, damaged, decode, space_of};
use crate::keys::{self, V1};
use crate::name::Target;

/// A kind of rows beside a function's record.
pub(crate) trait Aspect: Serialize + DeserializeOwned + Send + 'static {
    /// Its part of the key, such as `policy`.
    const KIND: &'static str;
}

impl Functions {
    /// The aspect of the function (`at` is empty), or of one of its versions or aliases. Whether the function exists is
    /// not looked at.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn aspect<A: Aspect>(&self, target: &Target, at: &str) -> Result<Option<A>, LambdaError> {
        let key = space_of(target).aspect(&target.name, A::KIND, at);
        self.store().get(&key)?.map(|row| decode(&row)).transpose()
    }

    /// Up to `limit` aspects of one kind, by qualifier, after the qualifier `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn aspects<A: Aspect>(
        &self,
        target: &Target,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, A)>, LambdaError> {
        let space = space_of(target);
        let mut range = space.aspects_of_kind(&target.name, A::KIND).range().limit(limit);
        if let Some(after) = after {
            range.from = space.aspect(&target.name, A::KIND, after).prefix_end();
        }
        let rows = self.store().range(range)?;
        let read = |key: &[u8], row: &[u8]| {
            let qualifier = keys::qualifier_of(key).ok_or_else(|| damaged("an aspect's key"))?;
            Ok((qualifier, decode(row)?))
        };
        rows.iter().map(|(key, row)| read(key, row)).collect()
    }

    /// Reads, changes and writes an aspect in one transaction; what `change` gives is what is stored, nothing removes
    /// the row. `change` may run twice, and must do the same both times.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is no such function; what `change` refuses: then nothing is changed.
    pub(crate) async fn change_aspect<A: Aspect + Clone>(
        &self,
        target: &Target,
        at: &str,
        change: impl Fn(Option<A>) -> Result<Option<A>, LambdaError> + Send + 'static,
    ) -> Result<Option<A>, LambdaError> {
        let (space, target, at) = (space_of(target), target.clone(), at.to_owned());
        self.run(move |tx| {
            if tx.get(&space.function(&target.name))?.is_none() {
                return Ok(Err(target.not_found()));
            }
            let key = space.aspect(&target.name, A::KIND, &at);
            let before = tx.get(&key)?.map(|row| value::decode(V1, &row)).transpose()?;
            let after = match change(before) {
                Ok(after) => after,
                Err(error) => return Ok(Err(error)),
            };
            match &after {
                Some(aspect) => tx.put(key.build(), value::encode(V1, aspect))?,
                None => tx.delete(&key)?,
            }
            Ok(Ok(after))
        })
        .await
    }
}
