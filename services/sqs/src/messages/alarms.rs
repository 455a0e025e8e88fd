//! One timer for all who wait: it goes off when a message comes back to a queue where somebody waits for messages.
//!
//! A queue where nobody waits has no alarm: what came back is seen when somebody looks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base::Timestamp;
use tokio::sync::Notify;

use super::{Messages, locked};

#[derive(Default)]
pub(super) struct Alarms {
    set: Mutex<Set>,
    changed: Notify,
}

#[derive(Default)]
struct Set {
    alarms: BTreeSet<(Timestamp, u64)>,
    is_running: bool,
}

impl Messages {
    /// Has the queue looked at then.
    pub(super) fn set_alarm(self: &Arc<Self>, at: Timestamp, queue: u64) {
        let mut set = locked(&self.alarms.set);
        let is_first = set.alarms.first().is_none_or(|(first, _)| at < *first);
        set.alarms.insert((at, queue));
        if !set.is_running {
            set.is_running = true;
            tokio::spawn(Arc::clone(self).run_alarms());
        } else if is_first {
            self.alarms.changed.notify_one();
        }
    }

    /// Waits for alarms until there is none left.
    async fn run_alarms(self: Arc<Self>) {
        loop {
            let first = {
                let mut set = locked(&self.alarms.set);
                let first = set.alarms.first().map(|(at, _)| *at);
                set.is_running = first.is_some();
                first
            };
            let Some(first) = first else { return };
            tokio::select! {
                () = self.clock.sleep_until(first) => self.ring(),
                () = self.alarms.changed.notified() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    fn ring(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut due = Vec::new();
        {
            let mut set = locked(&self.alarms.set);
            while let Some((at, queue)) = set.alarms.pop_first() {
                if at > now {
                    set.alarms.insert((at, queue));
                    break;
                }
                due.push(queue);
            }
        }
        for queue in due {
            self.with_picture(queue, |state| state.alarm = None);
            self.serve(queue);
        }
    }
}
