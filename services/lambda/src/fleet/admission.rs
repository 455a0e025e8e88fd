//! How many may run: the concurrency of accounts and functions, requests per second, and the pace of new environments.
//! Counting only: it knows no environment, and waits for nothing.
//!
//! An account's concurrency falls into what is set apart for functions (reserved, or provisioned without a
//! reservation) and the rest, which all other functions share. A function's own part falls into its provisioned
//! environments, which are not counted here while they run, and the rest.
//!
//! Limits: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>,
//! pace: <https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html>.
//!
//! **Invariant:** who entered leaves once, and the counts are those of the ones in between, whatever limits were changed
//! meanwhile.

use std::collections::HashMap;

use base::{AccountId, Region, Timestamp};

use crate::invoke::Throttle;

/// Requests per second for each unit of concurrency.
const REQUESTS_PER_CONCURRENCY: u32 = 10;
/// New environments of one function that may start at once, and in ten seconds.
const LAUNCH_BURST: u32 = 1000;
const LAUNCHES_PER_S: u32 = 100;
/// Environments of tenants that may exist for every 1,000 of concurrency.
const TENANT_ENVIRONMENTS_PER_1000: u64 = 2500;

/// The function that something is counted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) account: AccountId,
    pub(crate) region: &'a Region,
    /// The unqualified ARN: all versions together.
    pub(crate) arn: &'a str,
}

/// A bucket of tokens, kept as what is missing from it: a bucket that was never used is full, whatever its size.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    missing_milli: u64,
    at: Timestamp,
}

impl Bucket {
    /// Takes a token out of a bucket of this size, if there is one.
    fn take(&mut self, size: u32, refilled_per_s: u32, now: Timestamp) -> bool {
        self.refill(refilled_per_s, now);
        let missing_milli = self.missing_milli + 1000;
        let has_one = missing_milli <= u64::from(size) * 1000;
        if has_one {
            self.missing_milli = missing_milli;
        }
        has_one
    }

    fn refill(&mut self, refilled_per_s: u32, now: Timestamp) {
        // A clock that was set back refills nothing.
        let elapsed_ms = u64::try_from(now.0.saturating_sub(self.at.0)).unwrap_or(0);
        self.missing_milli =
            self.missing_milli.saturating_sub(elapsed_ms.saturating_mul(u64::from(refilled_per_s)));
        self.at = now;
    }
}

#[derive(Debug, Default)]
struct Account {
    /// Of functions without a reservation, provisioned environments aside.
    running: u32,
    /// Reserved, or provisioned without a reservation.
    set_apart: u32,
    requests: Bucket,
}

#[derive(Debug, Default)]
struct Function {
    reserved: Option<u32>,
    /// Provisioned environments that are ready.
    provisioned: u32,
    /// Provisioned environments aside.
    running: u32,
    /// Environments of tenants, idle ones included.
    tenants: u32,
    requests: Bucket,
    launches: Bucket,
}

impl Function {
    /// What it takes out of the account's shared part.
    fn set_apart(&self) -> u32 {
        self.reserved.unwrap_or(self.provisioned)
    }

    /// Nothing would be lost by forgetting it.
    fn is_blank(&self, now: Timestamp) -> bool {
        let mut launches = self.launches;
        launches.refill(LAUNCHES_PER_S, now);
        self.reserved.is_none()
            && self.provisioned == 0
            && self.running == 0
            && self.tenants == 0
            && launches.missing_milli == 0
    }
}

/// All accounts and functions.
#[derive(Debug)]
pub(crate) struct Admission {
    account_concurrency: u32,
    accounts: HashMap<(AccountId, Region), Account>,
    functions: HashMap<String, Function>,
}

impl Admission {
    pub(crate) fn new(account_concurrency: u32) -> Self {
        Admission { account_concurrency, accounts: HashMap::new(), functions: HashMap::new() }
    }

