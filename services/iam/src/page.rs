//! Pages of a sorted list: `MaxItems`, and a `Marker` that names the last item of the page before.
//!
//! The marker is opaque to clients. Items made or deleted between two pages neither repeat nor hide others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::errors::IamError;

const DEFAULT_MAX_ITEMS: usize = 100;

/// What a client asks for. The model bounds `MaxItems` to 1..=1000.
pub(crate) struct PageRequest {
    /// Only items after this one.
    pub(crate) after: Option<String>,
    pub(crate) max_items: usize,
}

impl PageRequest {
    pub(crate) fn new(marker: Option<&str>, max_items: Option<u32>) -> Result<Self, IamError> {
        let after = marker
            .map(|marker| {
                let bytes = BASE64.decode(marker).map_err(|_| IamError::InvalidMarker)?;
                String::from_utf8(bytes).map_err(|_| IamError::InvalidMarker)
            })
            .transpose()?;
        let max_items = max_items.and_then(|max| usize::try_from(max).ok()).unwrap_or(DEFAULT_MAX_ITEMS);
        Ok(PageRequest { after, max_items: max_items.max(1) })
    }

    /// The page of names that are at hand and sorted.
    pub(crate) fn of<'a, T>(&self, items: impl Iterator<Item = (&'a str, T)>) -> Page<T> {
        let mut page = Page { items: Vec::new(), marker: None };
        let mut last = "";
        for (name, item) in items.filter(|(name, _)| self.after.as_deref().is_none_or(|after| *name > after))
        {
            if page.items.len() == self.max_items {
                page.marker = Some(marker_after(last));
                break;
            }
            last = name;
            page.items.push(item);
        }
        page
    }
}

/// A page, and the marker of the next one if there is one.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

/// The marker of the page that begins after `name`.
pub(crate) fn marker_after(name: &str) -> String {
    BASE64.encode(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_the_list_once() {
        let names = ["a", "b", "c", "d", "e"];
        let (mut seen, mut marker) = (Vec::new(), None);
        loop {
            let request = PageRequest::new(marker.as_deref(), Some(2)).unwrap();
            let page = request.of(names.iter().map(|name| (*name, *name)));
            seen.extend(page.items);
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(seen, names);
        assert!(matches!(PageRequest::new(Some("%%"), None), Err(IamError::InvalidMarker)));
    }

    #[test]
    fn a_page_that_ends_with_the_list_has_no_marker() {
        let page = PageRequest::new(None, Some(2)).unwrap().of([("a", 1), ("b", 2)].into_iter());
        assert!(page.marker.is_none());
    }
}
