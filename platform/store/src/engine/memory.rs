//! The engine for tests: a sorted map with versions in memory. Nothing of it survives the process.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::{Engine, View, Visitor, Writes};
use crate::error::EngineError;

#[derive(Default)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    data: RwLock<Data>,
    /// How many views there are of each commit.
    views: Mutex<BTreeMap<u64, usize>>,
}

#[derive(Default)]
struct Data {
    commit: u64,
    /// Each key's versions, oldest first.
    keys: BTreeMap<Vec<u8>, Vec<(u64, Option<Bytes>)>>,
    /// Keys with a version that is only there for older views, with the commit that replaced it.
    outdated: VecDeque<(u64, Vec<u8>)>,
}

impl Data {
    fn at(versions: &[(u64, Option<Bytes>)], commit: u64) -> Option<&Bytes> {
        versions.iter().rev().find(|(made, _)| *made <= commit).and_then(|(_, value)| value.as_ref())
    }

    /// Forgets the versions that no view at `oldest` or later can see.
    fn forget(&mut self, oldest: u64) {
        while self.outdated.front().is_some_and(|(replaced, _)| *replaced <= oldest) {
            let Some((_, key)) = self.outdated.pop_front() else { return };
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            let seen = versions.iter().rposition(|(made, _)| *made <= oldest).unwrap_or(0);
            versions.drain(..seen);
            if let [(made, None)] = versions.as_slice()
                && *made <= oldest
            {
                self.keys.remove(&key);
            }
        }
    }
}

impl Shared {
    fn views(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        // The views are locked first, so that no commit forgets this view's versions in between.
        let mut views = self.0.views();
        let commit = self.0.data.read().unwrap_or_else(PoisonError::into_inner).commit;
        *views.entry(commit).or_default() += 1;
        Ok(Arc::new(MemoryView { shared: Arc::clone(&self.0), commit }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let data = self.0.data.read().unwrap_or_else(PoisonError::into_inner);
        Ok(data.keys.get(key).and_then(|versions| Data::at(versions, data.commit)).cloned())
    }

    fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
        let views = self.0.views();
        let mut data = self.0.data.write().unwrap_or_else(PoisonError::into_inner);
        let data = &mut *data;
        data.commit += 1;
        let commit = data.commit;
        for (key, value) in writes {
            let versions = data.keys.entry(key.clone()).or_default();
            if !versions.is_empty() || value.is_none() {
                data.outdated.push_back((commit, key.clone()));
            }
            versions.push((commit, value.clone()));
        }
        let oldest = views.first_key_value().map_or(commit, |(oldest, _)| *oldest);
        data.forget(oldest);
        Ok(())
    }
}

struct MemoryView {
    shared: Arc<Shared>,
    commit: u64,
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        let mut views = self.shared.views();
        if let Some(count) = views.get_mut(&self.commit) {
            *count -= 1;
            if *count == 0 {
                views.remove(&self.commit);
            }
        }
    }
}

impl View for MemoryView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let data = self.shared.data.read().unwrap_or_else(PoisonError::into_inner);
        Ok(data.keys.get(key).and_then(|versions| Data::at(versions, self.commit)).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], reverse: bool, visit: Visitor<'_>) -> Result<(), EngineError> {
        let data = self.shared.data.read().unwrap_or_else(PoisonError::into_inner);
        let entries = data.keys.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut entries: Box<dyn Iterator<Item = _>> =
            if reverse { Box::new(entries.rev()) } else { Box::new(entries) };
        let _ = entries.try_for_each(|(key, versions)| match Data::at(versions, self.commit) {
            Some(value) => visit(Bytes::copy_from_slice(key), value.clone()),
            None => ControlFlow::Continue(()),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(engine: &Memory, key: &str, value: Option<&'static str>) {
        engine
            .commit(&Writes::from([(key.into(), value.map(|text| Bytes::from_static(text.as_bytes())))]))
            .unwrap();
    }

    #[test]
    fn versions_go_when_no_view_needs_them() {
        let engine = Memory::default();
        set(&engine, "a", Some("1"));
        let view = engine.view().unwrap();
        set(&engine, "a", Some("2"));
        set(&engine, "a", None);
        assert_eq!(view.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(engine.get(b"a").unwrap(), None);
        drop(view);
        set(&engine, "b", Some("3"));
        let data = engine.0.data.read().unwrap();
        assert_eq!(data.keys.len(), 1);
        assert!(data.outdated.is_empty());
    }
}
