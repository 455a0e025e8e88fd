//! Paths of the REST protocols: a tree of segments that leads from a method and a path to an operation.
//!
//! Simplifying assumptions: a trailing `/` does not matter except under a greedy label, and a constant segment wins
//! over a label, a label over a greedy one. Constant query parameters (`?list-type=2`) choose among the operations at one
//! place; the more of them are met, the better. Where operations share even those, the required query parameters and
//! headers that the request has decide. Labels keep their percent-encoding here: decoding is the codec's.

use serde::{Deserialize, Serialize};

/// The tree.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct PathTable {
    nodes: Vec<Node>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct Node {
    /// Constant segments, sorted.
    constants: Vec<(&'static str, u16)>,
    label: Option<u16>,
    greedy: Option<u16>,
    ends: Vec<End>,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    method: &'static str,
    /// Index into the service's operations.
    operation: u16,
    /// Names of the labels in the order of the path.
    labels: Vec<&'static str>,
    /// Constant query parameters; without a value, any value will do.
    query: Vec<(&'static str, Option<&'static str>)>,
    /// Required query parameters.
    required_query: Vec<&'static str>,
    /// Required headers, in lower case.
    required_headers: Vec<&'static str>,
}

/// An operation's binding, for building the tree.
pub struct Binding {
    /// The HTTP method.
    pub method: &'static str,
    /// The path with labels and constant query parameters.
    pub uri: &'static str,
    /// Required query parameters.
    pub required_query: Vec<&'static str>,
    /// Required headers, in lower case.
    pub required_headers: Vec<&'static str>,
}

/// An operation found by path.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'table, 'path> {
    /// Index into the service's operations.
    pub operation: usize,
    /// Label names with the raw segments of the path (greedy: several, with their `/`).
    pub labels: Vec<(&'static str, &'path str)>,
    /// The constant query parameters of the operation.
    pub query: &'table [(&'static str, Option<&'static str>)],
}

/// Why no operation was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such path.
    Path,
    /// The path is there, but not with this method.
    Method,
}

impl PathTable {
    /// Builds the tree from the bindings of operations, in their order.
    #[must_use]
    pub fn build(operations: Vec<Binding>) -> Self {
        let mut table = PathTable { nodes: vec![Node::default()] };
        for (index, binding) in operations.into_iter().enumerate() {
            let Binding { method, uri, required_query, required_headers } = binding;
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let mut labels = Vec::new();
            let mut at = 0usize;
            for segment in path.trim_matches('/').split('/').filter(|segment| !segment.is_empty()) {
                at = table.child(at, segment, &mut labels);
            }
            let pairs = query.split('&').filter(|pair| !pair.is_empty());
            let query = pairs
                .map(|pair| pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value))))
                .collect();
            let operation = u16::try_from(index).unwrap_or(u16::MAX);
            table.nodes[at].ends.push(End {
                method,
                operation,
                labels,
                query,
                required_query,
                required_headers,
            });
        }
        table
    }

    fn child(&mut self, at: usize, segment: &'static str, labels: &mut Vec<&'static str>) -> usize {
        let fresh = u16::try_from(self.nodes.len()).unwrap_or(u16::MAX);
        let node = &mut self.nodes[at];
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let next = match inner {
            Some(name) => {
                let plain = name.trim_end_matches('+');
                labels.push(plain);
                let slot = if plain.len() < name.len() { &mut node.greedy } else { &mut node.label };
                *slot.get_or_insert(fresh)
            }
            None => match node.constants.binary_search_by_key(&segment, |(name, _)| name) {
                Ok(found) => node.constants[found].1,
                Err(place) => {
                    node.constants.insert(place, (segment, fresh));
                    fresh
                }
            },
        };
        if next == fresh {
            self.nodes.push(Node::default());
        }
        usize::from(next)
    }

    /// Finds the operation for a method, a raw path, a raw query string and the headers' names.
    ///
    /// # Errors
    /// Whether the path or only the method is unknown.
    pub fn find<'path>(
        &self,
        method: &str,
        path: &'path str,
        query: &str,
        has_header: &dyn Fn(&str) -> bool,
    ) -> Result<Found<'_, 'path>, NotFound> {
        let mut values = Vec::with_capacity(4);
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut seen_path = false;
        let end = self.walk(0, path, &mut values, &mut |node| {
            seen_path |= !node.ends.is_empty();
            best_end(node, method, query, has_header)
        });
        match end {
            Some(end) => Ok(Found {
                operation: usize::from(end.operation),
                labels: end.labels.iter().copied().zip(values).collect(),
                query: &end.query,
            }),
            None if seen_path => Err(NotFound::Method),
            None => Err(NotFound::Path),
        }
    }

    fn walk<'a, 'path>(
        &'a self,
        at: usize,
        rest: &'path str,
        values: &mut Vec<&'path str>,
        choose: &mut dyn FnMut(&'a Node) -> Option<&'a End>,
    ) -> Option<&'a End> {
        let node = self.nodes.get(at)?;
        if rest.is_empty() {
            return choose(node);
        }
        let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
        if let Ok(found) = node.constants.binary_search_by_key(&segment, |(name, _)| name)
            && let Some(end) = self.walk(usize::from(node.constants[found].1), after, values, choose)
        {
            return Some(end);
        }
        let depth = values.len();
        if let Some(next) = node.label.filter(|_| !segment.is_empty()) {
            values.push(segment);
            if let Some(end) = self.walk(usize::from(next), after, values, choose) {
                return Some(end);
            }
            values.truncate(depth);
        }
        let next = usize::from(node.greedy?);
        // A greedy label takes as much as leaves a match for what follows it: all, in nearly every model.
        values.push(rest);
        if let Some(end) = choose(self.nodes.get(next)?) {
            return Some(end);
        }
        for (cut, _) in rest.rmatch_indices('/') {
            values.truncate(depth);
            values.push(&rest[..cut]);
            if !rest[cut + 1..].is_empty()
                && let Some(end) = self.walk(next, &rest[cut + 1..], values, choose)
            {
                return Some(end);
            }
        }
        values.truncate(depth);
        None
    }
}