    /// Counts a request against its rate. A function whose reservation is 0 is closed for every event.
    pub(crate) fn request(
        &mut self,
        owner: Owner<'_>,
        is_limited: bool,
        now: Timestamp,
    ) -> Result<(), Throttle> {
        let account_concurrency = self.account_concurrency;
        let (account, function) = self.both(owner);
        let (bucket, concurrency, throttle) = match function.reserved {
            Some(0) => return Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded),
            Some(reserved) => {
                (&mut function.requests, reserved, Throttle::ReservedFunctionInvocationRateLimitExceeded)
            }
            None => {
                (&mut account.requests, account_concurrency, Throttle::FunctionInvocationRateLimitExceeded)
            }
        };
        let rate = concurrency.saturating_mul(REQUESTS_PER_CONCURRENCY);
        if is_limited && !bucket.take(rate, rate, now) {
            return Err(throttle);
        }
        Ok(())
    }

    /// Counts an invoke in that runs on no provisioned environment, if there is concurrency for it.
    pub(crate) fn enter(&mut self, owner: Owner<'_>) -> Result<(), Throttle> {
        let account_concurrency = self.account_concurrency;
        let (account, function) = self.both(owner);
        match function.reserved {
            Some(reserved) if function.running >= reserved.saturating_sub(function.provisioned) => {
                return Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            Some(_) => {}
            None if account.running >= account_concurrency.saturating_sub(account.set_apart) => {
                return Err(Throttle::ConcurrentInvocationLimitExceeded);
            }
            None => account.running += 1,
        }
        function.running += 1;
        Ok(())
    }

    /// Counts an invoke in again that was counted out too early.
    pub(crate) fn enter_again(&mut self, owner: Owner<'_>) {
        let (account, function) = self.both(owner);
        function.running += 1;
        if function.reserved.is_none() {
            account.running += 1;
        }
    }

    /// Counts an invoke out.
    pub(crate) fn leave(&mut self, owner: Owner<'_>) {
        let (account, function) = self.both(owner);
        function.running = function.running.saturating_sub(1);
        if function.reserved.is_none() {
            account.running = account.running.saturating_sub(1);
        }
    }

    /// Counts a new environment against the pace of the function, and one of a tenant against their number.
    pub(crate) fn launch(
        &mut self,
        owner: Owner<'_>,
        of_tenant: bool,
        now: Timestamp,
    ) -> Result<(), Throttle> {
        let account_concurrency = self.account_concurrency;
        let (_, function) = self.both(owner);
        let throttle = match function.reserved {
            Some(_) => Throttle::ReservedFunctionConcurrentInvocationLimitExceeded,
            None => Throttle::ConcurrentInvocationLimitExceeded,
        };
        let concurrency = u64::from(function.reserved.unwrap_or(account_concurrency));
        if of_tenant && u64::from(function.tenants) >= concurrency * TENANT_ENVIRONMENTS_PER_1000 / 1000 {
            return Err(throttle);
        }
        if !function.launches.take(LAUNCH_BURST, LAUNCHES_PER_S, now) {
            return Err(throttle);
        }
        function.tenants += u32::from(of_tenant);
        Ok(())
    }

    /// An environment of a tenant is gone.
    pub(crate) fn tenant_gone(&mut self, owner: Owner<'_>) {
        if let Some(function) = self.functions.get_mut(owner.arn) {
            function.tenants = function.tenants.saturating_sub(1);
        }
    }

    /// Sets a function's reserved concurrency, or that it has none.
    pub(crate) fn reserve(&mut self, owner: Owner<'_>, reserved: Option<u32>) {
        let (account, function) = self.both(owner);
        account.set_apart = account.set_apart.saturating_sub(function.set_apart());
        // What runs moves into the part that it belongs to from now on.
        match (function.reserved, reserved) {
            (None, Some(_)) => account.running = account.running.saturating_sub(function.running),
            (Some(_), None) => account.running += function.running,
            _ => {}
        }
        function.reserved = reserved;
        account.set_apart += function.set_apart();
    }

    /// So many provisioned environments of a function have become ready, or fewer.
    pub(crate) fn provision(&mut self, owner: Owner<'_>, more: i64) {
        let (account, function) = self.both(owner);
        account.set_apart = account.set_apart.saturating_sub(function.set_apart());
        let ready = (i64::from(function.provisioned) + more).max(0);
        function.provisioned = u32::try_from(ready).unwrap_or(u32::MAX);
        account.set_apart += function.set_apart();
    }

    /// Forgets what nothing depends on.
    pub(crate) fn tidy(&mut self, now: Timestamp) {
        self.functions.retain(|_, function| !function.is_blank(now));
    }

    fn both(&mut self, owner: Owner<'_>) -> (&mut Account, &mut Function) {
        let account = self.accounts.entry((owner.account, owner.region.clone())).or_default();
        // No entry(): that would copy the ARN for every invoke.
        if !self.functions.contains_key(owner.arn) {
            self.functions.insert(owner.arn.to_owned(), Function::default());
        }
        let function = self.functions.get_mut(owner.arn);
        #[allow(clippy::unwrap_used)] // It was put there if it was not there.
        (account, function.unwrap())
    }

    /// Running invokes without provisioned ones: of the function, and of the account's shared part.
    #[cfg(test)]
    pub(crate) fn running(&mut self, owner: Owner<'_>) -> (u32, u32) {
        let (account, function) = self.both(owner);
        (function.running, account.running)
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
