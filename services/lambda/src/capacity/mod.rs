//! The concurrency that is set apart for a function: what is stored of it, and what the fleet is told.
//!
//! The rows are aspects: `concurrency` of the function, `provisioned` of its versions and aliases, so that they go with
//! what they belong to. The fleet's numbers are made from them, again after each change and at each start; it is the
//! fleet that enforces them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html>.

mod change;
mod ledger;

use std::sync::Arc;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use change::check_alias_change;
pub(crate) use ledger::spaces;

use crate::aspects::Aspect;
use crate::function::FunctionConfig;

/// What is set apart for a function.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// The function's account.
    pub account: AccountId,
    /// Its region.
    pub region: Region,
    /// Its unqualified ARN.
    pub function_arn: String,
    /// Reserved concurrency; 0 closes the function.
    pub reserved: Option<u32>,
    /// Versions and how many environments of each are started ahead.
    pub provisioned: Vec<(Arc<FunctionConfig>, u32)>,
}

/// How far the provisioned environments of a version are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvisionedState {
    /// How many are ready, at most as many as wanted.
    pub ready: u32,
    /// How it stands.
    pub status: ProvisionedStatus,
}

/// `Status` and `StatusReason`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProvisionedStatus {
    /// They are being started.
    #[default]
    InProgress,
    /// All were started. Single ones may be on their way again.
    Ready,
    /// They cannot be started, and why.
    Failed(String),
}

/// Reserved concurrency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserved(pub(crate) u32);

impl Aspect for Reserved {
    const KIND: &'static str = "concurrency";
}

/// Provisioned concurrency of a version or an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provisioned {
    pub(crate) count: u32,
    pub(crate) modified_at: Timestamp,
}

impl Aspect for Provisioned {
    const KIND: &'static str = "provisioned";
}
