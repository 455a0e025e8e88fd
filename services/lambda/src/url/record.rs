//! Function URLs in the store: what belongs to a function or an alias, and the way from an id to it.
//!
//! The id is drawn when the URL is made and is never used again, as with AWS: a URL that is deleted and made anew has
//! another address. The row under the id is written and removed in the transaction that does so with the URL; where it
//! leads to a URL with another id, or to none, it counts for nothing.

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use store::value::ValueError;
use store::{Key, Tx, TxError, value};

use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::functions::{Functions, decode, space_of};
use crate::keys::{Space, V1, url_id};
use crate::name::Target;

/// Characters of an id.
pub(crate) const ID_CHARS: usize = 32;

/// A function URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlRow {
    pub(crate) id: String,
    pub(crate) auth_type: AuthType,
    /// `None`: never set, and not shown.
    pub(crate) cors: Option<Cors>,
    pub(crate) invoke_mode: InvokeMode,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
}

/// A function URL as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredUrl {
    id: String,
    auth_type: AuthType,
    cors: StoredCors,
    invoke_mode: InvokeMode,
    created_at: Timestamp,
    modified_at: Timestamp,
}

impl Aspect for StoredUrl {
    const KIND: &'static str = "url";
}

/// A configuration of the size that AWS allows is larger than a value may be: then it has rows of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum StoredCors {
    Never,
    Here(Cors),
    /// In so many rows, cut anywhere.
    Apart(usize),
}

/// Bytes of a configuration in one row.
const PART_BYTES: usize = 60 * 1024;

/// The kind of the aspect that holds a part of a configuration.
fn part_kind(part: usize) -> String {
    format!("url-cors-{part}")
}

impl StoredUrl {
    /// The whole of it; `part` reads a part of the configuration.
    fn whole<E: From<ValueError>>(self, part: impl Fn(usize) -> Result<Vec<u8>, E>) -> Result<UrlRow, E> {
        let cors = match self.cors {
            StoredCors::Never => None,
            StoredCors::Here(cors) => Some(cors),
            StoredCors::Apart(parts) => {
                let parts = (0..parts).map(part).collect::<Result<Vec<_>, _>>()?;
                Some(value::decode(V1, &parts.concat())?)
            }
        };
        let StoredUrl { id, auth_type, invoke_mode, created_at, modified_at, .. } = self;
        Ok(UrlRow { id, auth_type, cors, invoke_mode, created_at, modified_at })
    }
}

/// Where the rows of one URL lie.
struct Place {
    space: Space,
    name: String,
    alias: String,
}

impl Place {
    fn of(target: &Target) -> Self {
        Place { space: space_of(target), name: target.name.clone(), alias: kept_at(target).to_owned() }
    }

    fn key(&self) -> Key {
        self.space.aspect(&self.name, StoredUrl::KIND, &self.alias)
    }

    fn part_key(&self, part: usize) -> Key {
        self.space.aspect(&self.name, &part_kind(part), &self.alias)
    }

    fn read(&self, tx: &dyn Tx) -> Result<Option<UrlRow>, TxError> {
        let Some(row) = tx.get(&self.key())? else { return Ok(None) };
        let stored: StoredUrl = value::decode(V1, &row)?;
        let part = |part| {
            Ok::<_, TxError>(tx.get(&self.part_key(part))?.map(|row| row.to_vec()).unwrap_or_default())
        };
        stored.whole(part).map(Some)
    }

    /// Writes the URL in the place of the one that is there.
    fn write(&self, tx: &mut dyn Tx, row: &UrlRow) -> Result<(), TxError> {
        self.remove(tx)?;
        let cors = match &row.cors {
            None => StoredCors::Never,
            Some(cors) => {
                let bytes = value::encode(V1, cors);
                if bytes.len() <= PART_BYTES / 2 {
                    StoredCors::Here(cors.clone())
                } else {
                    let parts = bytes.chunks(PART_BYTES);
                    let count = parts.len();
                    for (part, bytes) in parts.enumerate() {
                        tx.put(self.part_key(part).build(), bytes.to_vec())?;
                    }
                    StoredCors::Apart(count)
                }
            }
        };
        let stored = StoredUrl {
            id: row.id.clone(),
            auth_type: row.auth_type,
            cors,
            invoke_mode: row.invoke_mode,
            created_at: row.created_at,
            modified_at: row.modified_at,
        };
        tx.put(self.key().build(), value::encode(V1, &stored))?;
        Ok(())
    }

    fn remove(&self, tx: &mut dyn Tx) -> Result<(), TxError> {
        let Some(row) = tx.get(&self.key())? else { return Ok(()) };
        let stored: StoredUrl = value::decode(V1, &row)?;
        if let StoredCors::Apart(parts) = stored.cors {
            for part in 0..parts {
                tx.delete(&self.part_key(part))?;
            }
        }
        tx.delete(&self.key())?;
        Ok(())
    }
}

/// Who may call a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AuthType {
    #[serde(rename = "NONE")]
    None,
    #[serde(rename = "AWS_IAM")]
    AwsIam,
}

impl AuthType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AuthType::None => "NONE",
            AuthType::AwsIam => "AWS_IAM",
        }
    }
}

/// When the answer leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InvokeMode {
    #[default]
    #[serde(rename = "BUFFERED")]
    Buffered,
    #[serde(rename = "RESPONSE_STREAM")]
    ResponseStream,
}

/// `Cors`. A member that was not given is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cors {
    pub(crate) allow_credentials: Option<bool>,
    pub(crate) allow_headers: Option<Vec<String>>,
    pub(crate) allow_methods: Option<Vec<String>>,
    pub(crate) allow_origins: Option<Vec<String>>,
    pub(crate) expose_headers: Option<Vec<String>>,
    pub(crate) max_age_s: Option<u32>,
}

