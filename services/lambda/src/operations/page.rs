//! Pages of listings: how many items one has, and the marker after which the next one begins.
//!
//! A marker is the name of a page's last item, encoded so that nobody takes it for more than a marker. What the name is
//! made of is each listing's own. Function URLs have markers of another form, with AWS's words for a wrong one.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::LambdaError;

/// A page has this many items at most, whatever `MaxItems` says.
const MAX_PAGE: usize = 50;

/// How many items a page has.
pub(super) fn page_size(max_items: Option<i64>) -> usize {
    max_items.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
}

/// The marker of a page whose last item has this name.
pub(super) fn marker(last: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// The name that [`marker`] was made of; `None` for the first page, which has no marker or an empty one.
///
/// # Errors
/// A marker that no listing gave, or of a name longer than `max_bytes`.
pub(super) fn read_marker(marker: Option<&str>, max_bytes: usize) -> Result<Option<String>, LambdaError> {
    let Some(marker) = marker.filter(|marker| !marker.is_empty()) else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|name| name.len() <= max_bytes);
    name.map(Some).ok_or_else(|| none_of_ours(marker))
}

/// The error for a marker that no listing gave.
pub(super) fn none_of_ours(marker: &str) -> LambdaError {
    LambdaError::InvalidParameter(format!(
        "Marker '{marker}' is none that a listing gave: start without one."
    ))
}
