//! How many batches of a mapping may run at a time.
//!
//! | | begins with | more while messages are left | most |
//! | --- | --- | --- | --- |
//! | by default | 5 | 300 a minute | 1,250, or `MaximumConcurrency` |
//! | provisioned | 10 for each of the least pollers | 1,000 a minute | 10 for each of the most pollers |
//!
//! Throttles halve it; failures of the function let it go down slowly, not below where it begins; an empty queue takes it
//! back there. A FIFO queue hands out no group twice at a time, so more than its groups never run. Measured by real time.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>.

use std::time::{Duration, Instant};

use super::record::Settings;

const FIRST: usize = 5;
const MOST: usize = 1250;
/// 300 a minute.
const STEP_EVERY: Duration = Duration::from_millis(200);
/// A poller runs so many batches at a time.
const PER_POLLER: usize = 10;
/// 1,000 a minute.
const PROVISIONED_STEP_EVERY: Duration = Duration::from_millis(60);
/// For how long the limit stays after a throttle.
const HOLD: Duration = Duration::from_secs(2);

/// The pace of one mapping.
#[derive(Debug)]
pub(super) struct Pace {
    first: usize,
    most: usize,
    step_every: Duration,
    limit: usize,
    grew_at: Instant,
    held_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        let (first, most, step_every) = match settings.pollers {
            Some(pollers) => {
                let batches = |pollers: u32| PER_POLLER * pollers as usize;
                (batches(pollers.minimum), batches(pollers.maximum), PROVISIONED_STEP_EVERY)
            }
            None => {
                let most = settings.maximum_concurrency.map_or(MOST, |most| most as usize);
                (FIRST.min(most), most, STEP_EVERY)
            }
        };
        Pace { first, most, step_every, limit: first, grew_at: now, held_until: None }
    }

    /// The same pace under other settings.
    pub(super) fn set(&mut self, settings: &Settings, now: Instant) {
        let limit = self.limit;
        let held_until = self.held_until;
        *self = Pace::new(settings, now);
        self.limit = limit.clamp(1, self.most);
        self.held_until = held_until;
    }

    /// How many may run.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// As many run as may, and there may be more. Says when to ask again, unless the limit grew.
    pub(super) fn wants_more(&mut self, now: Instant) -> Option<Instant> {
        if let Some(held_until) = self.held_until.filter(|until| *until > now) {
            return Some(held_until);
        }
        self.held_until = None;
        if self.limit >= self.most {
            // Only what ends makes room.
            return Some(now + HOLD);
        }
        let next = self.grew_at + self.step_every;
        if next > now {
            return Some(next);
        }
        self.grew_at = now;
        self.limit += 1;
        None
    }

    /// An invoke was refused for want of concurrency.
    pub(super) fn throttled(&mut self, now: Instant) {
        if self.held_until.is_some_and(|until| until > now) {
            // The same wave of throttles counts once.
            return;
        }
        self.limit = (self.limit / 2).max(1);
        self.held_until = Some(now + HOLD);
    }

    /// The function failed.
    pub(super) fn failed(&mut self) {
        self.limit = self.limit.saturating_sub(1).max(self.first.min(self.limit));
    }

    /// The queue is empty, and nothing runs.
    pub(super) fn idle(&mut self, now: Instant) {
        self.limit = self.first;
        self.grew_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mappings::record::Pollers;

    /// How many run after `seconds` of more than enough messages.
    fn after(settings: &Settings, seconds: u64) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(settings, start);
        let mut now = start;
        while now < start + Duration::from_secs(seconds) {
            if let Some(next) = pace.wants_more(now) {
                now = next;
            }
        }
        pace.limit()
    }

    #[test]
    fn it_grows_as_aws_does() {
        let settings = Settings::default();
        assert_eq!(Pace::new(&settings, Instant::now()).limit(), 5);
        assert!((300..=306).contains(&after(&settings, 60)), "{}", after(&settings, 60));
        assert_eq!(after(&settings, 600), 1250);
        let few = Settings { maximum_concurrency: Some(2), ..Settings::default() };
        assert_eq!(Pace::new(&few, Instant::now()).limit(), 2);
        assert_eq!(after(&few, 60), 2);
        let pollers = Settings { pollers: Some(Pollers { minimum: 2, maximum: 200 }), ..Settings::default() };
        assert_eq!(Pace::new(&pollers, Instant::now()).limit(), 20);
        assert!((1010..=1022).contains(&after(&pollers, 60)), "{}", after(&pollers, 60));
        assert_eq!(after(&pollers, 600), 2000);
    }

    #[test]
    fn it_backs_off() {
        let now = Instant::now();
        let mut pace = Pace::new(&Settings::default(), now);
        pace.limit = 40;
        pace.throttled(now);
        pace.throttled(now);
        assert_eq!(pace.limit(), 20);
        assert!(pace.wants_more(now).is_some_and(|next| next >= now + HOLD));
        pace.throttled(now + HOLD);
        assert_eq!(pace.limit(), 10);
        (0..20).for_each(|_| pace.failed());
        assert_eq!(pace.limit(), 5);
        (1..=4).for_each(|n| pace.throttled(now + HOLD * (n + 1)));
        assert_eq!(pace.limit(), 1);
        pace.failed();
        assert_eq!(pace.limit(), 1);
        pace.idle(now);
        assert_eq!(pace.limit(), 5);
    }
}
