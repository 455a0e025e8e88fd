//! An engine with a memory for what was read lately.
//!
//! The hot paths read the same few keys again and again: a function's row, its policy, a caller's key. An engine takes
//! microseconds for each, this a fraction of one. It is small, and forgets all of a part when the part is full: it is for
//! few keys that are read often, and no substitute for an engine's own cache of blocks.
//!
//! **Invariant:** who reads gets the value that was the committed one at some moment of the read. A value is remembered
//! and given only while no commit is under way, and a commit forgets what it writes before it is over.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Engine, View, Writes};
use crate::error::EngineError;

/// Readers of different keys rarely wait for each other.
const PARTS: usize = 16;
/// Keys and values in one part, in bytes.
const PART_BYTES: usize = 64 * 1024;
/// What an entry takes beside its key and value, in bytes, about.
const ENTRY_BYTES: usize = 96;
/// Larger values, in bytes, are not remembered.
const MAX_VALUE_BYTES: usize = 8 * 1024;

pub(crate) struct Cached<E> {
    engine: E,
    /// Counts the beginnings and the ends of commits: odd while one is under way. After one that failed it stays odd,
    /// and nothing is remembered any more.
    commits: AtomicU64,
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
}

#[derive(Default)]
struct Part {
    values: HashMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
}

impl<E> Cached<E> {
    pub(crate) fn new(engine: E) -> Self {
        Cached { engine, commits: AtomicU64::new(0), parts: Default::default(), hasher: RandomState::new() }
    }

    fn part(&self, key: &[u8]) -> MutexGuard<'_, Part> {
        let hash = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        // A part is whole between any two statements.
        self.parts[hash].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn remember(&mut self, key: &[u8], value: Option<Bytes>) {
        let size = ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
        if self.bytes + size > PART_BYTES {
            self.values.clear();
            self.bytes = 0;
        }
        if self.values.insert(key.to_vec(), value).is_none() {
            self.bytes += size;
        }
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(value) = self.values.remove(key) {
            let size = ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
            self.bytes = self.bytes.saturating_sub(size);
        }
    }
}

impl<E: Engine> Engine for Cached<E> {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        self.engine.view()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        // What is remembered at this moment is what is committed at this moment, if no commit is under way.
        let before = self.commits.load(Ordering::Acquire);
        let is_quiet = before.is_multiple_of(2);
        if is_quiet && let Some(value) = self.part(key).values.get(key) {
            return Ok(value.clone());
        }
        let value = self.engine.get(key)?;
        if is_quiet && value.as_ref().is_none_or(|value| value.len() <= MAX_VALUE_BYTES) {
            let mut part = self.part(key);
            // A commit that has begun meanwhile may have written the key, and its turn to forget may be over: it has
            // the part's lock for that, so it is seen here.
            if self.commits.load(Ordering::Acquire) == before {
                part.remember(key, value.clone());
            }
        }
        Ok(value)
    }

    fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
        self.commits.fetch_add(1, Ordering::AcqRel);
        self.engine.commit(writes)?;
        for key in writes.keys() {
            self.part(key).forget(key);
        }
        self.commits.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::thread;

    use super::*;
    use crate::engine::memory::Memory;

    /// Counts reads; fails or panics at commits when told so.
    struct Counting {
        memory: Memory,
        reads: AtomicUsize,
        fails: AtomicBool,
    }

    impl Engine for Counting {
        fn view(&self) -> Result<Arc<dyn View>, EngineError> {
            self.memory.view()
        }
        fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.memory.get(key)
        }
        fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
            self.memory.commit(writes)?;
            if self.fails.load(Ordering::Relaxed) { Err(EngineError::new("no")) } else { Ok(()) }
        }
    }

    fn cached() -> Cached<Counting> {
        let (reads, fails) = (AtomicUsize::new(0), AtomicBool::new(false));
        Cached::new(Counting { memory: Memory::default(), reads, fails })
    }

    fn write(cached: &impl Engine, key: &str, value: Option<&str>) -> Result<(), EngineError> {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        cached.commit(&Writes::from([(key.into(), value)]))
    }

    fn read(cached: &Cached<Counting>, key: &str) -> (Option<Bytes>, usize) {
        let before = cached.engine.reads.load(Ordering::Relaxed);
        let value = cached.get(key.as_bytes()).unwrap();
        (value, cached.engine.reads.load(Ordering::Relaxed) - before)
    }

    #[test]
    fn what_was_read_is_remembered_until_it_is_written() {
        let cached = cached();
        assert_eq!(read(&cached, "a"), (None, 1));
        assert_eq!(read(&cached, "a"), (None, 0));
        write(&cached, "a", Some("1")).unwrap();
        assert_eq!(read(&cached, "a"), (Some("1".into()), 1));
        write(&cached, "b", Some("2")).unwrap();
        assert_eq!(read(&cached, "a"), (Some("1".into()), 0));
        write(&cached, "a", None).unwrap();
        assert_eq!(read(&cached, "a"), (None, 1));
        let mut seen = 0;
        let count = &mut |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        };
        cached.view().unwrap().scan(b"a", b"z", false, count).unwrap();
        assert_eq!(seen, 1);
    }

    #[test]
    fn it_stays_small() {
        let cached = cached();
        write(&cached, "large", Some(&"x".repeat(MAX_VALUE_BYTES + 1))).unwrap();
        assert_eq!((read(&cached, "large").1, read(&cached, "large").1), (1, 1));
        for n in 0..50_000 {
            read(&cached, &n.to_string());
        }
        for part in &cached.parts {
            let part = part.lock().unwrap();
            assert!(part.bytes <= PART_BYTES && part.values.len() <= PART_BYTES / ENTRY_BYTES);
        }
        for n in 0..50_000 {
            write(&cached, &n.to_string(), Some("1")).unwrap();
        }
        let left: usize = cached.parts.iter().map(|part| part.lock().unwrap().values.len()).sum();
        assert_eq!(left, 0);
    }

    #[test]
    fn after_a_commit_that_failed_nothing_is_remembered() {
        let cached = cached();
        assert_eq!(read(&cached, "a"), (None, 1));
        cached.engine.fails.store(true, Ordering::Relaxed);
        write(&cached, "a", Some("1")).unwrap_err();
        assert_eq!(read(&cached, "a"), (Some("1".into()), 1));
        assert_eq!(read(&cached, "a"), (Some("1".into()), 1));
    }

    #[test]
    fn readers_never_see_less_than_was_committed_before() {
        let cached = Cached::new(Memory::default());
        let (committed, done) = (AtomicU64::new(0), AtomicBool::new(false));
        write(&cached, "n", Some("0")).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Acquire) {
                        let least = committed.load(Ordering::Acquire).max(last);
                        let value = cached.get(b"n").unwrap().unwrap();
                        last = std::str::from_utf8(&value).unwrap().parse::<u64>().unwrap();
                        assert!(last >= least, "{last} after {least}");
                    }
                });
            }
            for n in 1..20_000_u64 {
                write(&cached, "n", Some(&n.to_string())).unwrap();
                committed.store(n, Ordering::Release);
            }
            done.store(true, Ordering::Release);
        });
    }
}
