//! Where Lambda's rows lie in the store. Every key begins with the element `lambda`.
//!
//! | key after `lambda` | value | what it is |
//! | --- | --- | --- |
//! | account, region, `fn`, name | [`FunctionRecord`](crate::record::FunctionRecord), version 1 | a function |
//! | account, region, `ver`, name, number | [`FunctionRecord`](crate::record::FunctionRecord), version 1 | a published version |
//! | account, region, `last`, name | [`LastVersion`](crate::record::LastVersion), version 1 | the last number given out; stays when the function goes |
//! | account, region, `alias`, name, alias | [`AliasRecord`](crate::aliases::AliasRecord), version 1 | an alias |
//! | account, region, `csc`, id | [`SigningConfig`](crate::code_signing::SigningConfig), version 1 | a code signing configuration |
//! | account, region, `csc-user`, id, name | nothing, version 1 | this function has that configuration |
//! | account, region, `tag`, name, tag key | text, version 1 | one tag of a function |
//! | account, region, `of`, name, kind, qualifier | an [`Aspect`](crate::aspects::Aspect), version 1 | what belongs to a function, a version or an alias |
//! | account, region, `usage` | [`Usage`](crate::record::Usage), version 1 | counts, and the last generation |
//! | account, region, `layer`, layer name | the last number, version 1 | numbers of layer versions are never given twice |
//! | account, region, `layer-version`, layer name, number | [`LayerVersion`](crate::layers::LayerVersion), version 1 | a version of a layer |
//! | account, region, `layer-policy`, layer name, number | [`LayerPolicy`](crate::layers::LayerPolicy), version 1 | who else may use it |
//! | account, region, `layer-user`, layer name, function name | nothing, version 1 | this function's `$LATEST` uses the layer |
//! | `async`, account, region, name, id, ... | see `asynchronous::queue` | the events of a function that had this name |
//! | `url`, id | account, region, name and alias, version 1 | which function or alias has this URL |
//! | `package`, SHA-256, account, region, name | nothing, version 1 | this function's code, layer or `/opt` is this package |
//! | `package`, SHA-256, account, region, name, number | nothing, version 1 | this version's code, layer or `/opt` is this package |
//! | `package`, SHA-256, account, region, `layer:name:number` | nothing, version 1 | this layer version's content is this package |
//!
//! Tags have rows of their own, because 50 of them can be larger than a value may be. The last row turns the
//! relation round, so that an unreferenced package is found without reading every function; it is written and
//! removed in the transaction that changes the function.

use base::{AccountId, Region};
use store::{Key, KeyReader};

use crate::name::Target;
use crate::package::Digest;

/// The schema version of every value of this crate.
pub(crate) const V1: u8 = 1;

/// One account in one region.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    account: AccountId,
    region: Region,
}