/// The operation at a node whose method and constant query parameters are all met; the most specific one.
fn best_end<'a>(
    node: &'a Node,
    method: &str,
    query: &str,
    has_header: &dyn Fn(&str) -> bool,
) -> Option<&'a End> {
    let has_parameter = |name: &str, wanted: Option<&str>| {
        query.split('&').any(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            key == name && wanted.is_none_or(|wanted| wanted == value)
        })
    };
    let met = |end: &&End| {
        end.method == method && end.query.iter().all(|(name, wanted)| has_parameter(name, *wanted))
    };
    // Operations that lack something required still come before none at all: validation will say what is missing.
    let rank = |end: &&End| {
        let complete = end.required_query.iter().all(|name| has_parameter(name, None))
            && end.required_headers.iter().all(|name| has_header(name));
        let required = end.required_query.len() + end.required_headers.len();
        (end.query.len(), complete, if complete { required } else { usize::MAX - required })
    };
    let mut candidates = node.ends.iter().filter(met);
    let first = candidates.next()?;
    // Nearly always there is just one; of equals the first wins.
    let better = |best: &'a End, other: &'a End| if rank(&other) > rank(&best) { other } else { best };
    Some(candidates.fold(first, better))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PathTable {
        build(&[
            ("GET", "/functions/"),
            ("POST", "/functions"),
            ("GET", "/functions/{Name}"),
            ("POST", "/functions/{Name}/invocations"),
            ("GET", "/functions/settings"),
            ("GET", "/{Bucket}"),
            ("GET", "/{Bucket}/{Key+}"),
            ("GET", "/{Bucket}?list-type=2"),
            ("GET", "/{Bucket}/{Key+}?acl"),
        ])
    }

    fn build(operations: &[(&'static str, &'static str)]) -> PathTable {
        let binding = |(method, uri): &(&'static str, &'static str)| Binding {
            method,
            uri,
            required_query: Vec::new(),
            required_headers: Vec::new(),
        };
        PathTable::build(operations.iter().map(binding).collect())
    }

    #[test]
    fn what_is_required_tells_operations_at_one_place_apart() {
        let binding = |required_query: &[&'static str], required_headers: &[&'static str]| Binding {
            method: "PUT",
            uri: "/{Bucket}/{Key+}",
            required_query: required_query.to_vec(),
            required_headers: required_headers.to_vec(),
        };
        let table = PathTable::build(vec![
            binding(&[], &["copy-source"]),
            binding(&[], &[]),
            binding(&["uploadId"], &[]),
            binding(&["uploadId"], &["copy-source"]),
        ]);
        let find = |query, copy: bool| {
            table.find("PUT", "/b/k", query, &|name| copy && name == "copy-source").unwrap().operation
        };
        assert_eq!([find("", false), find("", true)], [1, 0]);
        assert_eq!([find("uploadId=1", false), find("uploadId=1", true)], [2, 3]);
    }

    fn found(method: &str, path: &str, query: &str) -> (usize, Vec<(&'static str, String)>) {
        let table = Box::leak(Box::new(table()));
        let found = table.find(method, path, query, &|_| false).unwrap();
        (found.operation, found.labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
    }

    #[test]
    fn methods_and_trailing_slashes() {
        assert_eq!(found("GET", "/functions", "").0, 0);
        assert_eq!(found("GET", "/functions/", "MaxItems=1").0, 0);
        assert_eq!(found("POST", "/functions/", "").0, 1);
        assert_eq!(table().find("PUT", "/functions", "", &|_| false), Err(NotFound::Method));
        assert_eq!(table().find("POST", "/functions/a/b/c", "", &|_| false), Err(NotFound::Method));
        assert_eq!(build(&[("GET", "/a")]).find("GET", "/b", "", &|_| false), Err(NotFound::Path));
    }

    #[test]
    fn a_constant_wins_over_a_label() {
        assert_eq!(found("GET", "/functions/settings", "").0, 4);
        assert_eq!(found("GET", "/functions/arn%3Aaws", ""), (2, vec![("Name", "arn%3Aaws".into())]));
        assert_eq!(found("POST", "/functions/settings/invocations", "").0, 3);
    }

    #[test]
    fn greedy_labels_and_constant_queries() {
        assert_eq!(found("GET", "/b/a/b/c/", "").1, [("Bucket", "b".into()), ("Key", "a/b/c/".into())]);
        assert_eq!(found("GET", "/b/a", "acl").0, 8);
        assert_eq!(found("GET", "/b/", "list-type=2").0, 7);
        assert_eq!(found("GET", "/b", "list-type=1").0, 5);
    }
}
