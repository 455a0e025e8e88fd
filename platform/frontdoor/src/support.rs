//! What is supported and what the models have beyond it: the facts from which `docs/support.md` is made.

use std::collections::BTreeSet;

use model::{Kind, Operation, Shape};

use crate::service::Service;

/// How deep into nested structures the lists go; recursive shapes end here.
const MAX_DEPTH: usize = 8;

/// One service's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSupport {
    /// The model's id.
    pub id: &'static str,
    /// Every operation that the model has, by name.
    pub operations: Vec<OperationSupport>,
}

/// One operation's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSupport {
    /// The operation's name.
    pub name: String,
    /// Whether it has a handler.
    pub handled: bool,
    /// The dotted paths of the input members that its handler takes; lists and maps add nothing to a path.
    pub members: Vec<String>,
    /// The dotted paths of the input members that only the model has. Below a path that is in here nothing is listed.
    /// Empty without a handler.
    pub missing: Vec<String>,
    /// Members that are taken with some values only, and which those are.
    pub partly: Vec<(&'static str, &'static str)>,
}

/// By service id and operation name.
pub(crate) fn of<'a>(services: impl Iterator<Item = &'a Service>) -> Vec<ServiceSupport> {
    let mut all: Vec<_> = services
        .map(|service| {
            let operations = service.model().map_or(&[][..], |model| &model.operations);
            let operations = operations.iter().map(|operation| support(service, operation)).collect();
            ServiceSupport { id: service.model_id, operations }
        })
        .collect();
    all.sort_by_key(|service| service.id);
    all
}

fn support(service: &Service, operation: &'static Operation) -> OperationSupport {
    let name = operation.name.to_owned();
    let Some(handler) = service.handlers.get(operation.name) else {
        return OperationSupport {
            name,
            handled: false,
            members: Vec::new(),
            missing: Vec::new(),
            partly: Vec::new(),
        };
    };
    let members = (handler.members)();
    let mut walk =
        Walk { operation, supported: members.iter().map(String::as_str).collect(), missing: BTreeSet::new() };
    if let Some(input) = operation.input_shape() {
        walk.structure(input, "", 0);
    }
    let missing = walk.missing.into_iter().collect();
    let partly = service.partly.get(operation.name).cloned().unwrap_or_default();
    OperationSupport { name, handled: true, members, missing, partly }
}

struct Walk<'a> {
    operation: &'static Operation,
    supported: BTreeSet<&'a str>,
    missing: BTreeSet<String>,
}

impl Walk<'_> {
    /// Notes the members of a structure that are not supported.
    fn structure(&mut self, shape: &'static Shape, path: &str, depth: usize) {
        for member in &shape.members {
            let path =
                if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
            if !self.supported.contains(path.as_str()) {
                self.missing.insert(path);
            } else if depth < MAX_DEPTH {
                self.value(self.operation.service().shape(member.shape), &path, depth + 1);
            }
        }
    }

    fn value(&mut self, shape: &'static Shape, path: &str, depth: usize) {
        match shape.kind {
            // A handler may take a structure as an opaque document; then it takes all of its members.
            Kind::Structure | Kind::Union if self.takes_members_of(path) => {
                self.structure(shape, path, depth)
            }
            Kind::List | Kind::Map if depth < MAX_DEPTH => {
                if let Some(element) = shape.element() {
                    self.value(self.operation.service().shape(element.shape), path, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn takes_members_of(&self, path: &str) -> bool {
        let below = format!("{path}.");
        self.supported.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
    }
}
