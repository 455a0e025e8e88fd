//! The memory of environments in bytes: what there is for them, what each of them has been promised, what it uses.
//!
//! A starting environment is promised what its function needed before, or a guess; a busy one keeps that; an idle one
//! counts with what it really uses. A [`Share`] is given back when the environment's last process is gone, not when
//! somebody decides that it should go. Promises are made under the pool's lock only ([`Ledger::share`],
//! [`Share::grow`]); what is given back may come at any time, from anywhere.
//!
//! What there is comes from readings of the host ([`host_memory`](super::host_memory)) and from the operator's limit.
//! Between two readings the sum is kept by counting.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::host_memory::MemoryReading;

const MIB: u64 = 1 << 20;
/// What stays free of the host's memory: so much of it, but at least the second, where that is not a large part of it.
const MARGIN_PART: u64 = 20;
const MARGIN_BYTES: u64 = 256 * MIB;
const MARGIN_PART_AT_MOST: u64 = 4;
/// When everything stands still for want of memory so often, it is short whatever else is said.
const STALLED_PERCENT: f32 = 10.0;
/// What a function is taken to need before one of its environments was measured.
pub(crate) const FIRST_GUESS_BYTES: u64 = 24 * MIB;
/// The limits of environments of which nothing is known may be so many times what there is. Most use little of theirs.
const DARED_TIMES: u64 = 4;
/// What a warm environment may need more than it has without being asked whether there is so much.
const GRANTED_BYTES: u64 = 16 * MIB;
/// Of how many versions it is known what they need.
const MOST_LEARNED: usize = 4096;

/// All environments' memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The operator's limit.
    limit_bytes: Option<u64>,
    /// What may be promised; all ones: nothing is known, and nothing limited.
    budget_bytes: AtomicU64,
    /// What might be promised if nothing else were on the host.
    most_bytes: AtomicU64,
    held_bytes: AtomicU64,
    used_bytes: AtomicU64,
    /// Held by those that are about to go.
    leaving_bytes: AtomicU64,
    /// The limits of those of which nothing is known yet.
    unknown_bytes: AtomicU64,
    /// Somebody waits for memory or a place.
    is_awaited: AtomicBool,
    freed: Notify,
}

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    /// The idle shall not stay for long.
    Mild,
    /// More is used than should be, by so many bytes.
    Over(u64),
}

impl Ledger {
    pub(crate) fn new(limit_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Ledger {
            limit_bytes,
            budget_bytes: AtomicU64::new(limit_bytes.unwrap_or(u64::MAX)),
            most_bytes: AtomicU64::new(limit_bytes.unwrap_or(u64::MAX)),
            held_bytes: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            leaving_bytes: AtomicU64::new(0),
            unknown_bytes: AtomicU64::new(0),
            is_awaited: AtomicBool::new(false),
            freed: Notify::new(),
        })
    }

    /// Takes over what the host says.
    pub(crate) fn take_reading(&self, reading: Option<MemoryReading>) -> Pressure {
        let used = self.used_bytes.load(Ordering::Relaxed);
        let limit = self.limit_bytes.unwrap_or(u64::MAX);
        let (mut budget, mut over) = (limit, used.saturating_sub(limit));
        let mut is_mild = used > limit - limit / 8;
        if let Some(reading) = reading {
            let margin = (reading.total_bytes / MARGIN_PART)
                .max(MARGIN_BYTES)
                .min(reading.total_bytes / MARGIN_PART_AT_MOST);
            self.most_bytes.store(limit.min(reading.total_bytes - margin), Ordering::Relaxed);
            budget = budget.min(reading.available_bytes.saturating_add(used).saturating_sub(margin));
            over = over.max(margin.saturating_sub(reading.available_bytes));
            is_mild |= reading.available_bytes < 2 * margin || reading.stalled_percent >= STALLED_PERCENT;
        }
        let before = self.budget_bytes.swap(budget, Ordering::Relaxed);
        if budget > before {
            self.tell();
        }
        match (over, is_mild) {
            (0, false) => Pressure::None,
            (0, true) => Pressure::Mild,
            (over, _) => Pressure::Over(over),
        }
    }

    /// What may still be promised.
    pub(crate) fn headroom_bytes(&self) -> u64 {
        self.budget_bytes().saturating_sub(self.held_bytes.load(Ordering::SeqCst))
    }

    pub(crate) fn budget_bytes(&self) -> u64 {
        self.budget_bytes.load(Ordering::Relaxed)
    }

    /// What there can ever be.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.most_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// What comes back soon.
    pub(crate) fn leaving_bytes(&self) -> u64 {
        self.leaving_bytes.load(Ordering::Relaxed)
    }

    /// Whether so many may be on the host of which nobody knows what they will use, with one more that has this limit.
    pub(crate) fn dares(&self, limit_bytes: u64) -> bool {
        let unknown = self.unknown_bytes.load(Ordering::SeqCst);
        unknown == 0 || unknown.saturating_add(limit_bytes) <= self.most_bytes().saturating_mul(DARED_TIMES)
    }

    /// Promises memory to an environment of which nothing is known but its limit.
    pub(crate) fn share_of_unknown(self: &Arc<Self>, bytes: u64, limit_bytes: u64) -> Arc<Share> {
        let share = self.share(bytes);
        change(&self.unknown_bytes, &share.unknown, limit_bytes);
        share
    }

    /// Promises memory to an environment, whether or not there is any: the pool has looked.
    pub(crate) fn share(self: &Arc<Self>, bytes: u64) -> Arc<Share> {
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Share {
            ledger: Arc::clone(self),
            held: AtomicU64::new(bytes),
            used: AtomicU64::new(0),
            needs: AtomicU64::new(bytes),
            leaving: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            idle: AtomicU64::new(NOT_IDLE),
            has_served: AtomicBool::new(false),
        })
    }

    /// Whether somebody is to be told when there is more than before.
    pub(crate) fn set_awaited(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::SeqCst);
    }

    /// There may be room, for those who wait for it.
    pub(crate) fn tell(&self) {
        if self.is_awaited.load(Ordering::SeqCst) {
            self.freed.notify_one();
        }
    }

    /// Waits until there may be room for those who wait.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// One environment's part. Dropped when its memory is free again.
