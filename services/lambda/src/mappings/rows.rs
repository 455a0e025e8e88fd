//! Mappings in the store: each change is one transaction, with all of a mapping's rows.
//!
//! It checks no setting and starts nothing; who changes a mapping tells its worker afterwards.

use store::{Snapshot, Store, Tx, TxError, value};

use super::keys;
use super::record::Mapping;
use crate::error::LambdaError;
use crate::functions::{MAX_TAGS, Outcome, Tags, damaged, decode, too_many_tags};
use crate::keys::{Space, V1};

/// The mappings in a store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rows {
    store: Store,
}

/// Which mappings a listing is of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    pub(crate) source_arn: Option<String>,
    /// With the qualifier, if there is one.
    pub(crate) function_arn: Option<String>,
}

/// AWS's words for an id that no mapping has.
pub(crate) fn no_mapping() -> LambdaError {
    LambdaError::NotFound("The resource you requested does not exist.".to_owned())
}

impl Rows {
    pub(crate) fn new(store: Store) -> Self {
        Rows { store }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Outcome<T> + Send + 'static,
    ) -> Result<T, LambdaError> {
        self.store.transact_with(work).await?
    }

    /// A mapping as it is now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn get(&self, space: &Space, id: &str) -> Result<Option<Mapping>, LambdaError> {
        read(&self.store.snapshot()?, space, id)
    }

    /// Every mapping of every account.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<Mapping>, LambdaError> {
        let snapshot = self.store.snapshot()?;
        let rows = snapshot.range(keys::all_rows().range())?;
        rows.iter().map(|(_, row)| with_filters(&snapshot, decode(row)?)).collect()
    }

    /// Adds a mapping.
    ///
    /// # Errors
    /// `ResourceConflictException` when the function has one for the same source.
    pub(crate) async fn create(&self, mapping: Mapping, tags: Tags) -> Result<(), LambdaError> {
        self.run(move |tx| {
            if let Err(conflict) = put(tx, &mapping)? {
                return Ok(Err(conflict));
            }
            let space = mapping.space();
            for (key, text) in &tags {
                tx.put(keys::tag(&space, &mapping.id, key).build(), value::encode(V1, text))?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Changes a mapping; gives what it was and what it is. `change` may run twice.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `ResourceConflictException` when its new function has one for the same source; what
    /// `change` refuses.
    pub(crate) async fn change(
        &self,
        space: &Space,
        id: &str,
        change: impl Fn(Mapping) -> Result<Mapping, LambdaError> + Send + 'static,
    ) -> Result<(Mapping, Mapping), LambdaError> {
        let (space, id) = (space.clone(), id.to_owned());
        self.run(move |tx| {
            let Some(before) = read_in(tx, &space, &id)? else { return Ok(Err(no_mapping())) };
            let after = match change(before.clone()) {
                Ok(after) => after,
                Err(error) => return Ok(Err(error)),
            };
            remove(tx, &before)?;
            Ok(put(tx, &after)?.map(|()| (before, after)))
        })
        .await
    }

    /// Removes a mapping, and gives what it was.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn delete(&self, space: &Space, id: &str) -> Result<Mapping, LambdaError> {
        let (space, id) = (space.clone(), id.to_owned());
        self.run(move |tx| {
            let Some(mapping) = read_in(tx, &space, &id)? else { return Ok(Err(no_mapping())) };
            remove(tx, &mapping)?;
            for (key, _) in tx.range(keys::tags(&space, &id).range())? {
                tx.delete(&key)?;
            }
            Ok(Ok(mapping))
        })
        .await
    }

    /// Up to `limit` mappings by id, after the id `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn list(
        &self,
        space: &Space,
        which: &Which,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Mapping>, LambdaError> {
        let snapshot = self.store.snapshot()?;
        let ids: Vec<String> = match which {
            // A source has few functions, so their ids are put in order here.
            Which { source_arn: Some(source), function_arn } => {
                let range = match function_arn {
                    Some(function) => keys::by_source(space, source, function).range(),
                    None => keys::of_source(space, source).range(),
                };
                let rows = snapshot.range(range)?;
                let mut ids = rows.iter().map(|(_, row)| decode(row)).collect::<Result<Vec<String>, _>>()?;
                ids.sort();
                ids.into_iter()
                    .filter(|id| after.is_none_or(|after| id.as_str() > after))
                    .take(limit)
                    .collect()
            }
            Which { function_arn: Some(function), .. } => {
                let mut range = keys::of_function(space, function).range().limit(limit);
                if let Some(after) = after {
                    range.from = keys::by_function(space, function, after).prefix_end();
                }
                let rows = snapshot.range(range)?;
                let id = |key: &[u8]| keys::last_after_three(key).ok_or_else(|| damaged("a mapping's key"));
                rows.iter().map(|(key, _)| id(key)).collect::<Result<_, _>>()?
            }
            Which { .. } => {
                let mut range = keys::rows(space).range().limit(limit);
                if let Some(after) = after {
                    range.from = keys::row(space, after).prefix_end();
                }
                let rows = snapshot.range(range)?;
                return rows.iter().map(|(_, row)| with_filters(&snapshot, decode(row)?)).collect();
            }
        };
        ids.iter().filter_map(|id| read(&snapshot, space, id).transpose()).collect()
    }

    /// A mapping's tags.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) fn tags(&self, space: &Space, id: &str) -> Result<Tags, LambdaError> {
        let snapshot = self.store.snapshot()?;
        snapshot.get(&keys::row(space, id))?.ok_or_else(no_mapping)?;
        let rows = snapshot.range(keys::tags(space, id).range())?;
        let tag = |key: &[u8], row: &[u8]| {
            Ok((keys::last_after_three(key).ok_or_else(|| damaged("a tag's key"))?, decode(row)?))
        };
        rows.iter().map(|(key, row)| tag(key, row)).collect()
    }

    /// Adds and removes tags.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; when there would be more than fifty.
    pub(crate) async fn change_tags(
        &self,
        space: &Space,
        id: &str,
        add: Tags,
        remove: Vec<String>,
    ) -> Result<(), LambdaError> {
        let (space, id) = (space.clone(), id.to_owned());
        self.run(move |tx| {
            if tx.get(&keys::row(&space, &id))?.is_none() {
                return Ok(Err(no_mapping()));
            }
            for key in &remove {
                tx.delete(&keys::tag(&space, &id, key))?;
            }
            for (key, text) in &add {
                tx.put(keys::tag(&space, &id, key).build(), value::encode(V1, text))?;
            }
            let count = tx.range(keys::tags(&space, &id).range())?.len();
            Ok(if count > MAX_TAGS { Err(too_many_tags()) } else { Ok(()) })
        })
        .await
    }
}

fn read(snapshot: &Snapshot, space: &Space, id: &str) -> Result<Option<Mapping>, LambdaError> {
    let Some(row) = snapshot.get(&keys::row(space, id))? else { return Ok(None) };
    with_filters(snapshot, decode(&row)?).map(Some)
}

fn with_filters(snapshot: &Snapshot, mut mapping: Mapping) -> Result<Mapping, LambdaError> {
    let rows = snapshot.range(keys::filters(&mapping.space(), &mapping.id).range())?;
    mapping.filters = rows.iter().map(|(_, row)| decode(row)).collect::<Result<_, _>>()?;
    Ok(mapping)
}

fn read_in(tx: &dyn Tx, space: &Space, id: &str) -> Result<Option<Mapping>, TxError> {
    let Some(row) = tx.get(&keys::row(space, id))? else { return Ok(None) };
    let mut mapping: Mapping = value::decode(V1, &row)?;
    for (_, row) in tx.range(keys::filters(space, id).range())? {
        mapping.filters.push(value::decode(V1, &row)?);
    }
    Ok(Some(mapping))
}

/// Writes all rows of a mapping but its tags.
fn put(tx: &mut dyn Tx, mapping: &Mapping) -> Outcome<()> {
    let (space, id) = (mapping.space(), &mapping.id);
    let function_arn = mapping.target().qualified_arn();
    let unique = keys::by_source(&space, &mapping.source_arn, &function_arn);
    if let Some(row) = tx.get(&unique)? {
        let taken: String = value::decode(V1, &row)?;
        return Ok(Err(conflict(mapping, &taken)));
    }
    tx.put(unique.build(), value::encode(V1, id))?;
    tx.put(keys::by_function(&space, &function_arn, id).build(), value::encode(V1, &()))?;
    tx.put(keys::row(&space, id).build(), value::encode(V1, mapping))?;
    for (number, pattern) in (0..).zip(&mapping.filters) {
        tx.put(keys::filter(&space, id, number).build(), value::encode(V1, pattern))?;
    }
    Ok(Ok(()))
}

/// Removes all rows of a mapping but its tags.
fn remove(tx: &mut dyn Tx, mapping: &Mapping) -> Result<(), TxError> {
    let (space, id) = (mapping.space(), &mapping.id);
    let function_arn = mapping.target().qualified_arn();
    tx.delete(&keys::by_source(&space, &mapping.source_arn, &function_arn))?;
    tx.delete(&keys::by_function(&space, &function_arn, id))?;
    tx.delete(&keys::row(&space, id))?;
    for (key, _) in tx.range(keys::filters(&space, id).range())? {
        tx.delete(&key)?;
    }
    Ok(())
}

fn conflict(mapping: &Mapping, taken: &str) -> LambdaError {
    let function = match &mapping.qualifier {
        Some(qualifier) => format!("{}:{qualifier}", mapping.function_name),
        None => mapping.function_name.clone(),
    };
    LambdaError::Conflict(format!(
        "An event source mapping with SQS arn (\" {} \") and function (\" {function} \") already exists. Please update or \
         delete the existing mapping with UUID {taken}",
        mapping.source_arn
    ))
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Timestamp};

    use super::*;
    use crate::mappings::record::Settings;

    fn mapping(id: &str, source: &str, function: &str) -> Mapping {
        Mapping {
            id: id.to_owned(),
            account: AccountId::DEFAULT,
            region: Region::default(),
            source_arn: source.to_owned(),
            function_name: function.to_owned(),
            qualifier: None,
            enabled: true,
            settings: Settings::default(),
            modified_at: Timestamp(7),
            filters: vec!["{\"body\":[\"a\"]}".to_owned()],
        }
    }

    fn ids(found: Vec<Mapping>) -> Vec<String> {
        found.into_iter().map(|mapping| mapping.id).collect()
    }

    #[tokio::test]
    async fn a_mapping_is_kept_with_all_that_belongs_to_it() {
        let rows = Rows::new(Store::in_memory().unwrap());
        let first = mapping("1", "q", "f");
        let space = first.space();
        let tags = Tags::from([("team".to_owned(), "a".to_owned())]);
        rows.create(first.clone(), tags.clone()).await.unwrap();
        assert_eq!(rows.get(&space, "1").unwrap().unwrap(), first);
        assert_eq!(rows.tags(&space, "1").unwrap(), tags);
        let error = rows.create(mapping("2", "q", "f"), Tags::new()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "An event source mapping with SQS arn (\" q \") and function (\" f \") already exists. Please update or delete \
             the existing mapping with UUID 1"
        );
        rows.create(mapping("2", "q", "g"), Tags::new()).await.unwrap();
        let to_g = |mapping: Mapping| Ok(Mapping { function_name: "g".to_owned(), ..mapping });
        assert!(matches!(rows.change(&space, "1", to_g).await, Err(LambdaError::Conflict(_))));
        assert_eq!(rows.get(&space, "1").unwrap().unwrap(), first);
        let (_, changed) = rows
            .change(&space, "1", |mapping| {
                Ok(Mapping { function_name: "h".to_owned(), filters: Vec::new(), ..mapping })
            })
            .await
            .unwrap();
        assert_eq!(rows.get(&space, "1").unwrap().unwrap(), changed);
        rows.create(mapping("3", "q", "f"), Tags::new()).await.unwrap();
        rows.delete(&space, "1").await.unwrap();
        assert!(matches!(rows.delete(&space, "1").await, Err(LambdaError::NotFound(_))));
        assert!(matches!(rows.tags(&space, "1"), Err(LambdaError::NotFound(_))));
        assert_eq!(ids(rows.all().unwrap()), ["2", "3"]);
    }

    #[tokio::test]
    async fn listings_are_by_source_and_function_in_pages() {
        let rows = Rows::new(Store::in_memory().unwrap());
        let made = [("4", "q", "f"), ("3", "q", "g"), ("2", "r", "f"), ("1", "r", "g"), ("5", "s", "f")];
        for (id, source, function) in made {
            rows.create(mapping(id, source, function), Tags::new()).await.unwrap();
        }
        let space = mapping("1", "q", "f").space();
        let arn = |name: &str| Some(format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"));
        let list = |source: Option<&str>, function: Option<&str>, after: Option<&str>, limit| {
            let which = Which { source_arn: source.map(str::to_owned), function_arn: function.and_then(arn) };
            ids(rows.list(&space, &which, after, limit).unwrap())
        };
        assert_eq!(list(None, None, None, 10), ["1", "2", "3", "4", "5"]);
        assert_eq!(list(None, None, Some("2"), 2), ["3", "4"]);
        assert_eq!(list(Some("q"), None, None, 10), ["3", "4"]);
        assert_eq!(list(Some("q"), None, Some("3"), 10), ["4"]);
        assert_eq!(list(None, Some("f"), None, 2), ["2", "4"]);
        assert_eq!(list(None, Some("f"), Some("4"), 2), ["5"]);
        assert_eq!(list(Some("r"), Some("g"), None, 10), ["1"]);
        assert!(list(Some("x"), None, None, 10).is_empty());
    }

    #[tokio::test]
    async fn tags_are_fifty_at_most() {
        let rows = Rows::new(Store::in_memory().unwrap());
        let first = mapping("1", "q", "f");
        let space = first.space();
        rows.create(first, Tags::new()).await.unwrap();
        let many = |count: usize| -> Tags { (0..count).map(|n| (n.to_string(), String::new())).collect() };
        assert!(rows.change_tags(&space, "1", many(51), Vec::new()).await.is_err());
        rows.change_tags(&space, "1", many(50), Vec::new()).await.unwrap();
        rows.change_tags(&space, "1", Tags::new(), vec!["7".to_owned()]).await.unwrap();
        assert_eq!(rows.tags(&space, "1").unwrap().len(), 49);
    }
}
