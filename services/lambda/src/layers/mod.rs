//! Layers: content that functions share, published in numbered versions that never change, merged into `/opt`.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `id` | a layer's and a layer version's ARN |
//! | `rows` | layer versions in the store: published, read, listed, deleted |
//! | `policy` | who else may use a layer version |
//! | `uses` | which layers a function has: chosen, checked, counted, followed |
//!
//! A function keeps what it needs of a layer version in its own record, and the packages have a row for each user, so
//! a version may be deleted at any time and its functions run on. How packages become `/opt` is `package`'s business.
//!
//! Layers: <https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html>.

mod id;
mod policy;
mod rows;
mod uses;

pub(crate) use id::{LayerId, LayerVersionId};
pub(crate) use policy::{LayerPolicy, LayerStatement};
pub(crate) use rows::{Filter, LayerVersion};
pub(crate) use uses::{denied, follows, refresh, relink, settle};