#[derive(Debug)]
pub(crate) struct Share {
    ledger: Arc<Ledger>,
    held: AtomicU64,
    used: AtomicU64,
    /// What it needs when it is busy.
    needs: AtomicU64,
    leaving: AtomicU64,
    unknown: AtomicU64,
    /// What the pool counts for it among the idle. Changed under the pool's lock only.
    idle: AtomicU64,
    has_served: AtomicBool,
}

const NOT_IDLE: u64 = u64::MAX;
/// It is provisioned, and its memory is nobody else's to have.
const IDLE_UNCOUNTED: u64 = u64::MAX - 1;

impl Share {
    /// How much more it needs before it may be busy. A little is always granted: a warm environment shall not wait for it.
    pub(crate) fn growth_bytes(&self) -> u64 {
        let growth = self.needs.load(Ordering::Relaxed).saturating_sub(self.held.load(Ordering::Relaxed));
        if growth > GRANTED_BYTES { growth } else { 0 }
    }

    /// It is promised what it needs when it is busy.
    pub(crate) fn grow(&self) {
        let needs = self.needs.load(Ordering::Relaxed);
        if needs > self.held.load(Ordering::Relaxed) {
            change(&self.ledger.held_bytes, &self.held, needs);
        }
    }

    /// It has run a request to its end. True for the first one.
    pub(crate) fn has_run(&self) -> bool {
        if self.has_served() {
            return false;
        }
        change(&self.ledger.unknown_bytes, &self.unknown, 0);
        !self.has_served.swap(true, Ordering::Relaxed)
    }

    /// What it uses now, or was promised if nobody has looked yet.
    pub(crate) fn used_bytes(&self) -> u64 {
        match self.used.load(Ordering::Relaxed) {
            0 => self.held.load(Ordering::Relaxed),
            used => used,
        }
    }

    /// It was measured while it is, or may be, busy.
    pub(crate) fn measured(&self, used_bytes: u64) {
        change(&self.ledger.used_bytes, &self.used, used_bytes);
        if used_bytes > self.held.load(Ordering::Relaxed) {
            change(&self.ledger.held_bytes, &self.held, used_bytes);
        }
    }

    /// It was measured and is idle: it counts with what it uses. Under the pool's lock, so that nobody takes it
    /// meanwhile.
    pub(crate) fn settle(&self, used_bytes: u64, peak_bytes: u64) {
        change(&self.ledger.used_bytes, &self.used, used_bytes);
        // One that has done nothing yet will need more than it did so far.
        let least = if self.has_served() { 0 } else { self.needs.load(Ordering::Relaxed) };
        self.needs.store(peak_bytes.max(used_bytes).max(least), Ordering::Relaxed);
        change(&self.ledger.held_bytes, &self.held, used_bytes);
        self.ledger.tell();
    }

    pub(crate) fn has_served(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }

    /// It is about to go: its memory will be free soon.
    pub(crate) fn leave(&self) {
        change(&self.ledger.leaving_bytes, &self.leaving, self.held.load(Ordering::Relaxed));
    }

