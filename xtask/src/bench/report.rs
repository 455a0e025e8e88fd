//! What was measured, as a table for people and as JSON for programs.

use std::io::Write;
use std::path::Path;

use base::Clock;
use serde::Serialize;

/// Which way a ratio is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// Rates: ours over the reference, at least the promise.
    Higher,
    /// Times and sizes: at most the promise.
    Lower,
}

/// One measured number, as medians over the repeats.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) measure: String,
    pub(super) unit: &'static str,
    pub(super) ours: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<f64>,
    /// Ours divided by the reference, round by round, then the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_met: Option<bool>,
}

impl Row {
    /// A number that stands alone.
    pub(super) fn alone(
        scenario: &'static str,
        measure: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
    ) -> Self {
        Row {
            scenario,
            measure: measure.into(),
            unit,
            ours: median(ours),
            reference: None,
            ratio: None,
            promise: None,
            is_met: None,
        }
    }

    /// A number beside its reference; the two slices hold the same rounds.
    pub(super) fn beside(
        scenario: &'static str,
        measure: impl Into<String>,
        unit: &'static str,
        (ours, reference): (&[f64], &[f64]),
    ) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(reference).map(|(ours, reference)| ours / reference).collect();
        Row {
            reference: Some(median(reference)),
            ratio: Some(median(&ratios)),
            ..Row::alone(scenario, measure, unit, ours)
        }
    }

    /// Adds what is promised: about the ratio where there is one, else about the number itself.
    pub(super) fn promised(mut self, better: Better, limit: f64) -> Self {
        let (value, unit) = match self.ratio {
            Some(ratio) => (ratio, "x"),
            None => (self.ours, self.unit),
        };
        let (sign, is_met) = match better {
            Better::Higher => (">=", value >= limit),
            Better::Lower => ("<=", value <= limit),
        };
        self.promise = Some(format!("{sign} {limit}{}{unit}", if unit == "x" { "" } else { " " }));
        self.is_met = Some(is_met);
        self
    }
}

/// The middle value; of an even number of values, the mean of the middle two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    measured_at_ms: i64,
    processors: usize,
    processor: String,
    repeats: usize,
    /// How many others wanted a processor when it began and ended (the system's load over a minute).
    load_before: f64,
    load_after: f64,
    rows: &'a [Row],
}

/// Everything that was measured, and how.
pub(super) struct Measured {
    pub(super) rows: Vec<Row>,
    pub(super) repeats: usize,
    pub(super) load_before: f64,
}

impl Measured {
    /// The table.
    pub(super) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\n{} processors ({}), {} repeats, load {:.1} before",
            processors(),
            processor(),
            self.repeats,
            self.load_before
        )?;
        let header = format!(
            "{:<9} {:<38} {:>10} {:>10} {:>7}  promise",
            "scenario", "measure", "ours", "reference", "ratio"
        );
        writeln!(out, "{header}\n{}", "-".repeat(header.len() + 16))?;
        for row in &self.rows {
            let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
            let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"));
            let verdict = match (&row.promise, row.is_met) {
                (Some(promise), Some(true)) => format!("{promise}  met"),
                (Some(promise), _) => format!("{promise}  NOT MET"),
                _ => String::new(),
            };
            let measure = format!("{} [{}]", row.measure, row.unit);
            writeln!(
                out,
                "{:<9} {measure:<38} {:>10} {:>10} {ratio:>7}  {verdict}",
                row.scenario,
                number(row.ours),
                shown(row.reference)
            )?;
        }
        Ok(())
    }

    /// The same as a file.
    pub(super) fn write_json(&self, path: &Path) -> Result<(), String> {
        let report = Report {
            measured_at_ms: Clock::system().now().as_millis(),
            processors: processors(),
            processor: processor(),
            repeats: self.repeats,
            load_before: self.load_before,
            load_after: load(),
            rows: &self.rows,
        };
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |line| line.trim_start_matches([':', ' ', '\t'])).to_owned()
}

/// The system's load over the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), 2.5);
        let row = Row::beside("s", "m", "1/s", (&[10.0, 90.0, 20.0], &[10.0, 10.0, 10.0]));
        assert_eq!((row.ours, row.ratio), (20.0, Some(2.0)));
        let promised = row.promised(Better::Higher, 1.5);
        assert_eq!((promised.promise.as_deref(), promised.is_met), (Some(">= 1.5x"), Some(true)));
        let alone = Row::alone("s", "m", "ms", &[60.0]).promised(Better::Lower, 50.0);
        assert_eq!((alone.promise.as_deref(), alone.is_met), (Some("<= 50 ms"), Some(false)));
    }
}
