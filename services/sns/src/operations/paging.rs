//! Tokens of lists: the last thing shown, in letters that clients take for a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::errors::SnsError;

/// The last thing that was shown.
pub(super) fn read(member: &str, token: Option<&str>) -> Result<Option<String>, SnsError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let last = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    last.map(Some).ok_or_else(|| SnsError::InvalidParameter(format!("{member} Reason: invalid token")))
}

/// The first key behind this one.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// Cuts a list that was read one too far, and gives the token for the rest.
pub(super) fn cut<T>(list: &mut Vec<T>, page: usize, name: impl Fn(&T) -> &str) -> Option<String> {
    if list.len() <= page {
        return None;
    }
    list.truncate(page);
    list.last().map(|last| URL_SAFE_NO_PAD.encode(name(last)))
}
