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
    pub(crate) max_memory_mib: u32,
    pub(crate) status: Status,
    /// The function's segment of a sampled trace.
    pub(crate) segment: Option<Segment>,
}

impl Numbers {
    /// Billed time: whole milliseconds, rounded up. Since August 2025 AWS bills the initialisation too.
    pub(crate) fn billed_ms(&self) -> u64 {
        let total_ms = self.duration_ms + self.init_ms.unwrap_or(0.0);
        // Durations are finite, not negative, and far below 2^53.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let billed = total_ms.max(0.0).ceil() as u64;
        billed
    }
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
}

impl InitPhase {
    pub(super) fn name(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Ahead => "init",
            InitPhase::Invoke => "invoke",
        }
    }

    pub(super) fn initialization_type(self) -> &'static str {
        match self {
            InitPhase::Init | InitPhase::Invoke => "on-demand",
            InitPhase::Ahead => "provisioned-concurrency",
        }
    }
}
