//! What was measured: rows, series and remarks, as a table for people and as JSON for programs.
//!
//! The JSON is the one source of every number in `docs/performance.md`; its form is described there. A field is added
//! when it is needed; when the meaning of one changes, [`SCHEMA`] does.

use std::io::Write;
use std::path::Path;

use base::Clock;
use serde::{Deserialize, Serialize};

/// The version of the JSON's form.
const SCHEMA: u32 = 2;

/// Which way a number is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// Rates: at least the promise.
    Higher,
    /// Times and sizes: at most the promise.
    Lower,
}

/// One measured number, as medians over the repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) measure: String,
    pub(super) unit: String,
    pub(super) ours: f64,
    /// What the reference is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) versus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<f64>,
    /// Ours divided by the reference, round by round, then the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) promise: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) is_met: Option<bool>,
    /// The rounds, in order, of which `ours` and `reference` are the medians.
    pub(super) rounds: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reference_rounds: Vec<f64>,
}

impl Row {
    /// A number that stands alone.
    pub(super) fn alone(
        scenario: impl Into<String>,
        measure: impl Into<String>,
        unit: impl Into<String>,
        ours: &[f64],
    ) -> Self {
        Row {
            scenario: scenario.into(),
            measure: measure.into(),
            unit: unit.into(),
            ours: median(ours),
            versus: None,
            reference: None,
            ratio: None,
            promise: None,
            is_met: None,
            rounds: ours.to_vec(),
            reference_rounds: Vec::new(),
        }
    }

    /// The same number beside its reference; the slices hold the same rounds.
    pub(super) fn versus(mut self, name: impl Into<String>, reference: &[f64]) -> Self {
        let pairs = self.rounds.iter().zip(reference);
        let ratios: Vec<f64> = pairs.map(|(ours, reference)| ours / reference).collect();
        self.versus = Some(name.into());
        self.reference = Some(median(reference));
        self.ratio = Some(median(&ratios));
        self.reference_rounds = reference.to_vec();
        self
    }

    /// Adds what is promised of the ratio.
    pub(super) fn promised_ratio(self, better: Better, limit: f64) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.promise(better, ratio, limit, format!("{limit}x"))
    }

    /// Adds what is promised of the number itself.
    pub(super) fn promised(self, better: Better, limit: f64) -> Self {
        let (ours, text) = (self.ours, format!("{limit} {}", self.unit));
        self.promise(better, ours, limit, text)
    }

    fn promise(mut self, better: Better, value: f64, limit: f64, text: String) -> Self {
        let (sign, is_met) = match better {
            Better::Higher => (">=", value >= limit),
            Better::Lower => ("<=", value <= limit),
        };
        self.promise = Some(format!("{sign} {}", text.trim_end()));
        self.is_met = Some(is_met);
        self
    }

    fn is_finite(&self) -> bool {
        let all = [Some(self.ours), self.reference, self.ratio];
        let rounds = self.rounds.iter().chain(&self.reference_rounds);
        all.iter().flatten().chain(rounds).all(|value| value.is_finite())
    }

    /// The measure with its reference, for a table.
    pub(super) fn title(&self) -> String {
        match &self.versus {
            Some(versus) => format!("{}, vs {versus}", self.measure),
            None => self.measure.clone(),
        }
    }
}

/// A course of numbers, for a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) scenario: String,
    pub(super) name: String,
    /// What the first and the second number of a point are, with their units.
    pub(super) axes: (String, String),
    pub(super) points: Vec<(f64, f64)>,
}

/// Something to know of a scenario: what was not available, or failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Remark {
    pub(super) scenario: String,
    pub(super) text: String,
}

/// What came of one scenario.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) rows: Vec<Row>,
    pub(super) series: Vec<Series>,
    pub(super) notes: Vec<Remark>,
}

impl Findings {
    /// Remembers something to know.
    pub(super) fn note(&mut self, scenario: &str, text: impl Into<String>) {
        self.notes.push(Remark { scenario: scenario.to_owned(), text: text.into() });
    }
}

impl From<Vec<Row>> for Findings {
    fn from(rows: Vec<Row>) -> Self {
        Findings { rows, ..Findings::default() }
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

/// The value that `share` of all values do not exceed; 0 gives the smallest.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) processor: String,
    pub(super) memory_mib: u64,
    pub(super) kernel: String,
}

/// Everything that was measured, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) measured_at_ms: i64,
    /// What the server says of its version, and the commit of the checkout.
    pub(super) version: String,
    pub(super) machine: Machine,
    pub(super) repeats: usize,
    /// Short rounds, for a first look.
    pub(super) is_quick: bool,
    /// Whether the load client was compiled with optimisation; numbers taken without are no measurements.
    pub(super) is_optimised: bool,
    /// How many others wanted a processor when it began and ended (the system's load over a minute).
    pub(super) load_before: f64,
    pub(super) load_after: f64,
    pub(super) took_s: f64,
    pub(super) rows: Vec<Row>,
    pub(super) series: Vec<Series>,
    pub(super) notes: Vec<Remark>,
    /// Scenarios that ended with an error. Their numbers, if any, are not in `rows`.
    pub(super) failures: Vec<Remark>,
}