/// What the id of a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    account: AccountId,
    region: Region,
    name: String,
    /// The alias, or empty.
    alias: String,
}

/// A URL and what it is for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The function, or its alias.
    pub(crate) target: Target,
    pub(crate) row: UrlRow,
}

/// A fresh id: lower-case letters and digits.
pub(crate) fn fresh_id() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let bytes = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes).concat();
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// The alias of a target; URLs are for functions and aliases only.
pub(crate) fn kept_at(target: &Target) -> &str {
    target.qualifier.as_deref().unwrap_or_default()
}

/// Removes the ways to the URLs of a function, or of one of its aliases, that is being deleted.
pub(crate) fn forget_ids(
    tx: &mut dyn Tx,
    space: &Space,
    name: &str,
    at: Option<&str>,
) -> Result<(), TxError> {
    let rows = match at {
        None => tx
            .range(space.aspects_of_kind(name, StoredUrl::KIND).range())?
            .into_iter()
            .map(|(_, row)| row)
            .collect(),
        Some(alias) => tx.get(&space.aspect(name, StoredUrl::KIND, alias))?.into_iter().collect::<Vec<_>>(),
    };
    for row in rows {
        let row: StoredUrl = value::decode(V1, &row)?;
        tx.delete(&url_id(&row.id))?;
    }
    Ok(())
}

impl Functions {
    /// Gives a function or an alias a URL.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `ResourceConflictException` when it has one.
    pub(crate) async fn create_url(&self, target: &Target, row: UrlRow) -> Result<(), LambdaError> {
        let (place, target) = (Place::of(target), target.clone());
        self.run(move |tx| {
            if tx.get(&place.space.function(&place.name))?.is_none() {
                return Ok(Err(no_function()));
            }
            if tx.get(&place.key())?.is_some() {
                return Ok(Err(LambdaError::Conflict(format!(
                    "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig \
                     exists for this Lambda function",
                    target.qualified_arn()
                ))));
            }
            let owner = Owner {
                account: target.account,
                region: target.region.clone(),
                name: place.name.clone(),
                alias: place.alias.clone(),
            };
            place.write(tx, &row)?;
            tx.put(url_id(&row.id).build(), value::encode(V1, &owner))?;
            Ok(Ok(()))
        })
        .await
    }

    /// Changes a URL; its address stays. `change` may run twice, and must do the same both times.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn change_url(
        &self,
        target: &Target,
        change: impl Fn(&mut UrlRow) + Send + 'static,
    ) -> Result<UrlRow, LambdaError> {
        let place = Place::of(target);
        self.run(move |tx| {
            let Some(mut row) = place.read(tx)? else { return Ok(Err(no_url())) };
            change(&mut row);
            place.write(tx, &row)?;
            Ok(Ok(row))
        })
        .await
    }

    /// Takes a URL away; its policy statements stay, as with AWS.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub(crate) async fn delete_url(&self, target: &Target) -> Result<(), LambdaError> {
        let place = Place::of(target);
        self.run(move |tx| {
            let Some(row) = place.read(tx)? else { return Ok(Err(no_url())) };
            place.remove(tx)?;
            tx.delete(&url_id(&row.id))?;
            Ok(Ok(()))
        })
        .await
    }

    /// The URL of a function or an alias.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn url_of(&self, target: &Target) -> Result<Option<UrlRow>, LambdaError> {
        let stored: Option<StoredUrl> = self.aspect(target, kept_at(target))?;
        stored.map(|stored| self.whole_url(target, stored)).transpose()
    }

    /// Up to `limit` URLs of a function and its aliases, by alias, after the alias `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn urls(
        &self,
        target: &Target,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Target, UrlRow)>, LambdaError> {
        let rows = self.aspects::<StoredUrl>(target, after, limit)?;
        let whole = |(alias, stored): (String, StoredUrl)| {
            let qualifier = if alias.is_empty() { None } else { Some(alias) };
            let target = Target { qualifier, ..target.clone() };
            self.whole_url(&target, stored).map(|row| (target, row))
        };
        rows.into_iter().map(whole).collect()
    }

    fn whole_url(&self, target: &Target, stored: StoredUrl) -> Result<UrlRow, LambdaError> {
        let place = Place::of(target);
        stored.whole(|part| {
            let row = self.store().get(&place.part_key(part))?;
            Ok(row.map(|row| row.to_vec()).unwrap_or_default())
        })
    }

    /// The URL with this id. Two reads.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn url(&self, id: &str) -> Result<Option<Found>, LambdaError> {
        let Some(owner) = self.store().get(&url_id(id))? else { return Ok(None) };
        let Owner { account, region, name, alias } = decode(&owner)?;
        let qualifier = if alias.is_empty() { None } else { Some(alias) };
        let target = Target { account, region, name, qualifier };
        let row = self.url_of(&target)?;
        Ok(row.filter(|row| row.id == id).map(|row| Found { target, row }))
    }
}

/// AWS's words, which name nothing.
pub(crate) fn no_url() -> LambdaError {
    LambdaError::NotFound("The resource you requested does not exist.".to_owned())
}

/// AWS's words, which name nothing.
pub(crate) fn no_function() -> LambdaError {
    LambdaError::NotFound("Function does not exist".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_and_differ() {
        let (one, other) = (fresh_id(), fresh_id());
        assert_eq!(one.len(), ID_CHARS);
        assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_ne!(one, other);
    }
}
