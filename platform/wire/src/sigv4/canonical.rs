//! The canonical request: the one form of a request that both sides sign.
//!
//! Defined by
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#create-canonical-request>.

use http::request::Parts;

use super::{PathForm, Signature};

/// The canonical request, ready to be hashed.
pub(super) fn request(
    signature: &Signature,
    parts: &Parts,
    payload_hash: &[u8],
    path_form: PathForm,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    match path_form {
        PathForm::EncodedTwice => path_encoded_twice(parts.uri.path(), &mut out),
        PathForm::AsSent => path_as_sent(parts.uri.path(), &mut out),
    }
    out.push(b'\n');
    query(parts.uri.query().unwrap_or(""), signature.is_presigned(), &mut out);
    out.push(b'\n');
    for name in signature.signed_headers.split(';') {
        header(name, parts, &mut out);
    }
    out.push(b'\n');
    out.extend_from_slice(signature.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash);
    out
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_unreserved(byte) {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// The path on the request line is encoded once already; here it is normalised and encoded again.
fn path_encoded_twice(path: &str, out: &mut Vec<u8>) {
    let mut kept: Vec<&str> = Vec::with_capacity(8);
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    for segment in &kept {
        out.push(b'/');
        segment.bytes().for_each(|byte| push_encoded(byte, out));
    }
    let ends_in_slash = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if kept.is_empty() || ends_in_slash {
        out.push(b'/');
    }
}

/// Decoded and encoded again, so that a client which encodes less than AWS's rules ask still agrees.
fn path_as_sent(path: &str, out: &mut Vec<u8>) {
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = next_decoded(rest, false) {
        // An encoded slash stays encoded: it is part of a segment.
        if byte == b'/' && rest[0] == b'/' {
            out.push(b'/');
        } else {
            push_encoded(byte, out);
        }
        rest = after;
    }
}

/// The next byte of a percent-encoded text and what follows it. A `%` that starts no escape stands for itself.
fn next_decoded(text: &[u8], plus_is_space: bool) -> Option<(u8, &[u8])> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match text {
        [] => None,
        [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Some((high << 4 | low, rest)),
            _ => Some((b'%', &text[1..])),
        },
        [b'+', rest @ ..] if plus_is_space => Some((b' ', rest)),
        [byte, rest @ ..] => Some((*byte, rest)),
    }
}

/// Name and value pairs, each encoded, sorted by name and then by value; a presigned request's signature left out.
fn query(query: &str, presigned: bool, out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let encode = |text: &str| {
        let mut encoded = Vec::with_capacity(text.len() + 8);
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = next_decoded(rest, true) {
            push_encoded(byte, &mut encoded);
            rest = after;
        }
        encoded
    };
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !(presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// `name:value\n`: values of repeated headers joined by commas, trimmed, runs of spaces made one.
fn header(name: &str, parts: &Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut first = true;
    for value in parts.headers.get_all(name) {
        if !first {
            out.push(b',');
        }
        first = false;
        trimmed(value.as_bytes(), out);
    }
    // HTTP/2 has no Host header; `:authority` stands for it.
    if first
        && name == "host"
        && let Some(authority) = parts.uri.authority()
    {
        out.extend_from_slice(authority.as_str().as_bytes());
    }
    out.push(b'\n');
}

fn trimmed(value: &[u8], out: &mut Vec<u8>) {
    let mut space_before = false;
    for &byte in value.trim_ascii() {
        let space = byte == b' ' || byte == b'\t';
        if !(space && space_before) {
            out.push(if space { b' ' } else { byte });
        }
        space_before = space;
    }
}
