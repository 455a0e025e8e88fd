//! `docs/performance.md` and its plots, made from the numbers of a run: nobody copies a number by hand.
//!
//! `docs/performance/numbers.json` holds the run. The page is made anew from it by
//! `cargo xtask bench --from docs/performance/numbers.json --write-docs`.

mod svg;
mod text;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base::Timestamp;

use self::svg::{Bars, Lines};
use self::text::{SECTIONS, Section};
use super::report::{Remark, Report, Row, number};
use crate::tools::{Outcome, say};

const FOLDER: &str = "performance";

/// Writes the page, the plots and the numbers below the folder `docs`.
pub(super) fn write(report: &Report, docs: &Path) -> Outcome {
    let folder = docs.join(FOLDER);
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(wrong)?;
    }
    fs::create_dir_all(&folder).map_err(wrong)?;
    report.write_json(&folder.join("numbers.json"))?;
    for (name, plot) in plots(report) {
        fs::write(folder.join(format!("{name}.svg")), plot).map_err(wrong)?;
    }
    let path = docs.join("performance.md");
    fs::write(&path, page(report)).map_err(|error| format!("{}: {error}", path.display()))?;
    say(&format!("{} is written", path.display()));
    Ok(())
}

/// The page.
fn page(report: &Report) -> String {
    let mut page = String::from(text::BEGINNING);
    page += &about(report);
    let has_numbers = |section: &&Section| report.rows.iter().any(|row| row.scenario == section.scenario);
    for section in SECTIONS.iter().filter(has_numbers) {
        let _ = writeln!(page, "\n## {}\n\n{}", section.title, section.text);
        for plot in section.plots.iter().filter(|plot| drawn(plot, report).is_some()) {
            let _ = writeln!(page, "\n![{}]({FOLDER}/{}.svg)", plot.title, plot.name);
        }
        page += &table(report.rows.iter().filter(|row| row.scenario == section.scenario));
        page += &remarks(&report.notes, section.scenario);
    }
    page += &missing(report);
    page += text::END;
    page
}

/// When, where, and how the rest of the machine was.
fn about(report: &Report) -> String {
    let machine = &report.machine;
    let (year, month, day, hour, minute, ..) = Timestamp(report.measured_at_ms).civil();
    let mut about = format!(
        "\n## This run\n\n\
         - {year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC, {}, {} rounds{}, {:.0} minutes.\n\
         - {} processors ({}), {:.1} GiB of memory, Linux {}.\n\
         - Load of the machine before {:.1}, after {:.1} (a quiet machine begins near 0).\n",
        report.version,
        report.repeats,
        if report.is_quick { ", short ones" } else { "" },
        (report.took_s / 60.0).ceil(),
        machine.processors,
        machine.processor,
        machine.memory_mib as f64 / 1024.0,
        machine.kernel,
        report.load_before,
        report.load_after,
    );
    if !report.is_optimised {
        about += "- **The load client was compiled without optimisation: these are no measurements.**\n";
    }
    if report.load_before > machine.processors as f64 / 2.0 {
        about += "- **The machine was busy with other work: read ratios as hints, and times as nothing at all.**\n";
    }
    let promised: Vec<&Row> = report.rows.iter().filter(|row| row.is_met.is_some()).collect();
    let met = promised.iter().filter(|row| row.is_met == Some(true)).count();
    let _ = writeln!(about, "- {met} of {} promises are met.", promised.len());
    about
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut table =
        "\n| measure | unit | ours | reference | ratio | promise |\n| --- | --- | ---: | ---: | ---: | --- |\n"
            .to_owned();
    for row in rows {
        let reference = row.reference.map(number).unwrap_or_default();
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2}x")).unwrap_or_default();
        let promise = match (&row.promise, row.is_met) {
            (Some(promise), Some(true)) => format!("{promise}: met"),
            (Some(promise), _) => format!("{promise}: **not met**"),
            _ => String::new(),
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {reference} | {ratio} | {promise} |",
            row.title(),
            row.unit,
            number(row.ours)
        );
    }
    table
}

fn remarks(all: &[Remark], scenario: &str) -> String {
    let mut text = String::new();
    for remark in all.iter().filter(|remark| remark.scenario == scenario) {
        // A remark may hold what a program printed.
        let line = remark.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "\nNote: {line}");
    }
    text
}

