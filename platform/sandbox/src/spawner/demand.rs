//! How many half-built boxes to keep: as many as lately came at once.
//!
//! It counts launches in short windows and remembers the highest count for a while, halving it each time that has
//! passed. A quiet server keeps none.

use std::time::{Duration, Instant};

/// Launches within this time need boxes at the same time: about as long as it takes to build some more.
const WINDOW: Duration = Duration::from_millis(500);
/// After so long without a busier moment the memory of one fades.
const MEMORY: Duration = Duration::from_secs(120);
/// When anything was launched lately.
const LEAST: u32 = 2;
/// Each costs some memory; and what comes beyond them is built on all processors at once.
const MOST: u32 = 16;

/// What was asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    window: Option<(Instant, u32)>,
    /// The busiest window, and since when nothing was busier.
    peak: Option<(u32, Instant)>,
}

impl Demand {
    /// A launch came.
    pub(crate) fn note(&mut self, now: Instant) {
        let count = match self.window {
            Some((begin, count)) if now.duration_since(begin) < WINDOW => {
                self.window = Some((begin, count + 1));
                count + 1
            }
            _ => {
                self.window = Some((now, 1));
                1
            }
        };
        self.fade(now);
        if self.peak.is_none_or(|(peak, _)| count >= peak) {
            self.peak = Some((count, now));
        }
    }

    /// How many boxes to have ready.
    pub(crate) fn wanted(&mut self, now: Instant) -> usize {
        self.fade(now);
        self.peak.map_or(0, |(peak, _)| peak.clamp(LEAST, MOST) as usize)
    }

    /// When fewer may be wanted; `None` when none are.
    pub(crate) fn fades_at(&self) -> Option<Instant> {
        self.peak.map(|(_, since)| since + MEMORY)
    }

    fn fade(&mut self, now: Instant) {
        while let Some((peak, since)) = self.peak.filter(|(_, since)| now.duration_since(*since) >= MEMORY) {
            self.peak = (peak > 1).then(|| ((peak / 2).min(MOST), since + MEMORY));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_bursts_and_forgets_them() {
        let (mut demand, start) = (Demand::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((demand.wanted(start), demand.fades_at()), (0, None));
        demand.note(start);
        assert_eq!(demand.wanted(start), 2);
        assert_eq!(demand.wanted(at(119)), 2);
        assert_eq!((demand.wanted(at(120)), demand.fades_at()), (0, None));
        for _ in 0..8 {
            demand.note(at(200));
        }
        demand.note(at(210));
        assert_eq!(demand.wanted(at(319)), 8);
        assert_eq!(demand.fades_at(), Some(at(320)));
        assert_eq!((demand.wanted(at(320)), demand.wanted(at(440)), demand.wanted(at(560))), (4, 2, 2));
        assert_eq!(demand.wanted(at(680)), 0);
        for _ in 0..1000 {
            demand.note(at(700));
        }
        assert_eq!((demand.wanted(at(701)), demand.wanted(at(820))), (16, 16));
        assert_eq!(demand.wanted(at(940)), 8);
    }
}
