//! Numbers as patterns compare them: with a fixed count of digits after the point, within a range.

/// A number times ten to the dialect's digits: two numbers are equal if these are.
pub(crate) type Fixed = i64;

/// What a dialect makes of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    /// The largest value, and below zero the smallest.
    limit: f64,
    /// Ten to the number of digits after the point.
    scale: f64,
    /// The limit as the error says it.
    shown: &'static str,
}

/// EventBridge: -5.0e9 to 5.0e9 with six digits after the point.
pub(crate) const EVENT: Range = Range { limit: 5e9, scale: 1e6, shown: "5.0E9" };
/// SNS: -10^9 to 10^9 with five digits after the point.
pub(crate) const FILTER: Range = Range { limit: 1e9, scale: 1e5, shown: "1.0E9" };

impl Range {
    /// A number to compare, unless it is out of range.
    pub(crate) fn fixed(self, value: f64) -> Option<Fixed> {
        if value.is_nan() || value.abs() > self.limit {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 5e15, as the range says")]
        Some((value * self.scale).round() as Fixed)
    }

    /// The same from its text.
    pub(crate) fn read(self, text: &str) -> Option<Fixed> {
        self.fixed(text.parse().ok()?)
    }

    /// What is said of a number out of range.
    pub(crate) fn refusal(self) -> String {
        format!("Value must be between -{0} and {0}, inclusive", self.shown)
    }
}