impl Report {
    /// An empty one.
    pub(super) fn begin(version: String, repeats: usize, is_quick: bool) -> Self {
        Report {
            schema: SCHEMA,
            measured_at_ms: Clock::system().now().as_millis(),
            version,
            machine: Machine {
                processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
                processor: processor(),
                memory_mib: memory_mib(),
                kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            },
            repeats,
            is_quick,
            is_optimised: !cfg!(debug_assertions),
            load_before: load(),
            ..Report::default()
        }
    }

    /// Takes in what came of a scenario.
    pub(super) fn add(&mut self, name: &str, outcome: Result<Findings, String>) {
        match outcome {
            Ok(findings) => {
                for row in findings.rows {
                    // JSON has no such number, and there is nothing to read from it.
                    if row.is_finite() {
                        self.rows.push(row);
                    } else {
                        self.notes.push(Remark {
                            scenario: row.scenario.clone(),
                            text: format!("no number: {}", row.title()),
                        });
                    }
                }
                self.series.extend(findings.series);
                self.notes.extend(findings.notes);
            }
            Err(text) => self.failures.push(Remark { scenario: name.to_owned(), text }),
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.load_after = load();
        self.took_s = (Clock::system().now().as_millis() - self.measured_at_ms) as f64 / 1000.0;
    }

    /// The table.
    pub(super) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\n{} processors ({}), {} repeats, load {:.1} before",
            self.machine.processors, self.machine.processor, self.repeats, self.load_before
        )?;
        if !self.is_optimised {
            writeln!(out, "The load client was compiled without optimisation: these are no measurements.")?;
        }
        let width = self.rows.iter().map(|row| row.title().len() + row.unit.len() + 3).max().unwrap_or(0);
        let header = format!(
            "{:<17} {:<width$} {:>10} {:>10} {:>7}  promise",
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
            let measure = format!("{} [{}]", row.title(), row.unit);
            writeln!(
                out,
                "{:<17} {measure:<width$} {:>10} {:>10} {ratio:>7}  {verdict}",
                row.scenario,
                number(row.ours),
                shown(row.reference)
            )?;
        }
        for (kind, remarks) in [("note", &self.notes), ("FAILED", &self.failures)] {
            for remark in remarks {
                writeln!(out, "{kind}: {}: {}", remark.scenario, remark.text)?;
            }
        }
        Ok(())
    }

    /// The same as a file.
    pub(super) fn write_json(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What an earlier run wrote.
    pub(super) fn read_json(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let report: Report = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if report.schema == SCHEMA { Ok(report) } else { Err(wrong(&"it has another schema")) }
    }
}

/// A number with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |line| line.trim_start_matches([':', ' ', '\t'])).to_owned()
}

fn memory_mib() -> u64 {
    super::process::meminfo_kib("MemTotal").unwrap_or(0) / 1024
}

/// The system's load over the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), 2.5);
        let row = Row::alone("s", "m", "1/s", &[10.0, 90.0, 20.0]).versus("r", &[10.0, 10.0, 10.0]);
        assert_eq!((row.ours, row.ratio, row.title().as_str()), (20.0, Some(2.0), "m, vs r"));
        let promised = row.clone().promised_ratio(Better::Higher, 1.5);
        assert_eq!((promised.promise.as_deref(), promised.is_met), (Some(">= 1.5x"), Some(true)));
        let promised = row.promised(Better::Higher, 30.0);
        assert_eq!((promised.promise.as_deref(), promised.is_met), (Some(">= 30 1/s"), Some(false)));
    }

    #[test]
    fn quantiles() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let of = |share| quantile(&values, share);
        assert_eq!((of(0.0), of(0.5), of(0.9), of(1.0)), (1.0, 3.0, 5.0, 5.0));
    }

    #[test]
    fn a_failure_hides_nothing_else_and_the_file_can_be_read_again() {
        let mut report = Report::begin("v".to_owned(), 1, true);
        report.add("a", Ok(vec![Row::alone("a", "m", "ms", &[1.0])].into()));
        report.add("a", Ok(vec![Row::alone("a", "m", "ms", &[])].into()));
        report.add("b", Err("broken".to_owned()));
        report.end();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        report.write_json(&path).unwrap();
        let read = Report::read_json(&path).unwrap();
        assert_eq!((read.rows.len(), read.notes.len(), read.failures.len()), (1, 1, 1));
        assert_eq!(read, report);
    }
}
