//! X-Ray's trace header: reading it, writing it, and what of it a function gets.
//!
//! A caller's `Root` is always kept, so that one request is one trace through all services. Nothing records segments
//! yet: a sampled request is marked as such for the function, its extensions and its REPORT line.
//!
//! Form: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.
//! Lambda's part: <https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html>.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base::Timestamp;

use super::lineage;
use crate::function::TracingMode;

/// A header is at most this long; AWS cuts longer ones off. In bytes.
const MAX_HEADER_BYTES: usize = 256;
/// Of the requests beyond the first of each second, X-Ray's default rule samples one in this many: 5 %.
const ONE_IN: u8 = 20;
/// The sampler remembers at most so many functions, then starts anew.
const MAX_REMEMBERED: usize = 10_000;

/// `X-Amzn-Trace-Id`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceHeader {
    /// `1-` seconds in 8 hexadecimal digits `-` 24 hexadecimal digits.
    root: String,
    /// 16 hexadecimal digits.
    parent: Option<String>,
    /// `None`: the caller leaves the decision to us.
    sampled: Option<bool>,
    /// The chain of Lambda functions that led here, see loop detection.
    lineage: Option<String>,
    /// What others put there, in its order.
    others: Vec<(String, String)>,
}

impl TraceHeader {
    /// Reads a header. `None` when it has no valid root: such a header is like none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_HEADER_BYTES {
            return None;
        }
        let mut header = TraceHeader {
            root: String::new(),
            parent: None,
            sampled: None,
            lineage: None,
            others: Vec::new(),
        };
        for part in text.split(';') {
            let Some((name, value)) = part.split_once('=') else { continue };
            let (name, value) = (name.trim(), value.trim());
            match name {
                "Root" if is_root(value) => value.clone_into(&mut header.root),
                "Parent" if is_hex(value, 16) => header.parent = Some(value.to_owned()),
                "Sampled" if value == "1" => header.sampled = Some(true),
                "Sampled" if value == "0" => header.sampled = Some(false),
                "Lineage" => header.lineage = Some(value.to_owned()),
                // What a load balancer calls itself is of no use behind it, and the rest above is malformed.
                "Root" | "Parent" | "Sampled" | "Self" => {}
                _ if value.bytes().chain(name.bytes()).all(|b| b.is_ascii_graphic()) => {
                    header.others.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
        (!header.root.is_empty()).then_some(header)
    }

    /// The header of a trace that begins here.
    pub(crate) fn fresh(now: Timestamp, sampled: bool) -> Self {
        let seconds = u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX);
        let [random, segment] = [(); 2].map(|()| *uuid::Uuid::new_v4().as_bytes());
        let mut root = String::with_capacity(35);
        root.push_str("1-");
        push_hex(&mut root, &seconds.to_be_bytes());
        root.push('-');
        push_hex(&mut root, &random[..12]);
        TraceHeader {
            root,
            parent: Some(hex(&segment[..8])),
            sampled: Some(sampled),
            lineage: None,
            others: Vec::new(),
        }
    }

    /// The header of an event that came without one: whether it is sampled is left to the attempt.
    pub(crate) fn of_event(mode: TracingMode, now: Timestamp) -> Self {
        let mut header = Self::fresh(now, false);
        if mode == TracingMode::Active {
            header.sampled = None;
        }
        header
    }

    /// The chain of functions that led here.
    pub(crate) fn lineage(&self) -> Option<&str> {
        self.lineage.as_deref()
    }

    /// With this chain of functions instead.
    pub(crate) fn with_lineage(mut self, lineage: impl Into<String>) -> Self {
        self.lineage = Some(lineage.into());
        self
    }
}

impl TraceHeader {
    /// The header as it is sent. Every request has one, so this is put together by hand.
    fn text(&self) -> String {
        let mut text = String::with_capacity(MAX_HEADER_BYTES);
        text.push_str("Root=");
        text.push_str(&self.root);
        if let Some(parent) = &self.parent {
            text.push_str(";Parent=");
            text.push_str(parent);
        }
        match self.sampled {
            Some(true) => text.push_str(";Sampled=1"),
            Some(false) => text.push_str(";Sampled=0"),
            None => {}
        }
        for (name, value) in &self.others {
            text.extend([";", name, "=", value]);
        }
        if let Some(lineage) = &self.lineage {
            text.push_str(";Lineage=");
            text.push_str(lineage);
        }
        text
    }
}

impl fmt::Display for TraceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The trace of one request, as the function and its extensions get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// `Lambda-Runtime-Trace-Id`.
    pub(crate) header: String,
    /// Only when the request is sampled.
    pub(crate) segment: Option<Segment>,
}

/// The function's segment of a sampled trace, for its REPORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) trace_id: String,
    pub(crate) segment_id: String,
}

