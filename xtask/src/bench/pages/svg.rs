//! Plots as SVG: horizontal bars in groups, and lines. Readable on light and dark pages alike.
//!
//! No general library: as much as `docs/performance.md` needs. Text is escaped, numbers have one decimal place.

use std::fmt::Write as _;

use super::super::report::number;

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 12.0;
/// Room for the names of groups, and for the numbers behind the bars.
const NAMES: f64 = 190.0;
const NUMBERS: f64 = 90.0;
const BAR: f64 = 15.0;
const GROUP_GAP: f64 = 14.0;
const HEAD: f64 = 58.0;
/// The area of a plot with lines.
const LINES_HEIGHT: f64 = 280.0;

/// Middle tones, which stand out from white and from black; the same name has the same one in every plot.
const COLOURS: [(&str, &str); 7] = [
    ("ours", "#d9822b"),
    ("bare client", "#4c8dca"),
    ("bare loop", "#4c8dca"),
    ("serverless-offline", "#5aa469"),
    ("emulator", "#9b6bc3"),
    ("bare interpreter", "#8a97a6"),
    ("pools off", "#c0626b"),
];
const OTHER_COLOUR: &str = "#7d8590";

const STYLE: &str = "<style>\
text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-weight:600;font-size:15px}\
.grid{stroke:#d0d7de;stroke-width:1}\
.line{fill:none;stroke-width:2.5}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}}\
</style>";

/// Bars beside one another.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) unit: String,
    /// The name of each group, and its bars: who, and how much.
    pub(super) groups: Vec<(String, Vec<(String, f64)>)>,
}

/// Courses over one axis.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Bars {
    /// The plot, or nothing when there is nothing to show.
    pub(super) fn draw(&self) -> Option<String> {
        let values = self.groups.iter().flat_map(|(_, bars)| bars.iter().map(|bar| bar.1));
        let most = values.fold(0.0, f64::max);
        if most <= 0.0 {
            return None;
        }
        let mut who: Vec<&str> = Vec::new();
        for (name, _) in self.groups.iter().flat_map(|(_, bars)| bars) {
            if !who.contains(&name.as_str()) {
                who.push(name);
            }
        }
        let bars: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        let height = HEAD + bars as f64 * (BAR + 2.0) + self.groups.len() as f64 * GROUP_GAP + MARGIN;
        let mut page = Page::new(height, &format!("{} [{}]", self.title, self.unit));
        page.legend(&who);
        let left = MARGIN + NAMES;
        let scale = (WIDTH - left - NUMBERS) / most;
        let mut top = HEAD + GROUP_GAP / 2.0;
        for (name, bars) in &self.groups {
            let middle = top + bars.len() as f64 * (BAR + 2.0) / 2.0 + 4.0;
            page.text(left - 8.0, middle, "end", name);
            for (owner, value) in bars {
                let colour = colour(owner);
                page.bar(left, top, (value * scale).max(1.0), colour);
                page.text(left + value * scale + 6.0, top + BAR - 3.0, "start", &number(*value));
                top += BAR + 2.0;
            }
            top += GROUP_GAP;
        }
        Some(page.end())
    }
}

impl Lines {
    /// The plot, or nothing when there is nothing to show.
    pub(super) fn draw(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().copied());
        let most_x = step_above(points().map(|point| point.0).fold(0.0, f64::max))?;
        let most_y = step_above(points().map(|point| point.1).fold(0.0, f64::max))?;
        let mut page = Page::new(HEAD + LINES_HEIGHT + 48.0, &format!("{} [{}]", self.title, self.y));
        let who: Vec<&str> = self.lines.iter().map(|(name, _)| name.as_str()).collect();
        page.legend(&who);
        let (left, top, bottom) = (MARGIN + 56.0, HEAD + 10.0, HEAD + LINES_HEIGHT);
        let right = WIDTH - MARGIN - 20.0;
        let at = |(x, y): (f64, f64)| {
            (left + x / most_x.1 * (right - left), bottom - y / most_y.1 * (bottom - top))
        };
        for mark in marks(most_y) {
            let (_, y) = at((0.0, mark));
            page.grid(left, y, right);
            page.text(left - 8.0, y + 4.0, "end", &plain(mark));
        }
        for mark in marks(most_x) {
            page.text(at((mark, 0.0)).0, bottom + 18.0, "middle", &plain(mark));
        }
        page.text(f64::midpoint(left, right), bottom + 38.0, "middle", &self.x);
        for (name, points) in &self.lines {
            page.line(&points.iter().map(|point| at(*point)).collect::<Vec<_>>(), colour(name));
        }
        Some(page.end())
    }
}

