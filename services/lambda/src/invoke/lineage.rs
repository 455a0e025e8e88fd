//! The chain of functions that a request came through, and when it goes round in circles.
//!
//! It travels in the trace header, which AWS's SDKs inside a function send along with their calls:
//! `Lineage=3:0f3c1a2b:1|77aa00c2:0` says that this is the third function in the chain, that the function with the first
//! hash was passed twice before or at it (it counts from 0), and the other one once. A function that the same chain has
//! passed 16 times is not invoked again, unless its configuration allows it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::trace::TraceHeader;
use crate::aspects::Aspect;

/// A chain passes a function this often, and not once more.
const MAX_PASSES: u32 = 16;
/// A header has room for so many functions; a chain of more forgets those that it passed first.
const MAX_FUNCTIONS: usize = 8;

/// What a function wants done about loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecursiveLoop {
    /// Nothing.
    Allow,
    /// A chain that passed it 16 times ends.
    #[default]
    Terminate,
}

impl Aspect for RecursiveLoop {
    const KIND: &'static str = "recursion";
}

impl RecursiveLoop {
    /// AWS's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            RecursiveLoop::Allow => "Allow",
            RecursiveLoop::Terminate => "Terminate",
        }
    }
}

/// Whether a chain with this header has passed the function as often as it may.
pub(crate) fn is_loop(trace_header: Option<&str>, function_arn: &str) -> bool {
    // Most requests have no header, and most headers no lineage: these cost nothing.
    let Some(text) = trace_header.filter(|text| text.contains("Lineage=")) else { return false };
    let Some(header) = TraceHeader::parse(text) else { return false };
    passes(header.lineage(), function_arn) >= MAX_PASSES
}

/// How often the chain has passed the function.
fn passes(lineage: Option<&str>, function_arn: &str) -> u32 {
    let hash = hash(function_arn);
    Chain::parse(lineage).links.iter().find(|link| link.hash == hash).map_or(0, |link| link.count + 1)
}

/// The chain as it goes on from the function.
pub(crate) fn through(lineage: Option<&str>, function_arn: &str) -> String {
    let mut chain = Chain::parse(lineage);
    let hash = hash(function_arn);
    match chain.links.iter_mut().find(|link| link.hash == hash) {
        Some(link) => link.count = link.count.saturating_add(1),
        None => {
            if chain.links.len() >= MAX_FUNCTIONS {
                chain.links.remove(0);
            }
            chain.links.push(Link { hash, count: 0 });
        }
    }
    chain.length = chain.length.saturating_add(1);
    chain.text()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Chain {
    length: u32,
    links: Vec<Link>,
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    hash: u32,
    count: u32,
}

impl Chain {
    /// What makes no sense counts as no chain: a lineage is a protection, and a client that breaks its own is free to.
    fn parse(lineage: Option<&str>) -> Self {
        let Some(lineage) = lineage else { return Chain::default() };
        let mut chain = Chain::default();
        for (at, part) in lineage.split('|').enumerate() {
            let mut fields = part.rsplit(':');
            let count = fields.next().and_then(|count| count.parse().ok());
            let hash = fields.next().and_then(|hash| u32::from_str_radix(hash, 16).ok());
            let (Some(count), Some(hash)) = (count, hash) else { return Chain::default() };
            if at == 0 {
                chain.length = fields.next().and_then(|length| length.parse().ok()).unwrap_or(0);
            }
            chain.links.push(Link { hash, count });
        }
        chain
    }

    fn text(&self) -> String {
        let mut text = format!("{}:", self.length);
        for (at, link) in self.links.iter().enumerate() {
            let bar = if at == 0 { "" } else { "|" };
            // Writing into a string cannot fail.
            let _ = write!(text, "{bar}{:08x}:{}", link.hash, link.count);
        }
        text
    }
}

/// FNV-1a: short, the same on every host, and no secret.
fn hash(function_arn: &str) -> u32 {
    function_arn.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "arn:aws:lambda:us-east-1:000000000000:function:me";
    const OTHER: &str = "arn:aws:lambda:us-east-1:000000000000:function:other";
    const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0";

    #[test]
    fn a_chain_grows_link_by_link() {
        let first = through(None, ME);
        assert_eq!(first, format!("1:{:08x}:0", hash(ME)));
        let second = through(Some(&first), OTHER);
        assert_eq!(second, format!("2:{:08x}:0|{:08x}:0", hash(ME), hash(OTHER)));
        let third = through(Some(&second), ME);
        assert_eq!(third, format!("3:{:08x}:1|{:08x}:0", hash(ME), hash(OTHER)));
        assert_eq!((passes(Some(&third), ME), passes(Some(&third), OTHER)), (2, 1));
    }

    #[test]
    fn sixteen_passes_are_allowed_and_no_more() {
        let mut lineage = None;
        for pass in 0..16 {
            let header = lineage.as_ref().map(|lineage| format!("{ROOT};Lineage={lineage}"));
            assert!(!is_loop(header.as_deref(), ME), "pass {pass}");
            lineage = Some(through(lineage.as_deref(), ME));
        }
        let header = format!("{ROOT};Lineage={}", lineage.unwrap());
        assert!(is_loop(Some(&header), ME));
        assert!(!is_loop(Some(&header), OTHER));
    }

    #[test]
    fn a_long_chain_fits_into_a_header() {
        let mut lineage = String::new();
        for round in 0..1000 {
            lineage = through(Some(&lineage), &format!("{ME}{}", round % 20));
        }
        assert!(lineage.len() < 160, "{lineage}");
        assert!(TraceHeader::parse(&format!("{ROOT};Lineage={lineage}")).is_some());
    }

    #[test]
    fn nonsense_is_no_chain() {
        for lineage in ["", "x", "1:2", "a:b:c", "1:zz:3", "::::", "1:00000000:99999999999999"] {
            assert_eq!(passes(Some(lineage), ME), 0, "{lineage}");
            assert!(!through(Some(lineage), ME).is_empty());
        }
        assert!(!is_loop(Some("Lineage=17:00000000:20"), ME));
        assert_eq!(passes(Some(&format!("{:08x}:4", hash(ME))), ME), 5, "without a length, as it once was");
    }
}
