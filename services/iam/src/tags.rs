//! Tags of IAM entities: at most 50, keys unique whatever their case.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>.

use serde::{Deserialize, Serialize};

use crate::errors::IamError;

const MAX_TAGS: usize = 50;

/// A tag, as the API and the store have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Adds tags; a key that is there already gets the new value (and the new spelling).
pub(crate) fn merge(tags: &mut Vec<Tag>, added: &[Tag], quota: &'static str) -> Result<(), IamError> {
    let is_twice =
        |(at, tag): (usize, &Tag)| added[..at].iter().any(|earlier| same_key(&earlier.key, &tag.key));
    if added.iter().enumerate().any(is_twice) {
        return Err(IamError::DuplicateTagKeys);
    }
    for tag in added {
        match tags.iter_mut().find(|known| same_key(&known.key, &tag.key)) {
            Some(known) => *known = tag.clone(),
            None => tags.push(tag.clone()),
        }
    }
    if tags.len() > MAX_TAGS { Err(IamError::Quota { quota, limit: MAX_TAGS }) } else { Ok(()) }
}

/// Takes tags away; a key that is not there is no error.
pub(crate) fn remove(tags: &mut Vec<Tag>, keys: &[String]) {
    tags.retain(|tag| !keys.iter().any(|key| same_key(key, &tag.key)));
}

fn same_key(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn keys_are_one_whatever_their_case() {
        let mut tags = vec![tag("Team", "a")];
        merge(&mut tags, &[tag("team", "b"), tag("stage", "dev")], "TagsPerRole").unwrap();
        assert_eq!(tags, [tag("team", "b"), tag("stage", "dev")]);
        let twice = [tag("x", "1"), tag("X", "2")];
        assert!(matches!(merge(&mut tags, &twice, "TagsPerRole"), Err(IamError::DuplicateTagKeys)));
        remove(&mut tags, &["TEAM".to_owned(), "nobody".to_owned()]);
        assert_eq!(tags, [tag("stage", "dev")]);
    }

    #[test]
    fn fifty_tags_are_the_end() {
        let many: Vec<Tag> = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
        let mut tags = Vec::new();
        assert!(merge(&mut tags, &many[..50], "TagsPerRole").is_ok());
        assert!(matches!(
            merge(&mut tags, &many[50..], "TagsPerRole"),
            Err(IamError::Quota { quota: "TagsPerRole", limit: 50 })
        ));
    }
}
