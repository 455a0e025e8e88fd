//! Pages of a hundred; the token names the last item of the page before and is opaque to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::errors::SnsError;

/// Items of a page.
pub(crate) const PAGE: usize = 100;

pub(crate) fn token(last: &str) -> String {
    BASE64.encode(last)
}

/// What a token names; `None` for the first page.
///
/// # Errors
/// `InvalidParameter` for what is no token of ours.
pub(crate) fn read(token: Option<&str>) -> Result<Option<String>, SnsError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let invalid = || SnsError::invalid("NextToken");
    let bytes = BASE64.decode(token).map_err(|_| invalid())?;
    String::from_utf8(bytes).map(Some).map_err(|_| invalid())
}
