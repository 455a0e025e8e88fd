//! How many of a function's events may run at a time.
//!
//! It begins with a few and allows more at AWS's pace of scaling, as long as more at a time is not slower for each: a
//! function that waits for something gets many environments, one that computes gets as many as the processors serve.
//! A throttle says what the limit is; then that is the limit for a while. Measured by real time.

use std::time::{Duration, Instant};

/// What a function may begin with.
const FIRST: usize = 10;
/// AWS starts at most 1,000 environments of a function in 10 seconds.
const STEP: usize = 10;
const STEP_EVERY: Duration = Duration::from_millis(100);
/// The account's limit by default.
const MOST: usize = 1000;
/// More at a time is no gain when each takes this many times as long as it did.
const SLOWER: f64 = 2.0;
/// The weight of the newest run in the mean.
const WEIGHT: f64 = 0.05;
/// For how long the limit stays after a throttle.
const HOLD: Duration = Duration::from_secs(5);

/// The pace of one queue.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    grew_at: Instant,
    held_until: Option<Instant>,
    /// Of warm runs, in seconds.
    mean_s: Option<f64>,
    /// The lowest that the mean was.
    best_s: Option<f64>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Pace { limit: FIRST, grew_at: now, held_until: None, mean_s: None, best_s: None }
    }

    /// How many may run.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A run of a warm environment came to its end.
    pub(super) fn ran(&mut self, took: Duration) {
        let took_s = took.as_secs_f64();
        let mean_s = self.mean_s.map_or(took_s, |mean_s| mean_s + WEIGHT * (took_s - mean_s));
        self.mean_s = Some(mean_s);
        self.best_s = Some(self.best_s.map_or(mean_s, |best_s| best_s.min(mean_s)));
    }

    /// A run was refused while `running` others went on: no more than these for now.
    pub(super) fn refused(&mut self, running: usize, now: Instant) {
        self.limit = self.limit.min(running).max(1);
        self.held_until = Some(now + HOLD);
    }

    /// As many run as may, and there are more. Says when to ask again, unless the limit grew.
    pub(super) fn wants_more(&mut self, now: Instant) -> Option<Instant> {
        if self.limit >= MOST {
            return Some(now + HOLD);
        }
        if let Some(held_until) = self.held_until.filter(|until| *until > now) {
            return Some(held_until);
        }
        let next = self.grew_at + STEP_EVERY;
        if next > now {
            return Some(next);
        }
        if let (Some(mean_s), Some(best_s)) = (self.mean_s, self.best_s)
            && mean_s > SLOWER * best_s
        {
            return Some(now + STEP_EVERY);
        }
        self.grew_at = now;
        // After a throttle it feels its way; the limit that it met is likely still there.
        let step = if self.held_until.is_some() { 1 } else { STEP };
        self.limit = (self.limit + step).min(MOST);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_at_awss_pace_while_nothing_speaks_against_it() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.limit(), 10);
        assert_eq!(pace.wants_more(start), Some(start + STEP_EVERY));
        for step in 1..=200 {
            pace.wants_more(start + STEP_EVERY * step);
        }
        assert_eq!(pace.limit(), 1000);
    }

    #[test]
    fn it_stays_where_more_is_slower() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        (0..200).for_each(|_| pace.ran(Duration::from_millis(1)));
        assert_eq!(pace.wants_more(start + STEP_EVERY), None);
        (0..200).for_each(|_| pace.ran(Duration::from_millis(3)));
        assert!(pace.wants_more(start + STEP_EVERY * 2).is_some());
        assert_eq!(pace.limit(), 20);
    }

    #[test]
    fn a_throttle_says_what_the_limit_is() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.refused(3, start);
        assert_eq!(pace.limit(), 3);
        assert_eq!(pace.wants_more(start + STEP_EVERY), Some(start + HOLD));
        assert_eq!(pace.wants_more(start + HOLD), None);
        assert_eq!(pace.limit(), 4);
        pace.refused(0, start);
        assert_eq!(pace.limit(), 1, "one is always worth a try");
    }
}
