//! A transaction as its closure sees it: reads over a view and what was written since, writes into an overlay.
//!
//! Closures run one after another on the committer's thread, so a transaction sees every one before it: that is what
//! makes them serialisable. The overlay is shared by a batch of transactions; one that fails takes its writes back.
//! Nothing here touches a disk to write.

use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::time::{Duration, Instant};

use base::Timestamp;
use bytes::Bytes;

use crate::claim::{self, Claim};
use crate::engine::{View, Writes};
use crate::error::{EngineError, TxError};
use crate::limits;

/// The first byte of every key that the store keeps for itself.
pub(crate) const RESERVED: u8 = 0xFF;
/// Where the number of the last version stamp is kept.
pub(crate) const STAMP_KEY: &[u8] = &[RESERVED, b's'];

/// The keys from `from` up to, without, `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub from: Vec<u8>,
    /// The key just above the last one. Empty: no end.
    pub to: Vec<u8>,
    /// Whether the answer starts with the highest key.
    pub reverse: bool,
    /// The most entries of the answer.
    pub limit: usize,
}

impl Range {
    /// All keys from `from` up to, without, `to`, upwards.
    #[must_use]
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Range { from: from.into(), to: to.into(), reverse: false, limit: usize::MAX }
    }

    /// All keys that begin with the bytes `prefix`. For tuples, [`crate::Key::range`] is the better choice.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let keep = prefix.iter().rposition(|byte| *byte != 0xFF).map_or(0, |at| at + 1);
        let mut to = prefix[..keep].to_vec();
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        Range::between(prefix, to)
    }

    /// The same keys, from the highest down.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// At most so many entries.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Keeps out of the keys that the store has for itself.
    fn clamped(&self) -> (&[u8], &[u8]) {
        clamp(&self.from, &self.to)
    }
}

fn clamp<'a>(from: &'a [u8], to: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    const END: &[u8] = &[RESERVED];
    (from, if to.is_empty() || to > END { END } else { to })
}

/// Reads and writes of one transaction. See the crate's documentation for the rules of its closure.
pub trait Tx {
    /// The value of a key.
    ///
    /// # Errors
    /// When the key is reserved, the time limit is over, or the engine cannot read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TxError>;

    /// The entries of a range.
    ///
    /// # Errors
    /// When the time limit is over, or the engine cannot read.
    fn range(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>, TxError>;

    /// Sets a value.
    ///
    /// # Errors
    /// When a limit is passed, or the key is reserved.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), TxError>;

    /// Removes a key, and a claim on it. A key that is not there is no error.
    ///
    /// # Errors
    /// When a limit is passed, the key is reserved, or the engine cannot read.
    fn delete(&mut self, key: &[u8]) -> Result<(), TxError>;

    /// Removes the keys from `from` up to, without, `to` (empty: no end) and says how many there were. Each counts
    /// against the transaction's size; [`crate::Store::clear_in_steps`] removes any number.
    ///
    /// # Errors
    /// When a limit is passed, or the engine cannot read.
    fn clear_range(&mut self, from: &[u8], to: &[u8]) -> Result<u64, TxError>;

    /// Adds to the counter at a key (absent: 0), and says what it is then. Read it with [`counter`].
    ///
    /// # Errors
    /// When the value is no counter, would leave 64 bits, or a limit is passed.
    fn add(&mut self, key: &[u8], delta: i64) -> Result<i64, TxError>;

    /// A number that belongs to this transaction alone, higher than that of any transaction committed before: for
    /// keys in order of commit. Calls within one transaction give the same number.
    ///
    /// # Errors
    /// When a limit is passed.
    fn version_stamp(&mut self) -> Result<u64, TxError>;

    /// Takes the first `limit` keys of a range that nobody holds at `now`, for `owner`, until `lease_until`. The
    /// direction and limit of `range` do not count. See [`Claim`].
    ///
    /// # Errors
    /// When a limit is passed, or the engine cannot read.
    fn claim(
        &mut self,
        range: &Range,
        limit: usize,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Claim>, TxError>;

    /// Moves the end of a claim's lease.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`] when the claim is no longer held.
    fn extend_claim(&mut self, claim: &Claim, lease_until: Timestamp) -> Result<(), TxError>;

    /// Gives a claimed key back: the next one may have it at once.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`] when the claim is no longer held.
    fn release_claim(&mut self, claim: &Claim) -> Result<(), TxError>;

    /// Removes a claimed key: its work is done.
    ///
    /// # Errors
    /// [`TxError::ClaimLost`] when the claim is no longer held.
    fn acknowledge_claim(&mut self, claim: &Claim) -> Result<(), TxError>;
}

/// The number in a counter's value, as [`Tx::add`] writes it.
///
/// # Errors
/// [`TxError::NotACounter`] when the value has another length than 8 bytes.
pub fn counter(value: &[u8]) -> Result<i64, TxError> {
    let bytes = value.try_into().map_err(|_| TxError::NotACounter { length: value.len() })?;
    Ok(i64::from_be_bytes(bytes))
}

/// What the transactions of one batch have written so far.
#[derive(Default)]
pub(crate) struct Overlay {
    pub(crate) writes: Writes,
    /// Keys and values in `writes`, in bytes, roughly.
    pub(crate) bytes: usize,
    /// The last version stamp given away.
    pub(crate) stamp: u64,
    /// Whether there may be a lock of a claim anywhere. Never goes back to false while the store is open.
    pub(crate) claims: bool,
}

/// A key of the overlay and what it held before.
type Undo = (Vec<u8>, Option<Option<Bytes>>);

pub(crate) struct TxState<'a> {
    view: &'a dyn View,
    overlay: &'a mut Overlay,
    undo: Vec<Undo>,
    bytes: usize,
    stamp: Option<u64>,
    started: Instant,
    time_limit: Duration,
}

impl<'a> TxState<'a> {
    pub(crate) fn new(view: &'a dyn View, overlay: &'a mut Overlay, time_limit: Duration) -> Self {
        TxState {
            view,
            overlay,
            undo: Vec::new(),
            bytes: 0,
            stamp: None,
            started: Instant::now(),
            time_limit,
        }
    }

