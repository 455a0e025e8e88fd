//! The SHUTDOWN phase: how an environment with extensions ends, in the background and within its time.
//!
//! The runtime gets SIGTERM, then external extensions get their SHUTDOWN event, then whatever is left is killed. An
//! environment without extensions has no such phase: it is killed at once, as on AWS.
//!
//! Budgets: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-lifecycle-shutdown>.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Environment;

/// The whole phase with external extensions.
const WITH_EXTERNAL: Duration = Duration::from_millis(2000);
/// The runtime's part of it.
const RUNTIME_BESIDE_EXTERNAL: Duration = Duration::from_millis(300);
/// The runtime's time when one of its own threads is an extension.
const WITH_INTERNAL: Duration = Duration::from_millis(500);
/// What killing takes at most, beyond the budgets.
const MARGIN: Duration = Duration::from_millis(1000);

/// Why an environment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nobody needs it any more.
    Spindown,
    /// The function's time was up.
    Timeout,
    /// The runtime or an extension failed.
    Failure,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Reason::Spindown => "spindown",
            Reason::Timeout => "timeout",
            Reason::Failure => "failure",
        }
    }
}

/// How many environments are in their SHUTDOWN phase. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Endings {
    under_way: watch::Sender<usize>,
}

impl Default for Endings {
    fn default() -> Self {
        Endings { under_way: watch::Sender::new(0) }
    }
}

impl Endings {
    /// Something that an end may follow is under way until this is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.under_way.send_modify(|count| *count += 1);
        Held(self.clone())
    }

    /// Ends the environment in the background.
    pub(crate) fn begin(&self, environment: Arc<Environment>, reason: Reason) {
        let held = self.hold();
        tokio::spawn(async move {
            shut_down(&environment, reason).await;
            environment.kill();
            drop(environment);
            drop(held);
        });
    }

    /// Waits until none is under way, or their time is over.
    pub(crate) async fn settled(&self) {
        let mut under_way = self.under_way.subscribe();
        let _ = timeout(WITH_EXTERNAL + MARGIN, under_way.wait_for(|count| *count == 0)).await;
    }
}

/// See [`Endings::hold`].
pub(crate) struct Held(Endings);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shutdown {
    event_type: &'static str,
    shutdown_reason: &'static str,
    deadline_ms: i64,
}

async fn shut_down(environment: &Arc<Environment>, reason: Reason) {
    let extensions = &environment.session.extensions;
    let (external, internal) = (extensions.external() > 0, extensions.any_internal());
    let whole = if external { WITH_EXTERNAL } else { WITH_INTERNAL };
    let for_runtime = if external && !internal { RUNTIME_BESIDE_EXTERNAL } else { WITH_INTERNAL };
    let began = Instant::now();
    environment.log.telemetry().hurry();
    let event = Shutdown {
        event_type: "SHUTDOWN",
        shutdown_reason: reason.name(),
        deadline_ms: environment.real_deadline_ms(whole),
    };
    if !environment.session.has_departed() {
        environment.signal_runtime(false).await;
        if timeout_at(began + for_runtime, environment.runtime_ended()).await.is_err() {
            environment.signal_runtime(true).await;
        }
    }
    if external {
        // The last records come before the last event: an extension that has heard that is about to end.
        let _ = timeout_at(began + for_runtime, environment.log.telemetry().settled()).await;
        extensions.shut_down(&Bytes::from(serde_json::to_vec(&event).unwrap_or_default()));
        let _ = timeout_at(began + whole, environment.gone()).await;
    }
    environment.log.drain(true);
}
