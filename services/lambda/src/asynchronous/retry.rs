//! How long an event waits for its next attempt.
//!
//! Function errors: one minute, then two. Throttles and errors of the platform: from one second, doubling, to five
//! minutes; they are no attempts. <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>.

use std::time::Duration;

/// The part of a wait that is drawn by lot on top of it, so that events that failed together do not come back together.
const JITTER: f64 = 0.1;
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LATER_RETRY: Duration = Duration::from_secs(120);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// The wait after `failed` attempts of the function, from 1. `lot` is from 0 to 1.
pub(super) fn after_failure(failed: u32, lot: f64) -> Duration {
    let wait = if failed <= 1 { FIRST_RETRY } else { LATER_RETRY };
    wait.mul_f64(1.0 + JITTER * lot)
}

/// The wait after `refused` tries in a row that never reached the function, from 1. `lot` is from 0 to 1.
pub(super) fn after_refusal(refused: u32, lot: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << refused.saturating_sub(1).min(16));
    doubled.mul_f64(1.0 + JITTER * lot).min(LONGEST_BACKOFF)
}

/// From 0 to 1, drawn.
pub(super) fn lot() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper half: uniform, and exact as a float.
    f64::from(u32::try_from(high >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_aws_and_a_little_more() {
        let seconds = |wait: Duration| wait.as_secs_f64();
        assert!((seconds(after_failure(1, 0.0)) - 60.0).abs() < 1e-9);
        assert!((seconds(after_failure(2, 0.0)) - 120.0).abs() < 1e-9);
        assert!((seconds(after_failure(2, 1.0)) - 132.0).abs() < 1e-9);
        let backoffs: Vec<f64> = (1..=11).map(|refused| seconds(after_refusal(refused, 0.0))).collect();
        assert_eq!(backoffs[..4], [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(backoffs[8..], [256.0, 300.0, 300.0]);
        assert!(seconds(after_refusal(u32::MAX, 1.0)) <= 300.0);
    }

    #[test]
    fn lots_are_spread() {
        let lots: Vec<f64> = (0..1000).map(|_| lot()).collect();
        assert!(lots.iter().all(|lot| (0.0..=1.0).contains(lot)));
        let mean = lots.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