    /// Whether the time limit still holds.
    pub(crate) fn check_time(&self) -> Result<(), TxError> {
        if self.started.elapsed() < self.time_limit {
            return Ok(());
        }
        Err(TxError::TooSlow { limit_ms: u64::try_from(self.time_limit.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Leaves the writes in the overlay.
    pub(crate) fn keep(self) {
        self.overlay.bytes += self.bytes;
    }

    /// Takes the writes back.
    pub(crate) fn take_back(self) {
        if self.stamp.is_some() {
            self.overlay.stamp -= 1;
        }
        for (key, before) in self.undo.into_iter().rev() {
            match before {
                Some(value) => self.overlay.writes.insert(key, value),
                None => self.overlay.writes.remove(&key),
            };
        }
    }

    pub(crate) fn get_raw(&self, key: &[u8]) -> Result<Option<Bytes>, TxError> {
        self.check_time()?;
        match self.overlay.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.view.get(key)?),
        }
    }

    pub(crate) fn write_raw(&mut self, key: Vec<u8>, value: Option<Bytes>) -> Result<(), TxError> {
        self.check_time()?;
        let bytes = self.bytes + key.len() + value.as_ref().map_or(0, Bytes::len);
        if bytes > limits::TRANSACTION_BYTES {
            return Err(TxError::TooLarge);
        }
        self.bytes = bytes;
        let before = self.overlay.writes.insert(key.clone(), value);
        self.undo.push((key, before));
        Ok(())
    }

    pub(crate) fn range_raw(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, TxError> {
        self.check_time()?;
        let mut entries = Vec::new();
        if limit > 0 {
            self.scan_raw(from, to, reverse, &mut |key, value| {
                entries.push((key, value));
                if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(entries)
    }

    fn scan_raw(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        visit: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if from >= to {
            return Ok(());
        }
        let written = self.overlay.writes.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        if reverse {
            let merge = Merge { written: written.rev().peekable(), reverse, visit };
            merge.run(self.view, from, to)
        } else {
            let merge = Merge { written: written.peekable(), reverse, visit };
            merge.run(self.view, from, to)
        }
    }

    /// Marks that the store has locks of claims from now on.
    pub(crate) fn note_claims(&mut self) {
        self.overlay.claims = true;
    }

    /// Sets the number of the last version stamp, for imports.
    pub(crate) fn set_stamp(&mut self, stamp: u64) {
        self.overlay.stamp = self.overlay.stamp.max(stamp);
    }
}

/// Two sorted sequences read as one: what the engine has, and what was written since, which wins.
struct Merge<'a, 'v, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>> {
    written: Peekable<I>,
    reverse: bool,
    visit: &'v mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
}

impl<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>> Merge<'a, '_, I> {
    fn run(mut self, view: &dyn View, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        let mut stopped = false;
        view.scan(from, to, self.reverse, &mut |key, value| {
            let step = self.stored(key, value);
            stopped = step.is_break();
            step
        })?;
        while !stopped {
            let Some((key, value)) = self.written.next() else { break };
            stopped = self.write(key, value).is_break();
        }
        Ok(())
    }

    /// Visits the writes that come before a stored entry, then the entry, unless a write replaces it.
    fn stored(&mut self, key: Bytes, value: Bytes) -> ControlFlow<()> {
        while let Some((written, _)) = self.written.peek() {
            let order = written.as_slice().cmp(&key);
            let order = if self.reverse { order.reverse() } else { order };
            if order.is_gt() {
                break;
            }
            let Some((written, new)) = self.written.next() else { break };
            if order.is_eq() {
                return self.write(written, new);
            }
            self.write(written, new)?;
        }
        (self.visit)(key, value)
    }

    fn write(&mut self, key: &[u8], value: &Option<Bytes>) -> ControlFlow<()> {
        match value {
            Some(value) => (self.visit)(Bytes::copy_from_slice(key), value.clone()),
            None => ControlFlow::Continue(()),
        }
    }
}

fn check_key(key: &[u8]) -> Result<(), TxError> {
    match key.first() {
        None => Err(TxError::KeyLength { length: 0 }),
        Some(&RESERVED) => Err(TxError::ReservedKey),
        Some(_) if key.len() > limits::KEY_BYTES => Err(TxError::KeyLength { length: key.len() }),
        Some(_) => Ok(()),
    }
}

impl Tx for TxState<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TxError> {
        check_key(key)?;
        self.get_raw(key)
    }

    fn range(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>, TxError> {
        let (from, to) = range.clamped();
        self.range_raw(from, to, range.reverse, range.limit)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), TxError> {
        check_key(&key)?;
        if value.len() > limits::VALUE_BYTES {
            return Err(TxError::ValueLength { length: value.len() });
        }
        self.write_raw(key, Some(Bytes::from(value)))
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), TxError> {
        check_key(key)?;
        if self.overlay.claims {
            claim::forget(self, key)?;
        }
        self.write_raw(key.to_vec(), None)
    }

    fn clear_range(&mut self, from: &[u8], to: &[u8]) -> Result<u64, TxError> {
        let (from, to) = clamp(from, to);
        // One more than can ever be cleared is enough to know that it is too much.
        let keys = self.range_raw(from, to, false, limits::TRANSACTION_BYTES)?;
        for (key, _) in &keys {
            self.delete(key)?;
        }
        Ok(keys.len() as u64)
    }

    fn add(&mut self, key: &[u8], delta: i64) -> Result<i64, TxError> {
        let current = self.get(key)?.map_or(Ok(0), |value| counter(&value))?;
        let sum = current.checked_add(delta).ok_or(TxError::CounterOverflow { current, delta })?;
        self.put(key.to_vec(), sum.to_be_bytes().to_vec())?;
        Ok(sum)
    }

    fn version_stamp(&mut self) -> Result<u64, TxError> {
        if let Some(stamp) = self.stamp {
            return Ok(stamp);
        }
        let stamp = self.overlay.stamp + 1;
        self.write_raw(STAMP_KEY.to_vec(), Some(Bytes::copy_from_slice(&stamp.to_be_bytes())))?;
        self.overlay.stamp = stamp;
        self.stamp = Some(stamp);
        Ok(stamp)
    }

    fn claim(
        &mut self,
        range: &Range,
        limit: usize,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Claim>, TxError> {
        let (from, to) = range.clamped();
        claim::take(self, from, to, limit, owner, lease_until, now)
    }

    fn extend_claim(&mut self, claim: &Claim, lease_until: Timestamp) -> Result<(), TxError> {
        claim::extend(self, claim, lease_until)
    }

    fn release_claim(&mut self, claim: &Claim) -> Result<(), TxError> {
        claim::release(self, claim)
    }

    fn acknowledge_claim(&mut self, claim: &Claim) -> Result<(), TxError> {
        claim::acknowledge(self, claim)
    }
}

/// Reads of committed data at one moment, as [`crate::Snapshot`] offers them.
pub(crate) fn range_of_view(view: &dyn View, range: &Range) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
    let (from, to) = range.clamped();
    let mut entries = Vec::new();
    if from < to && range.limit > 0 {
        view.scan(from, to, range.reverse, &mut |key, value| {
            entries.push((key, value));
            if entries.len() < range.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(entries)
}

pub(crate) fn check_read_key(key: &[u8]) -> Result<(), TxError> {
    check_key(key)
}