/// What has no section of its own because it gave no numbers.
fn missing(report: &Report) -> String {
    let has_rows = |remark: &&Remark| report.rows.iter().any(|row| row.scenario == remark.scenario);
    let silent: Vec<&Remark> = report.notes.iter().filter(|remark| !has_rows(remark)).collect();
    if silent.is_empty() && report.failures.is_empty() {
        return String::new();
    }
    let mut text = "\n## Without numbers\n\n".to_owned();
    for (remark, what) in silent
        .iter()
        .map(|remark| (*remark, ""))
        .chain(report.failures.iter().map(|remark| (remark, "failed: ")))
    {
        let line = remark.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "- `{}`: {what}{line}", remark.scenario);
    }
    text
}

/// A plot of a section.
struct Plot {
    /// Of its file.
    name: &'static str,
    title: &'static str,
    shown: Shown,
}

enum Shown {
    /// Measures of scenarios, by the end of their names; what precedes it names the group.
    Bars { scenarios: &'static [&'static str], measure: &'static str, groups: &'static [&'static str] },
    /// Every series of a scenario.
    Lines { scenario: &'static str },
}

fn plots(report: &Report) -> Vec<(&'static str, String)> {
    let plots = SECTIONS.iter().flat_map(|section| section.plots);
    plots.filter_map(|plot| Some((plot.name, drawn(plot, report)?))).collect()
}

fn drawn(plot: &Plot, report: &Report) -> Option<String> {
    match &plot.shown {
        Shown::Bars { scenarios, measure, groups } => {
            let rows = report.rows.iter().filter(|row| scenarios.contains(&row.scenario.as_str()));
            bars(plot.title, rows, measure, groups).draw()
        }
        Shown::Lines { scenario } => {
            let series = || report.series.iter().filter(|series| series.scenario == *scenario);
            let (x, y) = series().next()?.axes.clone();
            let lines = series().map(|series| (series.name.clone(), series.points.clone())).collect();
            Lines { title: plot.title.to_owned(), x, y, lines }.draw()
        }
    }
}

/// The group of a row is what precedes the measure in its name. Without `groups` all are shown.
fn bars<'a>(title: &str, rows: impl Iterator<Item = &'a Row>, measure: &str, groups: &[&str]) -> Bars {
    let mut bars = Bars { title: title.to_owned(), unit: String::new(), groups: Vec::new() };
    for row in rows {
        let Some(group) = row.measure.strip_suffix(measure).map(str::trim) else { continue };
        // Against ourselves, or against nothing: not for a comparison.
        let Some((versus, reference)) = row.versus.as_ref().zip(row.reference) else { continue };
        if versus.starts_with("our ") || !(groups.is_empty() || groups.contains(&group)) {
            continue;
        }
        let group = match row.scenario.as_str() {
            "snapstart" => format!("{group}, SnapStart"),
            _ => group.to_owned(),
        };
        row.unit.clone_into(&mut bars.unit);
        let bar = (versus.clone(), reference);
        match bars.groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, list)) => list.push(bar),
            None => bars.groups.push((group, vec![("ours".to_owned(), row.ours), bar])),
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let mut report = Report::begin("v".to_owned(), 1, true);
        let row = |name: &str| Row::alone("cold", name, "ms", &[20.0]);
        let rows = vec![
            row("Python p50").versus("bare client", &[10.0]),
            row("Python p50").versus("bare interpreter", &[5.0]),
            row("Node.js p50").versus("bare client", &[40.0]),
            row("Python p50").versus("pools off", &[7.0]),
            row("Node.js p90").versus("bare client", &[50.0]),
        ];
        report.add("cold", Ok(rows.into()));
        report.add("async", Err("it\nbroke".to_owned()));
        report.end();
        report
    }

    #[test]
    fn the_page_has_the_numbers_the_plots_and_the_failures() {
        let folder = tempfile::tempdir().unwrap();
        write(&sample(), folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("performance.md")).unwrap();
        assert!(page.contains("| Python p50, vs bare client | ms | 20.0 | 10.0 | 2.00x |  |"), "{page}");
        assert!(page.contains("(performance/cold.svg)") && page.contains("- `async`: failed: it broke"));
        assert!(folder.path().join("performance/cold.svg").exists());
        assert!(!folder.path().join("performance/warm-1.svg").exists(), "nothing was measured for it");
    }

    #[test]
    fn every_scenario_is_on_the_page() {
        for (name, _) in super::super::SCENARIOS {
            assert!(SECTIONS.iter().any(|section| section.scenario == name), "{name}");
        }
    }

    #[test]
    fn bars_are_grouped_by_what_precedes_the_measure() {
        let report = sample();
        let bars = bars("t", report.rows.iter(), "p50", &[]);
        let names: Vec<&str> = bars.groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, bars.groups[0].1.len()), (vec!["Python", "Node.js"], 4));
    }
}
