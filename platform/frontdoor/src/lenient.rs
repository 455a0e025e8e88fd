//! Reads another service's answer into a struct that holds only some of its members.
//!
//! Inputs are read strictly, so that no parameter is ignored. An answer is different: its reader takes what it needs,
//! and a service may learn to answer more. So what the strict reading names as unknown is cut out, and read again.

use serde::de::DeserializeOwned;
use wire::{Doc, DocError};

/// As [`wire::doc::from_doc`], but members that the struct lacks are left out.
pub(crate) fn from_doc<T: DeserializeOwned>(mut doc: Doc) -> Result<T, DocError> {
    loop {
        match wire::doc::from_doc(doc.clone()) {
            // Each round cuts at least one entry, so there is an end.
            Err(DocError::UnsupportedMember { path }) if cut(&mut doc, &path) => {}
            result => return result,
        }
    }
}

/// Cuts the entry at a dotted path out of the document; below a list, out of every element of it, which saves a round
/// for each of them. Says whether anything was cut.
fn cut(doc: &mut Doc, path: &str) -> bool {
    match doc {
        Doc::Map(entries) => {
            let before = entries.len();
            entries.retain(|(key, _)| key != path);
            if entries.len() < before {
                return true;
            }
            // A map's key may itself hold dots, so every key that fits is tried.
            let mut inside = entries.iter_mut().filter_map(|(key, value)| {
                let rest = path.strip_prefix(key.as_ref())?.strip_prefix('.')?;
                Some((value, rest))
            });
            inside.any(|(value, rest)| cut(value, rest))
        }
        Doc::List(items) => {
            let Some((_index, rest)) = path.split_once('.') else { return false };
            let mut any = false;
            for item in items {
                any |= cut(item, rest);
            }
            any
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Part {
        name: String,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct Whole {
        parts: Vec<Part>,
        by_name: BTreeMap<String, Part>,
    }

    fn part(name: &str) -> Doc {
        let entries = [("name", name), ("colour", "red"), ("size", "1")];
        Doc::Map(entries.into_iter().map(|(key, value)| (key.into(), Doc::Str(value.to_owned()))).collect())
    }

    #[test]
    fn members_that_the_struct_lacks_are_left_out_at_any_depth() {
        let by_name = Doc::Map(vec![("a.b".into(), part("y")), ("c".into(), part("z"))]);
        let doc = Doc::Map(vec![
            ("parts".into(), Doc::List(vec![part("w"), part("x")])),
            ("by_name".into(), by_name),
            ("more".into(), Doc::Int(1)),
        ]);
        let whole: Whole = from_doc(doc).unwrap();
        assert_eq!(whole.parts, [Part { name: "w".to_owned() }, Part { name: "x".to_owned() }]);
        assert_eq!(whole.by_name["a.b"].name, "y");
        assert_eq!(whole.by_name["c"].name, "z");
    }

    #[test]
    fn a_member_that_the_struct_needs_must_be_there() {
        let doc = Doc::Map(vec![("parts".into(), Doc::List(vec![]))]);
        assert_eq!(from_doc::<Whole>(doc), Err(DocError::MissingMember { path: "by_name".to_owned() }));
    }

    #[test]
    fn nothing_is_read_from_anything() {
        assert_eq!(from_doc::<()>(part("x")), Ok(()));
    }
}
