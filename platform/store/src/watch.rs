//! Watches: wake up when something below a prefix was committed.
//!
//! A watch is a hint: it says that something happened, not what. It misses nothing that is committed after it was
//! made: watch first, then read, then wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::engine::Writes;

#[derive(Default)]
pub(crate) struct Watches {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    prefixes: HashMap<Vec<u8>, watch::Sender<()>>,
    /// How many watched prefixes there are of each length: a key is looked up once for each.
    lengths: BTreeMap<usize, usize>,
}

impl Watches {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(self: &Arc<Self>, prefix: Vec<u8>) -> Watch {
        let mut table = self.table();
        let table = &mut *table;
        let sender = table.prefixes.entry(prefix.clone()).or_insert_with(|| {
            *table.lengths.entry(prefix.len()).or_default() += 1;
            watch::Sender::new(())
        });
        Watch { receiver: sender.subscribe(), watches: Arc::clone(self), prefix }
    }

    /// Wakes the watches that committed writes touch.
    pub(crate) fn wake(&self, writes: &Writes) {
        let table = self.table();
        if table.prefixes.is_empty() {
            return;
        }
        let mut touched: BTreeMap<&[u8], &watch::Sender<()>> = BTreeMap::new();
        for key in writes.keys() {
            for length in table.lengths.keys().take_while(|length| **length <= key.len()) {
                if let Some((prefix, sender)) = table.prefixes.get_key_value(&key[..*length]) {
                    touched.insert(prefix, sender);
                }
            }
        }
        for sender in touched.into_values() {
            sender.send_replace(());
        }
    }

    fn leave(&self, prefix: &[u8]) {
        let mut table = self.table();
        let table = &mut *table;
        // The one that leaves still counts as a receiver.
        if table.prefixes.get(prefix).is_some_and(|sender| sender.receiver_count() <= 1) {
            table.prefixes.remove(prefix);
            if let Some(count) = table.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    table.lengths.remove(&prefix.len());
                }
            }
        }
    }
}

/// Wakes its holder when a key that begins with its prefix was written or removed.
pub struct Watch {
    receiver: watch::Receiver<()>,
    watches: Arc<Watches>,
    prefix: Vec<u8>,
}

impl Watch {
    /// Waits until something was committed below the prefix since the watch was made, or since this returned last.
    /// Many commits may be one wake-up. Cancelling it loses nothing.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // The sender stays in the table as long as a watch is there, so this is never reached.
            std::future::pending::<()>().await;
        }
    }

    /// Whether something was committed that [`Watch::changed`] has not told yet. Does not wait.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.receiver.has_changed().unwrap_or(false)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.leave(&self.prefix);
    }
}
