//! Where a signature stands: the `Authorization` header, or the query of a presigned request.
//!
//! It refuses what is malformed with AWS's words and checks nothing against a key.

use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::{AuthError, MAX_PRESIGNED_S, Signature, time};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

pub(super) fn find(parts: &Parts) -> Result<Option<Signature>, AuthError> {
    if let Some(header) = parts.headers.get(http::header::AUTHORIZATION) {
        let text = header
            .to_str()
            .map_err(|_| AuthError::Incomplete("Authorization header is not ASCII text.".to_owned()))?;
        return from_header(text, parts).map(Some);
    }
    match parts.uri.query() {
        Some(query) if is_presigned(query) => from_query(query, parts).map(Some),
        _ => Ok(None),
    }
}

fn is_presigned(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        matches!(name, "X-Amz-Algorithm" | "X-Amz-Signature" | "X-Amz-Credential")
    })
}

fn header_text(parts: &Parts, name: &str) -> Option<String> {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned())
}

fn from_header(text: &str, parts: &Parts) -> Result<Signature, AuthError> {
    let (algorithm, fields) = text.split_once(' ').unwrap_or((text, ""));
    if algorithm != ALGORITHM {
        return Err(AuthError::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        match field.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            Some(_) => {}
            None => {
                return Err(AuthError::Incomplete(format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization header: '{text}'.",
                    field.trim()
                )));
            }
        }
    }
    let date_header = ["x-amz-date", "date"].into_iter().find_map(|name| header_text(parts, name));
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (credential, signed_headers, signature, &date_header)
    else {
        let mut missing = String::new();
        for (name, there) in [
            ("Credential", credential.is_some()),
            ("Signature", signature.is_some()),
            ("SignedHeaders", signed_headers.is_some()),
        ] {
            if !there {
                missing.push_str(&format!("Authorization header requires '{name}' parameter. "));
            }
        }
        if date_header.is_none() {
            missing.push_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
            );
        }
        return Err(AuthError::Incomplete(format!("{missing}Authorization={text}")));
    };
    build(credential, signed_headers, signature, date, header_text(parts, "x-amz-security-token"), None)
}

fn from_query(query: &str, parts: &Parts) -> Result<Signature, AuthError> {
    let get = |wanted: &str| {
        query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == wanted).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
        })
    };
    let need = |name: &str| {
        get(name).ok_or_else(|| {
            AuthError::Incomplete(format!(
                "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
            ))
        })
    };
    let algorithm = need("X-Amz-Algorithm")?;
    if algorithm != ALGORITHM {
        return Err(AuthError::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
    }
    let credential = need("X-Amz-Credential")?;
    let signature = need("X-Amz-Signature")?;
    let signed_headers = need("X-Amz-SignedHeaders")?;
    let date = need("X-Amz-Date")?;
    // Services other than the object store take a presigned request without an expiry: it lives for the allowed skew.
    let expires_s = match get("X-Amz-Expires") {
        None => 15 * 60,
        Some(text) => expiry(&text)?,
    };
    let token = get("X-Amz-Security-Token").or_else(|| header_text(parts, "x-amz-security-token"));
    build(&credential, &signed_headers, &signature, &date, token, Some(expires_s))
}

fn expiry(text: &str) -> Result<u64, AuthError> {
    let refuse = |why: &str| Err(AuthError::Incomplete(why.to_owned()));
    match text.parse::<i64>() {
        Err(_) => refuse("X-Amz-Expires should be a number"),
        Ok(seconds) => match u64::try_from(seconds) {
            Err(_) => refuse("X-Amz-Expires must be non-negative"),
            Ok(seconds) if seconds > MAX_PRESIGNED_S => refuse(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be \
                 less than 604800 seconds",
            ),
            Ok(seconds) => Ok(seconds),
        },
    }
}

fn build(
    credential: &str,
    signed_headers: &str,
    signature: &str,
    date: &str,
    session_token: Option<String>,
    expires_s: Option<u64>,
) -> Result<Signature, AuthError> {
    let incomplete = |text: String| AuthError::Incomplete(text);
    // A key id may hold slashes in principle; the scope is the last four elements.
    let mut elements = credential.rsplitn(5, '/');
    let (Some(terminator), Some(service), Some(region), Some(scope_date), Some(access_key_id)) =
        (elements.next(), elements.next(), elements.next(), elements.next(), elements.next())
    else {
        return Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term, got '{credential}'"
        )));
    };
    if terminator != TERMINATOR {
        return Err(incomplete(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."
        )));
    }
    let signed_at = time::parse_basic(date).or_else(|| time::parse_http(date)).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let amz_date = time::basic(signed_at);
    if scope_date != &amz_date[..8] {
        return Err(incomplete(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{scope_date}' != '{}', from '{amz_date}'.",
            &amz_date[..8]
        )));
    }
    if !signed_headers.split(';').any(|name| name == "host" || name == ":authority") {
        return Err(incomplete(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    Ok(Signature {
        access_key_id: access_key_id.to_owned(),
        date: scope_date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        session_token,
        signed_at,
        amz_date,
        signed_headers: signed_headers.to_owned(),
        signature: hex_signature(signature).unwrap_or([0; 32]),
        expires_s,
    })
}

/// 64 hexadecimal digits. What is none can match no signature, and is answered as a wrong one.
fn hex_signature(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = [0; 32];
    for (target, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *target = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