impl Space {
    pub(crate) fn new(account: AccountId, region: &Region) -> Self {
        Space { account, region: region.clone() }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    fn key(&self) -> Key {
        Key::new("lambda").str(self.account.to_string()).str(self.region.as_str())
    }

    pub(crate) fn functions(&self) -> Key {
        self.key().str("fn")
    }

    pub(crate) fn function(&self, name: &str) -> Key {
        self.functions().str(name)
    }

    /// All published versions of a function, by number.
    pub(crate) fn versions(&self, name: &str) -> Key {
        self.key().str("ver").str(name)
    }

    pub(crate) fn version(&self, name: &str, number: u64) -> Key {
        self.versions(name).u64(number)
    }

    pub(crate) fn last_version(&self, name: &str) -> Key {
        self.key().str("last").str(name)
    }

    /// All aliases of a function, by name.
    pub(crate) fn aliases(&self, name: &str) -> Key {
        self.key().str("alias").str(name)
    }

    pub(crate) fn alias(&self, name: &str, alias: &str) -> Key {
        self.aliases(name).str(alias)
    }

    /// All code signing configurations, by id.
    pub(crate) fn signing_configs(&self) -> Key {
        self.key().str("csc")
    }

    pub(crate) fn signing_config(&self, id: &str) -> Key {
        self.signing_configs().str(id)
    }

    /// The functions that have a code signing configuration, by name.
    pub(crate) fn signing_users(&self, id: &str) -> Key {
        self.key().str("csc-user").str(id)
    }

    pub(crate) fn signing_user(&self, id: &str, name: &str) -> Key {
        self.signing_users(id).str(name)
    }

    pub(crate) fn tags(&self, name: &str) -> Key {
        self.key().str("tag").str(name)
    }

    pub(crate) fn tag(&self, name: &str, tag_key: &str) -> Key {
        self.tags(name).str(tag_key)
    }

    /// Everything of the account in the region.
    pub(crate) fn all(&self) -> Key {
        self.key()
    }

    /// A function in it, which may exist.
    pub(crate) fn target(&self, name: &str) -> Target {
        Target { account: self.account, region: self.region.clone(), name: name.to_owned(), qualifier: None }
    }

    /// All aspects of all functions.
    pub(crate) fn all_aspects(&self) -> Key {
        self.key().str("of")
    }

    /// All aspects of a function.
    pub(crate) fn aspects(&self, name: &str) -> Key {
        self.key().str("of").str(name)
    }

    /// All aspects of one kind.
    pub(crate) fn aspects_of_kind(&self, name: &str, kind: &str) -> Key {
        self.aspects(name).str(kind)
    }

    /// One aspect. The qualifier is empty for the function itself.
    pub(crate) fn aspect(&self, name: &str, kind: &str, qualifier: &str) -> Key {
        self.aspects_of_kind(name, kind).str(qualifier)
    }

    /// All layers that ever had a version.
    pub(crate) fn layers(&self) -> Key {
        self.key().str("layer")
    }

    pub(crate) fn layer(&self, layer: &str) -> Key {
        self.layers().str(layer)
    }

    /// All versions of a layer, by number.
    pub(crate) fn layer_versions(&self, layer: &str) -> Key {
        self.key().str("layer-version").str(layer)
    }

    pub(crate) fn layer_version(&self, layer: &str, number: u64) -> Key {
        self.layer_versions(layer).u64(number)
    }

    pub(crate) fn layer_policy(&self, layer: &str, number: u64) -> Key {
        self.key().str("layer-policy").str(layer).u64(number)
    }

    /// All functions whose `$LATEST` uses a version of a layer.
    pub(crate) fn layer_users(&self, layer: &str) -> Key {
        self.key().str("layer-user").str(layer)
    }

    pub(crate) fn layer_user(&self, layer: &str, function: &str) -> Key {
        self.layer_users(layer).str(function)
    }

    pub(crate) fn usage(&self) -> Key {
        self.key().str("usage")
    }

    /// The events of all functions that had this name.
    pub(crate) fn queues_of(&self, name: &str) -> Key {
        queues().str(self.account.to_string()).str(self.region.as_str()).str(name)
    }

    /// The events of one of them.
    pub(crate) fn queue(&self, name: &str, id: u64) -> Key {
        self.queues_of(name).u64(id)
    }

    pub(crate) fn package_user(&self, digest: &Digest, name: &str) -> Key {
        package_users(digest).str(self.account.to_string()).str(self.region.as_str()).str(name)
    }

    pub(crate) fn package_user_version(&self, digest: &Digest, name: &str, number: u64) -> Key {
        self.package_user(digest, name).u64(number)
    }
}

/// The events of all functions.
pub(crate) fn queues() -> Key {
    Key::new("lambda").str("async")
}

/// Which queue a key below [`queues`] belongs to.
pub(crate) fn queue_of(key: &[u8]) -> Option<(AccountId, Region, String, u64)> {
    let mut reader = KeyReader::new(key);
    reader.str().ok()?;
    reader.str().ok()?;
    let account = reader.str().ok()?.parse().ok()?;
    let region = reader.str().ok()?.parse().ok()?;
    Some((account, region, reader.str().ok()?, reader.u64().ok()?))
}

/// What follows the queue in such a key.
pub(crate) fn after_queue(key: &[u8]) -> Option<KeyReader<'_>> {
    let mut reader = KeyReader::new(key);
    for _ in 0..5 {
        reader.str().ok()?;
    }
    reader.u64().ok()?;
    Some(reader)
}

