//! The AWS API models as compact tables: services, operations, shapes, constraints, errors, protocols.
//!
//! `cargo xtask models` makes the tables from the facts in `models/`; they are embedded and read on a service's first
//! use. This crate knows what the models say and nothing of bytes on a wire (`platform/wire`) or of what we support
//! (the services). No service is named in its code.
//!
//! **Invariant:** the files in `tables/` are derived, never edited.

pub mod operation;
pub mod paths;
pub mod pattern;
pub mod service;
pub mod shape;

use std::sync::OnceLock;

pub use operation::Operation;
pub use paths::{Binding, PathTable};
pub use pattern::Pattern;
pub use service::{Protocol, ServiceEntry, ServiceModel};
pub use shape::{Bound, ErrorFacts, Kind, Location, Member, Shape, ShapeId, TimeFormat};

/// The embedded tables, in the order of `tables/index.bin`, which is by service id.
mod embedded {
    include!("../tables/embedded.rs");
}

/// Every service whose model is embedded. There is one, [`Catalog::embedded`].
pub struct Catalog {
    entries: OnceLock<Vec<ServiceEntry>>,
    models: [OnceLock<ServiceModel>; embedded::TABLES.len()],
}

static CATALOG: Catalog =
    Catalog { entries: OnceLock::new(), models: [const { OnceLock::new() }; embedded::TABLES.len()] };

impl Catalog {
    /// The catalog of the tables that are built in.
    #[must_use]
    pub fn embedded() -> &'static Catalog {
        &CATALOG
    }

    /// What is needed to choose a service, without loading any model. Sorted by id.
    #[must_use]
    pub fn entries(&'static self) -> &'static [ServiceEntry] {
        self.entries.get_or_init(|| read(embedded::INDEX))
    }

    /// The model of a service, such as `lambda`; the ids are botocore's folder names.
    #[must_use]
    pub fn service(&'static self, id: &str) -> Option<&'static ServiceModel> {
        let slot = self.entries().binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.at(slot)
    }

    /// The model at a position of [`Catalog::entries`].
    #[must_use]
    pub fn at(&'static self, slot: usize) -> Option<&'static ServiceModel> {
        let (cell, table) = (self.models.get(slot)?, embedded::TABLES.get(slot)?);
        Some(cell.get_or_init(|| {
            let mut model: ServiceModel = read(table);
            for operation in &mut model.operations {
                operation.slot = slot;
            }
            model
        }))
    }
}

/// Reads an embedded table; its strings are borrowed from the program itself.
fn read<T: serde::Deserialize<'static>>(table: &'static [u8]) -> T {
    // The tables are derived by `cargo xtask models` from these very types, CI checks that they are current, and the
    // tests below read every one of them.
    #[allow(clippy::expect_used)]
    postcard::from_bytes(table).expect("the embedded model tables are current: run `cargo xtask models`")
}

#[cfg(test)]
mod tests;
