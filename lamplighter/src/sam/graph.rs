//! Which resource needs which, and in which order they are brought up.
//!
//! An edge is a `Ref`, a `Fn::GetAtt`, a variable of a `Fn::Sub`, or a `DependsOn`. It knows nothing of what the
//! resources are.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-dependson.html>.

use std::collections::{BTreeMap, BTreeSet};

use super::SamError;
use super::node::{Node, Value};
use super::resource::Resource;

/// The resources in an order in which each comes after all that it needs; otherwise as the template has them.
///
/// # Errors
/// A circle, and a `DependsOn` of what is not there.
pub(crate) fn in_order(resources: Vec<Resource>) -> Result<Vec<Resource>, SamError> {
    let places: BTreeMap<String, usize> =
        resources.iter().enumerate().map(|(place, resource)| (resource.logical_id.clone(), place)).collect();
    let mut waiting = Vec::with_capacity(resources.len());
    for (place, resource) in resources.iter().enumerate() {
        waiting.push((place, needs(resource, &places)?));
    }
    let mut order = Vec::with_capacity(resources.len());
    while !waiting.is_empty() {
        let Some(next) = waiting.iter().position(|(_, needs)| needs.is_empty()) else {
            let mut circle = waiting.iter().map(|(place, _)| &resources[*place]).collect::<Vec<_>>();
            circle.sort_by_key(|resource| resource.line);
            let names: Vec<&str> = circle.iter().map(|resource| resource.logical_id.as_str()).collect();
            return Err(SamError::at(
                circle.first().map_or(1, |resource| resource.line),
                format!("Circular dependency between resources: [{}]", names.join(", ")),
            ));
        };
        let (done, _) = waiting.remove(next);
        for (_, needs) in &mut waiting {
            needs.remove(&done);
        }
        order.push(done);
    }
    let mut resources: Vec<Option<Resource>> = resources.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|place| resources[place].take()).collect())
}

fn needs(resource: &Resource, places: &BTreeMap<String, usize>) -> Result<BTreeSet<usize>, SamError> {
    let mut names = BTreeSet::new();
    references(&resource.properties, &mut names);
    // What is no resource is a parameter or a mistake that is told when it is resolved.
    let mut needs: BTreeSet<usize> = names.iter().filter_map(|name| places.get(name).copied()).collect();
    for (name, line) in &resource.depends_on {
        let place = places.get(name).ok_or_else(|| {
            SamError::at(
                *line,
                format!("'{name}' in the DependsOn of '{}' is no resource", resource.logical_id),
            )
        })?;
        needs.insert(*place);
    }
    Ok(needs)
}

/// All names that intrinsic functions below a node refer to.
fn references(node: &Node, names: &mut BTreeSet<String>) {
    match (node.intrinsic(), &node.value) {
        (Some((function, argument)), _) => match function {
            "Ref" => names.extend(argument.text("").ok().map(str::to_owned)),
            "Fn::GetAtt" => names.extend(attributed(argument)),
            "Fn::Sub" => substituted(argument, names),
            _ => references(argument, names),
        },
        (None, Value::Map(entries)) => entries.iter().for_each(|(_, node)| references(node, names)),
        (None, Value::List(items)) => items.iter().for_each(|node| references(node, names)),
        (None, Value::Scalar { .. }) => {}
    }
}

fn attributed(argument: &Node) -> Option<String> {
    let text = match &argument.value {
        Value::List(items) => items.first()?.text("").ok()?,
        _ => argument.text("").ok()?,
    };
    text.split('.').next().map(str::to_owned)
}

fn substituted(argument: &Node, names: &mut BTreeSet<String>) {
    let (template, own) = match &argument.value {
        Value::List(items) => (items.first(), items.get(1)),
        _ => (Some(argument), None),
    };
    if let Some(own) = own {
        references(own, names);
    }
    let Some(text) = template.and_then(|node| node.text("").ok()) else { return };
    for part in text.split("${").skip(1) {
        let Some((name, _)) = part.split_once('}') else { continue };
        let is_own = own.is_some_and(|own| own.get(name).is_some());
        if !is_own && !name.starts_with('!') {
            names.extend(name.split('.').next().map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sam::resource::Kind;

    fn order(text: &str) -> Result<Vec<String>, SamError> {
        let root = Node::parse(text).unwrap();
        let resources = root.entries("test").unwrap().iter().map(|(name, node)| {
            let mut resource = Resource::made(name.clone(), Kind::Queue, node.clone());
            if let Some(other) = node.get("DependsOn") {
                resource.depends_on.push((other.text("").unwrap().to_owned(), other.line));
            }
            resource
        });
        Ok(in_order(resources.collect())?.into_iter().map(|resource| resource.logical_id).collect())
    }

    #[test]
    fn each_comes_after_what_it_needs() {
        let text = "A: {x: [!Ref B, {y: !Sub '${C.Arn}-${!D}-${AWS::Region}'}]}
B: {x: !GetAtt D.Arn}
C: {x: !Join [',', [!Sub ['${v}-${E}', {v: !Ref F, E: 1}]]]}
D: {DependsOn: F}
E: {x: 1}
F: {x: !Ref Parameter}
";
        assert_eq!(order(text).unwrap(), ["E", "F", "C", "D", "B", "A"]);
        assert_eq!(order("B: {x: 1}\nA: {x: 1}\n").unwrap(), ["B", "A"], "else the template's order");
    }

    #[test]
    fn a_circle_and_a_lost_dependency_are_named() {
        let error = order("A: {x: !Ref B}\nB: {x: !GetAtt C.Arn}\nC: {x: !Ref A}\nD: {}\n").unwrap_err();
        assert!(error.to_string().contains("Circular dependency between resources: [A, B, C]"), "{error}");
        assert!(order("A: {x: !Ref A}\n").unwrap_err().to_string().contains("[A]"));
        let error = order("A: {}\nB: {DependsOn: Nope}\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("'Nope'"), "{error}");
    }
}
