//! What is told at the end of a phase: how it ended, how long it took, what it used. The forms are in
//! [`super::events`].

use super::trace::Segment;

/// How a phase ended, for REPORT and INIT_REPORT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Success,
    /// The handler failed in an orderly way. Only JSON tells.
    HandlerError {
        error_type: Option<String>,
    },
    Error {
        error_type: String,
    },
    Timeout,
}

/// What REPORT tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) duration_ms: f64,
    /// Initialisation that succeeded.
    pub(crate) init_ms: Option<f64>,
    /// The restoring from a snapshot, where there was one.
    pub(crate) restore_ms: Option<f64>,
    pub(crate) max_memory_mib: u32,
    pub(crate) status: Status,
    /// The function's segment of a sampled trace.
    pub(crate) segment: Option<Segment>,
}

impl Numbers {
    /// Billed time: whole milliseconds, rounded up. Since August 2025 AWS bills the initialisation too.
    pub(crate) fn billed_ms(&self) -> u64 {
        whole_ms(self.duration_ms + self.init_ms.unwrap_or(0.0)) + self.billed_restore_ms().unwrap_or(0)
    }

    /// Billed time of the restoring: all of it, since nothing of it is but the runtime's and the hooks'.
    pub(crate) fn billed_restore_ms(&self) -> Option<u64> {
        self.restore_ms.map(whole_ms)
    }
}

fn whole_ms(duration_ms: f64) -> u64 {
    // Durations are finite, not negative, and far below 2^53.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = duration_ms.max(0.0).ceil() as u64;
    whole
}

/// In which phase an initialisation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitPhase {
    /// The first one.
    Init,
    /// The second one, within the first request.
    Invoke,
    /// That of a provisioned environment, before any request.
    Ahead,
    /// That of the environment from which a snapshot is taken.
    Snapshot,
    /// None: the environment is restored from a snapshot.
    Restore,
}

impl InitPhase {
    pub(super) fn name(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Ahead | InitPhase::Snapshot | InitPhase::Restore => "init",
            InitPhase::Invoke => "invoke",
        }
    }

    pub(super) fn initialization_type(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Invoke => "on-demand",
            InitPhase::Ahead => "provisioned-concurrency",
            InitPhase::Snapshot | InitPhase::Restore => "snap-start",
        }
    }
}
