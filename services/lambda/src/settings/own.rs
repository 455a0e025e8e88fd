//! Settings of ours: tags that begin with `lamplighter:`, so that every client can set them, and SAM and CDK too.
//!
//! AWS has none of these. A name that is not in the list, or a value that means nothing, is refused when the function is
//! tagged: a misspelt setting that does nothing would be worse. What they do is told by the rooms that read them.

use crate::error::LambdaError;
use crate::functions::Tags;

/// What all names begin with.
const PREFIX: &str = "lamplighter:";
/// `follow-latest`: `$LATEST` uses the newest version of each of its layers.
pub(crate) const LAYERS: &str = "lamplighter:layers";
/// 0 to 1: the part of asynchronous events that is delivered twice.
pub(crate) const ASYNC_DUPLICATES: &str = "lamplighter:async-duplicates";
/// Milliseconds, at most 900,000: how long an asynchronous event waits before it is delivered.
pub(crate) const ASYNC_DELAY_MS: &str = "lamplighter:async-delay-ms";

/// The longest deliberate delay: 15 minutes.
const MAX_DELAY_MS: u32 = 900_000;

/// What a function's tags ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnSettings {
    /// Layers are followed.
    pub(crate) follow_layers: bool,
    /// Between 0 and 1.
    pub(crate) async_duplicates: f64,
    /// At most 15 minutes.
    pub(crate) async_delay_ms: u32,
}

impl OwnSettings {
    /// Reads them from a function's tags; other tags mean nothing here.
    ///
    /// # Errors
    /// A setting that does not exist, or a value that it cannot have.
    pub(crate) fn of(tags: &Tags) -> Result<Self, LambdaError> {
        let mut settings = OwnSettings::default();
        for (key, value) in tags.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            settings.set(key, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), LambdaError> {
        let wrong = |what: &str| {
            LambdaError::InvalidParameter(format!("The tag {key} must be {what}, got '{value}'."))
        };
        match key {
            LAYERS => {
                self.follow_layers = value == "follow-latest";
                if self.follow_layers { Ok(()) } else { Err(wrong("'follow-latest'")) }
            }
            ASYNC_DUPLICATES => {
                let part = value.parse().ok().filter(|part| (0.0..=1.0).contains(part));
                self.async_duplicates = part.ok_or_else(|| wrong("a number from 0 to 1"))?;
                Ok(())
            }
            ASYNC_DELAY_MS => {
                let delay_ms = value.parse().ok().filter(|delay_ms| *delay_ms <= MAX_DELAY_MS);
                self.async_delay_ms =
                    delay_ms.ok_or_else(|| wrong("a number of milliseconds up to 900000"))?;
                Ok(())
            }
            _ => Err(LambdaError::InvalidParameter(format!(
                "The tag {key} is no setting of Lamplighter. There are {LAYERS}, {ASYNC_DUPLICATES} and \
                 {ASYNC_DELAY_MS}."
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<OwnSettings, String> {
        OwnSettings::of(&Tags::from([(key.to_owned(), value.to_owned())])).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_from_tags() {
        assert_eq!(read("team", "a").unwrap(), OwnSettings::default());
        assert!(read(LAYERS, "follow-latest").unwrap().follow_layers);
        assert!((read(ASYNC_DUPLICATES, "0.25").unwrap().async_duplicates - 0.25).abs() < 1e-9);
        assert_eq!(read(ASYNC_DELAY_MS, "900000").unwrap().async_delay_ms, 900_000);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (key, value) in [
            (LAYERS, "latest"),
            (ASYNC_DUPLICATES, "1.01"),
            (ASYNC_DUPLICATES, "NaN"),
            (ASYNC_DELAY_MS, "900001"),
            (ASYNC_DELAY_MS, "-1"),
            ("lamplighter:layer", "follow-latest"),
        ] {
            assert!(read(key, value).unwrap_err().contains(key), "{key}={value}");
        }
    }
}
