//! Leases are written a little after the receives that made them.
//!
//! Nobody waits for that, and most messages are deleted before: then there is nothing to write. One task gathers the
//! leases of all queues; it exists only while there are some.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::writer::Change;
use super::{Messages, locked};

/// How long leases are gathered: what a crash may take back.
const GATHERING: Duration = Duration::from_millis(10);
/// The most leases that are handed in at once.
const LEASES: usize = 1_000;

#[derive(Default)]
pub(super) struct Behind {
    /// Queues with leases that are to be written.
    queues: HashSet<u64>,
    is_running: bool,
}

#[cfg(test)]
impl Behind {
    /// Whether anything is to be written, or on its way.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }
}

impl Messages {
    /// Has the leases of this queue written.
    pub(super) fn write_behind(self: &Arc<Self>, queue: u64) {
        let mut behind = locked(&self.behind);
        behind.queues.insert(queue);
        if !behind.is_running {
            behind.is_running = true;
            tokio::spawn(Arc::clone(self).run_behind());
        }
    }

    async fn run_behind(self: Arc<Self>) {
        loop {
            tokio::time::sleep(GATHERING).await;
            let queues = {
                let mut behind = locked(&self.behind);
                if behind.queues.is_empty() {
                    behind.is_running = false;
                    return;
                }
                std::mem::take(&mut behind.queues)
            };
            self.write_leases(queues).await;
        }
    }

    async fn write_leases(self: &Arc<Self>, queues: HashSet<u64>) {
        for queue in queues {
            let Some(picture) = self.known_picture(queue) else { continue };
            loop {
                // Under one lock with handing them in: what is written later goes by what is written now.
                let written = {
                    let mut state = locked(&picture.state);
                    let leases = state.leases_to_write(LEASES);
                    if leases.is_empty() {
                        break;
                    }
                    let change = |(seq, lease)| Change::Lease { queue, seq, lease };
                    self.write(leases.into_iter().map(change).collect())
                };
                if written.wait().await.is_err() {
                    return;
                }
            }
        }
    }
}
