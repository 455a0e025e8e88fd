//! Tags as CloudFormation writes them: a list of `Key` and `Value`.

use std::collections::BTreeMap;

use super::SamError;
use super::node::Node;

/// Reads `Tags`.
pub(super) fn read(node: &Node) -> Result<BTreeMap<String, String>, SamError> {
    let mut tags = BTreeMap::new();
    for item in node.items("Tags")? {
        let (Some(key), Some(value)) = (item.get("Key"), item.get("Value")) else {
            return Err(SamError::at(item.line, "a tag has a 'Key' and a 'Value'"));
        };
        tags.insert(key.text("Key")?.to_owned(), value.text("Value")?.to_owned());
    }
    Ok(tags)
}

/// What tags must be taken away before the wanted ones are set.
pub(super) struct Change {
    pub(super) gone: Vec<String>,
}

/// `None`: they are as they should be.
pub(super) fn change(
    current: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Option<Change> {
    let gone = || current.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
    (current != wanted).then(|| Change { gone: gone() })
}
