//! Comparing text without regard to case, without allocating. Both sides are lowered letter by letter.

/// A text in lower case.
pub(crate) fn lower(text: &str) -> Box<str> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether `text` is `lowered`, whatever its case.
pub(crate) fn equals(text: &str, lowered: &str) -> bool {
    text.chars().flat_map(char::to_lowercase).eq(lowered.chars())
}

/// Whether `text` begins with `lowered`, whatever its case.
pub(crate) fn begins(text: &str, lowered: &str) -> bool {
    let mut letters = text.chars().flat_map(char::to_lowercase);
    lowered.chars().all(|letter| letters.next() == Some(letter))
}

/// Whether `text` ends with `lowered`, whatever its case.
pub(crate) fn ends(text: &str, lowered: &str) -> bool {
    let mut letters = text.chars().rev().flat_map(|letter| letter.to_lowercase().rev());
    lowered.chars().rev().all(|letter| letters.next() == Some(letter))
}