impl Trace {
    /// What a function gets for a request with this header. With `Active` tracing the caller's decision on sampling
    /// counts, and without one `decide` does; with `PassThrough` nothing is decided here. The function joins the lineage.
    pub(crate) fn of_request(
        caller: Option<&str>,
        function_arn: &str,
        mode: TracingMode,
        now: Timestamp,
        decide: impl FnOnce() -> bool,
    ) -> Self {
        let header = caller.and_then(TraceHeader::parse);
        let mut header = match (header, mode) {
            (Some(header), TracingMode::PassThrough) => header,
            (Some(mut header), TracingMode::Active) => {
                header.sampled = Some(header.sampled.unwrap_or_else(decide));
                header
            }
            (None, TracingMode::PassThrough) => TraceHeader::fresh(now, false),
            (None, TracingMode::Active) => TraceHeader::fresh(now, decide()),
        };
        let mut segment = None;
        if header.sampled == Some(true) && mode == TracingMode::Active {
            let segment_id = new_segment();
            header.parent = Some(segment_id.clone());
            segment = Some(Segment { trace_id: header.root.clone(), segment_id });
        }
        let lineage = lineage::through(header.lineage(), function_arn);
        Trace { header: header.with_lineage(lineage).text(), segment }
    }
}

/// X-Ray's default rule, for requests without a caller's decision: the first of each second, and 5 % of the others.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// Per function, the second in which one was last sampled by the first half of the rule.
    seconds: Mutex<HashMap<Arc<str>, i64>>,
}

impl Sampler {
    /// Whether a request of this function is sampled.
    pub(crate) fn decide(&self, function: &Arc<str>, now: Timestamp) -> bool {
        let second = now.as_millis() / 1000;
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= MAX_REMEMBERED {
            seconds.clear();
        }
        let last = seconds.insert(Arc::clone(function), second);
        drop(seconds);
        last != Some(second) || uuid::Uuid::new_v4().as_bytes()[0].is_multiple_of(ONE_IN)
    }
}

fn new_segment() -> String {
    hex(&uuid::Uuid::new_v4().as_bytes()[..8])
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

fn is_root(text: &str) -> bool {
    let mut parts = text.split('-');
    let (version, time, random) = (parts.next(), parts.next(), parts.next());
    version == Some("1")
        && time.is_some_and(|time| is_hex(time, 8))
        && random.is_some_and(|random| is_hex(random, 24))
        && parts.next().is_none()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
    const NOW: Timestamp = Timestamp(1_795_420_000_123);

    fn of(caller: Option<&str>, mode: TracingMode, decide: bool) -> Trace {
        let mut trace = Trace::of_request(caller, "arn", mode, NOW, || decide);
        let lineage = trace.header.rfind(";Lineage=1:").expect("the function is in it");
        trace.header.truncate(lineage);
        trace
    }

    #[test]
    fn a_header_is_read_and_written() {
        let text = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a87bd80c:0");
        let header = TraceHeader::parse(&text).unwrap();
        assert_eq!(header.lineage(), Some("1:a87bd80c:0"));
        assert_eq!(header.to_string(), text);
        let spaced =
            format!("Self=1-67891234-12456789abcdef012345678; Root={ROOT}; CalledFrom=app ;Sampled=?");
        let header = TraceHeader::parse(&spaced).unwrap();
        assert_eq!(header.to_string(), format!("Root={ROOT};CalledFrom=app"));
        assert_eq!(
            header.with_lineage("2:b:1").to_string(),
            format!("Root={ROOT};CalledFrom=app;Lineage=2:b:1")
        );
        for bad in
            ["", "x", "Root=1-2-3", "Root=2-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8"]
        {
            assert_eq!(TraceHeader::parse(bad), None, "{bad}");
        }
        assert_eq!(TraceHeader::parse(&format!("Root={ROOT};{}", "x".repeat(256))), None);
    }

    #[test]
    fn pass_through_passes_on() {
        let text = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1");
        assert_eq!(of(Some(&text), TracingMode::PassThrough, true), Trace { header: text, segment: None });
        let fresh = of(None, TracingMode::PassThrough, true);
        assert!(fresh.header.starts_with("Root=1-6b03ef60-"), "{}", fresh.header);
        assert!(fresh.header.ends_with(";Sampled=0"));
        assert!(of(Some("garbage"), TracingMode::PassThrough, true).header.starts_with("Root=1-6b03ef60-"));
    }

    #[test]
    fn active_tracing_keeps_the_callers_decision_or_makes_one() {
        let active = |text: &str, decide| of(Some(text), TracingMode::Active, decide);
        let not = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=0");
        assert_eq!(active(&not, true), Trace { header: not, segment: None });
        let yes = active(&format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"), false);
        let segment = yes.segment.unwrap();
        assert_eq!(segment.trace_id, ROOT);
        assert_eq!(yes.header, format!("Root={ROOT};Parent={};Sampled=1", segment.segment_id));
        assert!(active(&format!("Root={ROOT}"), true).header.ends_with("Sampled=1"));
        assert!(active(&format!("Root={ROOT}"), false).header.ends_with("Sampled=0"));
        assert!(of(None, TracingMode::Active, true).segment.is_some());
    }

    #[test]
    fn the_first_request_of_a_second_is_sampled_and_few_of_the_others() {
        let sampler = Sampler::default();
        let function: Arc<str> = Arc::from("hello");
        assert!(sampler.decide(&function, NOW));
        let more = (0..2000).filter(|_| sampler.decide(&function, NOW)).count();
        assert!((20..300).contains(&more), "{more}");
        assert!(sampler.decide(&function, NOW.after(std::time::Duration::from_secs(1))));
        assert!(sampler.decide(&Arc::from("other"), NOW));
    }
}