/// What a function URL is for, by its id.
pub(crate) fn url_id(id: &str) -> Key {
    Key::new("lambda").str("url").str(id)
}

/// All uses of all packages.
pub(crate) fn packages() -> Key {
    Key::new("lambda").str("package")
}

/// All uses of one package.
pub(crate) fn package_users(digest: &Digest) -> Key {
    packages().bytes(digest.as_bytes())
}

/// The tag key at the end of a [`Space::tag`] key.
pub(crate) fn tag_key_of(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..5 {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The account and region that begin every key of a [`Space`].
pub(crate) fn space_of_key(key: &[u8]) -> Option<(String, String)> {
    let mut reader = KeyReader::new(key);
    reader.str().ok()?;
    Some((reader.str().ok()?, reader.str().ok()?))
}

/// The function's name in a [`Space::aspect`] key.
pub(crate) fn aspect_owner_of(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..4 {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The kind in a [`Space::aspect`] key.
pub(crate) fn aspect_kind_of(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..5 {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The qualifier at the end of a [`Space::aspect`] key.
pub(crate) fn qualifier_of(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..6 {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The function at the end of a [`Space::layer_user`] key.
pub(crate) fn layer_user_of(key: &[u8]) -> Option<String> {
    tag_key_of(key)
}

/// The number at the end of a [`Space::version`] or [`Space::layer_version`] key.
pub(crate) fn version_number_of(key: &[u8]) -> Option<u64> {
    let mut reader = KeyReader::new(key);
    for _ in 0..5 {
        reader.str().ok()?;
    }
    reader.u64().ok()
}

/// The alias at the end of a [`Space::alias`] key, which is made as a [`Space::tag`] key is.
pub(crate) fn alias_name_of(key: &[u8]) -> Option<String> {
    tag_key_of(key)
}

/// The name at the end of a [`Space::function`] or [`Space::layer`] key.
pub(crate) fn function_name_of(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..4 {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The package of a [`Space::package_user`] key.
pub(crate) fn digest_of(key: &[u8]) -> Option<Digest> {
    let mut reader = KeyReader::new(key);
    reader.str().ok()?;
    reader.str().ok()?;
    Digest::from_slice(&reader.bytes().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let space = Space::new(AccountId::DEFAULT, &Region::default());
        assert_eq!(tag_key_of(&space.tag("hello", "team:name")).unwrap(), "team:name");
        let aspect = space.aspect("hello", "url", "live");
        assert_eq!(qualifier_of(&aspect).unwrap(), "live");
        assert_eq!(aspect_owner_of(&aspect).unwrap(), "hello");
        let place = space_of_key(&aspect).unwrap();
        assert_eq!(place, ("000000000000".to_owned(), "us-east-1".to_owned()));
        assert_eq!(version_number_of(&space.version("hello", 7)).unwrap(), 7);
        assert_eq!(alias_name_of(&space.alias("hello", "live")).unwrap(), "live");
        let digest = Digest::of(b"zip");
        assert_eq!(digest_of(&space.package_user(&digest, "hello")).unwrap(), digest);
        assert_eq!(digest_of(&space.package_user_version(&digest, "hello", 7)).unwrap(), digest);
    }

    #[test]
    fn accounts_and_regions_do_not_touch() {
        let one = Space::new(AccountId::DEFAULT, &"us-east-1".parse().unwrap());
        let other = Space::new(AccountId::DEFAULT, &"us-east-2".parse().unwrap());
        let range = one.functions().range();
        let inside = |key: Key| range.from.as_slice() <= &*key && &*key < range.to.as_slice();
        assert!(inside(one.function("a")));
        assert!(!inside(other.function("a")));
        assert!(!inside(one.tag("a", "b")));
    }
}