    /// Begins, goes on or ends counting it in a sum over the idle. Under the pool's lock.
    pub(super) fn count_idle(&self, sum: &mut u64, is_idle: bool) {
        let now = if is_idle { self.used_bytes() } else { NOT_IDLE };
        let before = self.idle.swap(now, Ordering::Relaxed);
        let counted = |bytes: u64| if bytes >= IDLE_UNCOUNTED { 0 } else { bytes };
        *sum = sum.saturating_sub(counted(before)).saturating_add(counted(now));
    }

    /// The same for one that is provisioned, which is in no sum.
    pub(super) fn count_provisioned_idle(&self, is_idle: bool) {
        self.idle.store(if is_idle { IDLE_UNCOUNTED } else { NOT_IDLE }, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) != NOT_IDLE
    }

    /// What it uses can be had by evicting it.
    pub(super) fn is_counted(&self) -> bool {
        self.idle.load(Ordering::Relaxed) < IDLE_UNCOUNTED
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        change(&self.ledger.used_bytes, &self.used, 0);
        change(&self.ledger.leaving_bytes, &self.leaving, 0);
        change(&self.ledger.unknown_bytes, &self.unknown, 0);
        change(&self.ledger.held_bytes, &self.held, 0);
        self.ledger.tell();
    }
}

/// Changes a part and the sum that it is in. Whoever changes the same part at the same time has swapped another value.
/// In one order with `is_awaited`: either who begins to wait sees the sum, or who changed it sees that somebody waits.
fn change(sum: &AtomicU64, part: &AtomicU64, to: u64) {
    let from = part.swap(to, Ordering::Relaxed);
    if to >= from {
        sum.fetch_add(to - from, Ordering::SeqCst);
    } else {
        sum.fetch_sub(from - to, Ordering::SeqCst);
    }
}

/// What environments of each version needed, as far as it is known. It is lost with the server.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// By version: the generation, and bytes.
    peaks: HashMap<Arc<str>, (u64, u64)>,
}

impl Learned {
    /// What an environment will need. A new generation is taken to need what the last one did.
    pub(crate) fn needs(&self, key: &str) -> Option<u64> {
        self.peaks.get(key).map(|(_, bytes)| *bytes)
    }

    /// What is known of it keeps it from running. It may have been an exception: a little less the next time.
    pub(crate) fn doubt(&mut self, key: &str) {
        if let Some((_, bytes)) = self.peaks.get_mut(key) {
            *bytes -= *bytes / 8;
        }
    }