/// A step of 1, 2 or 5 with a power of ten that gives three to six marks, and the last mark, at or above `most`.
fn step_above(most: f64) -> Option<(f64, f64)> {
    if !most.is_finite() || most <= 0.0 {
        return None;
    }
    let power = 10_f64.powf((most / 6.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| most / step <= 6.0)?;
    Some((step, (most / step).ceil() * step))
}

fn marks((step, last): (f64, f64)) -> impl Iterator<Item = f64> {
    let count = (last / step).round() as usize;
    (0..=count).map(move |mark| mark as f64 * step)
}

/// A mark at an axis.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn colour(name: &str) -> &'static str {
    COLOURS.iter().find(|(known, _)| *known == name).map_or(OTHER_COLOUR, |(_, colour)| colour)
}

struct Page {
    text: String,
}

// Writing to a string cannot fail, so the outcomes of `write!` are not looked at.
impl Page {
    fn new(height: f64, title: &str) -> Self {
        let mut page = Page { text: String::new() };
        let _ = write!(
            page.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n{STYLE}\n"
        );
        let _ =
            writeln!(page.text, "<text class=\"title\" x=\"{MARGIN}\" y=\"22\">{}</text>", escaped(title));
        page
    }

    fn legend(&mut self, who: &[&str]) {
        let mut left = MARGIN;
        for name in who {
            let colour = colour(name);
            let _ = writeln!(
                self.text,
                "<rect x=\"{left:.1}\" y=\"34\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>"
            );
            self.text(left + 17.0, 45.0, "start", name);
            // As wide as letters of this size are, by and large.
            left += 17.0 + name.len() as f64 * 7.2 + 18.0;
        }
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(self.text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, colour: &str) {
        let _ = writeln!(
            self.text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR:.1}\" rx=\"2\" fill=\"{colour}\"/>"
        );
    }

    fn grid(&mut self, left: f64, y: f64, right: f64) {
        let _ = writeln!(
            self.text,
            "<line class=\"grid\" x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\"/>"
        );
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(self.text, "<polyline class=\"line\" stroke=\"{colour}\" points=\"{points}\"/>");
    }

    fn end(mut self) -> String {
        self.text += "</svg>\n";
        self.text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_are_drawn_and_nothing_is_not() {
        let group = ("a < b".to_owned(), vec![("ours".to_owned(), 3.0), ("theirs".to_owned(), 6.0)]);
        let mut bars = Bars { title: "t".to_owned(), unit: "ms".to_owned(), groups: vec![group] };
        let drawn = bars.draw().unwrap();
        assert!(drawn.contains("a &lt; b") && drawn.matches("<rect").count() == 4);
        bars.groups.clear();
        assert!(bars.draw().is_none());
        let line = ("ours".to_owned(), vec![(0.0, 1.0), (10.0, 40.0)]);
        let lines = Lines { title: "t".to_owned(), x: "x".to_owned(), y: "y".to_owned(), lines: vec![line] };
        assert!(lines.draw().unwrap().contains("polyline"));
    }

    #[test]
    fn axes_have_round_marks() {
        assert_eq!(step_above(37.0), Some((10.0, 40.0)));
        assert_eq!(step_above(6.0), Some((1.0, 6.0)));
        assert_eq!(step_above(1300.0), Some((500.0, 1500.0)));
        assert_eq!(step_above(0.0), None);
        assert_eq!(marks((0.5, 1.5)).map(plain).collect::<Vec<_>>(), ["0", "0.5", "1", "1.5"]);
    }
}
