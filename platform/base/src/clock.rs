//! Time, passed in: what the platform takes for "now" and how it waits for a moment.
//!
//! Schedules, retries, expiries and time stamps go by a [`Clock`], so that tests and users (`lamplighter clock
//! advance 2h`) can move them. What is measured rather than scheduled (a function's duration and its time limit)
//! goes by `std::time::Instant`: moving the clock must not time out a running function.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, fraction kept to the millisecond: the form of the JSON protocols.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        // Exact: milliseconds of any plausible date are far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let millis = self.0 as f64;
        millis / 1000.0
    }

    /// The moment `duration` later; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Year, month, day, hour, minute, second and millisecond in UTC (proleptic Gregorian calendar).
    #[must_use]
    pub fn civil(self) -> (i64, u8, u8, u8, u8, u8, u16) {
        let (days, ms_of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Days to date by 400-year eras that start on 1 March, so that the leap day is an era year's last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let seconds = ms_of_day / 1000;
        let small = |n: i64| u8::try_from(n).unwrap_or(0);
        (
            year,
            small(month),
            small(day),
            small(seconds / 3600),
            small(seconds / 60 % 60),
            small(seconds % 60),
            u16::try_from(ms_of_day % 1000).unwrap_or(0),
        )
    }

    /// `2026-11-23T08:05:09.120Z`.
    #[must_use]
    pub fn iso8601(self) -> String {
        let (year, month, day, hour, minute, second, milli) = self.civil();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// The platform's time. Cheap to clone; all clones move together.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What is added to the base, in milliseconds.
    offset_ms: AtomicI64,
    /// A frozen base for tests; the system's clock otherwise.
    frozen_ms: Option<i64>,
    /// Ticks whenever the clock is moved, so that sleepers look again.
    moved: watch::Sender<u64>,
}

impl Clock {
    /// The system's clock, which can be moved forward.
    #[must_use]
    pub fn system() -> Self {
        Self::build(None)
    }

    /// A clock that stands still at `start` until it is advanced. For tests.
    #[must_use]
    pub fn frozen(start: Timestamp) -> Self {
        Self::build(Some(start.0))
    }

    fn build(frozen_ms: Option<i64>) -> Self {
        Clock {
            inner: Arc::new(Inner { offset_ms: AtomicI64::new(0), frozen_ms, moved: watch::Sender::new(0) }),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let base = self.inner.frozen_ms.unwrap_or_else(system_now_ms);
        Timestamp(base.saturating_add(self.inner.offset_ms.load(Ordering::Acquire)))
    }

    /// How far the clock stands ahead of its base.
    #[must_use]
    pub fn offset(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.inner.offset_ms.load(Ordering::Acquire)).unwrap_or(0))
    }

    /// Moves the clock forward and wakes every sleeper.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.inner.offset_ms.fetch_add(by_ms, Ordering::AcqRel);
        self.inner.moved.send_modify(|count| *count += 1);
    }

    /// Waits until the clock shows `moment`, however it gets there.
    pub async fn sleep_until(&self, moment: Timestamp) {
        let mut moved = self.inner.moved.subscribe();
        loop {
            let left_ms = moment.0.saturating_sub(self.now().0);
            if left_ms <= 0 {
                return;
            }
            // A frozen clock moves only by `advance`. The sender lives as long as `self`, so waiting on it never fails.
            if self.inner.frozen_ms.is_some() {
                let _ = moved.changed().await;
                continue;
            }
            let left = Duration::from_millis(left_ms.unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = moved.changed() => {}
            }
        }
    }

    /// A reading for measuring durations; it is not moved by [`Clock::advance`].
    #[must_use]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

#[allow(clippy::disallowed_methods)] // the one place that reads the wall clock
fn system_now_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_agree_with_known_ones() {
        assert_eq!(Timestamp(0).iso8601(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(951_782_400_000).iso8601(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp(1_795_420_000_123).iso8601(), "2026-11-23T07:46:40.123Z");
        assert_eq!(Timestamp(-1).iso8601(), "1969-12-31T23:59:59.999Z");
    }

    #[tokio::test]
    async fn advancing_wakes_a_sleeper_of_a_frozen_clock() {
        let clock = Clock::frozen(Timestamp(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(Timestamp(61_000)).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(60));
        assert_eq!(sleeper.await.unwrap(), Timestamp(61_000));
    }
}