    /// One needed so much. More counts at once, less little by little.
    pub(crate) fn learn(&mut self, key: &Arc<str>, generation: u64, peak_bytes: u64) {
        match self.peaks.get_mut(key) {
            Some((of, bytes)) if *of == generation => {
                *bytes = peak_bytes.max(*bytes - bytes.saturating_sub(peak_bytes) / 8);
            }
            Some((of, _)) if *of > generation => {}
            Some(known) => *known = (generation, peak_bytes),
            None => {
                if self.peaks.len() >= MOST_LEARNED
                    && let Some(any) = self.peaks.keys().next().cloned()
                {
                    self.peaks.remove(&any);
                }
                self.peaks.insert(Arc::clone(key), (generation, peak_bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn reading(total_bytes: u64, available_bytes: u64) -> Option<MemoryReading> {
        Some(MemoryReading { total_bytes, available_bytes, stalled_percent: 0.0 })
    }

    #[test]
    fn the_budget_is_what_is_available_without_the_margin_and_what_is_used_already() {
        let ledger = Ledger::new(None);
        assert_eq!(ledger.headroom_bytes(), u64::MAX);
        assert_eq!(ledger.take_reading(reading(20 * GIB, 10 * GIB)), Pressure::None);
        assert_eq!(ledger.headroom_bytes(), 9 * GIB);
        let share = ledger.share(GIB);
        assert_eq!(ledger.headroom_bytes(), 8 * GIB);
        // It uses half of that, and so there is less available.
        share.measured(GIB / 2);
        ledger.take_reading(reading(20 * GIB, 10 * GIB - GIB / 2));
        assert_eq!(ledger.headroom_bytes(), 8 * GIB);
        assert_eq!(ledger.take_reading(reading(20 * GIB, GIB + 1)), Pressure::Mild);
        assert_eq!(ledger.take_reading(reading(20 * GIB, GIB - 7)), Pressure::Over(7));
        assert_eq!(ledger.headroom_bytes(), 0);
        drop(share);
        assert_eq!((ledger.held_bytes(), ledger.used_bytes(), ledger.leaving_bytes()), (0, 0, 0));
    }

    #[test]
    fn a_small_host_keeps_a_quarter_and_a_large_one_a_twentieth() {
        let ledger = Ledger::new(None);
        for (total, margin) in [(GIB / 2, GIB / 8), (2 * GIB, 256 * MIB), (100 * GIB, 5 * GIB)] {
            ledger.take_reading(reading(total, total));
            assert_eq!(ledger.budget_bytes(), total - margin);
        }
    }

    #[test]
    fn the_operators_limit_holds_whatever_the_host_has() {
        let ledger = Ledger::new(Some(80));
        assert_eq!(ledger.take_reading(reading(20 * GIB, 10 * GIB)), Pressure::None);
        assert_eq!(ledger.take_reading(None), Pressure::None);
        let share = ledger.share(60);
        share.measured(71);
        assert_eq!((ledger.headroom_bytes(), ledger.take_reading(None)), (9, Pressure::Mild));
        share.measured(90);
        assert_eq!((ledger.headroom_bytes(), ledger.take_reading(None)), (0, Pressure::Over(10)));
    }

    #[test]
    fn standing_still_is_pressure() {
        let ledger = Ledger::new(None);
        let still = MemoryReading { total_bytes: 20 * GIB, available_bytes: 19 * GIB, stalled_percent: 10.0 };
        assert_eq!(ledger.take_reading(Some(still)), Pressure::Mild);
    }

    #[test]
    fn an_idle_one_counts_with_its_use_and_a_busy_one_with_its_needs() {
        let ledger = Ledger::new(None);
        let share = ledger.share(100 * MIB);
        let held = || ledger.held_bytes() / MIB;
        share.settle(20 * MIB, 50 * MIB);
        assert_eq!((held(), share.growth_bytes() / MIB), (20, 80), "it has not served: the guess stays");
        share.grow();
        assert_eq!(held(), 100);
        assert!(share.has_run() && !share.has_run());
        share.settle(20 * MIB, 50 * MIB);
        assert_eq!((held(), share.growth_bytes() / MIB), (20, 30));
        share.grow();
        share.leave();
        assert_eq!((held(), ledger.leaving_bytes() / MIB), (50, 50));
        share.settle(40 * MIB, 50 * MIB);
        assert_eq!(share.growth_bytes(), 0, "so little is granted");
        share.grow();
        assert_eq!(held(), 50, "but counts");
        share.settle(20, 50);
        let (mut sum, other) = (0, ledger.share(7));
        share.count_idle(&mut sum, true);
        other.count_idle(&mut sum, true);
        assert_eq!(sum, 27);
        share.settle(30, 50);
        share.count_idle(&mut sum, true);
        assert_eq!(sum, 37);
        share.count_idle(&mut sum, false);
        assert!(sum == 7 && !share.is_idle() && other.is_idle());
    }

    #[test]
    fn the_unknown_are_dared_up_to_a_bound() {
        let ledger = Ledger::new(Some(100));
        assert!(ledger.dares(1000), "one alone always is");
        let shares: Vec<_> = (0..4).map(|_| ledger.share_of_unknown(1, 90)).collect();
        assert!(ledger.dares(40) && !ledger.dares(41));
        shares[0].has_run();
        assert!(ledger.dares(130));
        drop(shares);
        assert_eq!(ledger.unknown_bytes.load(Ordering::Relaxed), 0);
        let unlimited = Ledger::new(None);
        let _one = unlimited.share_of_unknown(1, u64::MAX - 1);
        assert!(unlimited.dares(u64::MAX));
    }

    #[tokio::test]
    async fn who_waits_is_told_and_nobody_else() {
        let ledger = Ledger::new(Some(10));
        drop(ledger.share(10));
        ledger.set_awaited(true);
        let told = tokio::time::timeout(std::time::Duration::ZERO, ledger.freed()).await;
        assert!(told.is_err(), "nobody waited then");
        drop(ledger.share(10));
        ledger.freed().await;
    }

    #[test]
    fn needs_grow_at_once_and_fall_slowly() {
        let (mut learned, key) = (Learned::default(), Arc::from("f"));
        assert_eq!(learned.needs("f"), None);
        learned.learn(&key, 1, 100);
        learned.learn(&key, 1, 900);
        assert_eq!(learned.needs("f"), Some(900));
        learned.learn(&key, 1, 100);
        assert_eq!(learned.needs("f"), Some(800));
        learned.doubt("f");
        learned.doubt("g");
        assert_eq!((learned.needs("f"), learned.needs("g")), (Some(700), None));
        learned.learn(&key, 2, 5);
        learned.learn(&key, 1, 100);
        assert_eq!(learned.needs("f"), Some(5));
        for at in 0..2 * MOST_LEARNED {
            learned.learn(&Arc::from(at.to_string()), 1, 1);
        }
        assert_eq!(learned.peaks.len(), MOST_LEARNED);
    }
}
