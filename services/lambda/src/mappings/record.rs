//! A mapping as a record, and which settings it may have with a queue.
//!
//! It knows no API shape: what a request holds comes here as [`Wanted`].
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html>.

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use service_sources::sqs::Facts;

use super::filter::Filters;
use crate::error::LambdaError;
use crate::keys::Space;
use crate::name::Target;

/// A batch has at most so many messages by default; and that is a FIFO queue's limit.
pub(crate) const DEFAULT_BATCH: u32 = 10;
/// A mapping has at most so many patterns: AWS allows five, and ten on request.
pub(crate) const MAX_FILTERS: usize = 10;

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapping {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) source_arn: String,
    pub(crate) function_name: String,
    /// The version or alias, if one was named.
    pub(crate) qualifier: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) settings: Settings,
    pub(crate) modified_at: Timestamp,
    /// The patterns, which have rows of their own.
    #[serde(skip)]
    pub(crate) filters: Vec<String>,
}

/// What a mapping is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// 1 to 10,000; with a FIFO queue to 10.
    pub(crate) batch_size: u32,
    /// How long a batch is gathered: 0 to 300.
    pub(crate) window_s: u32,
    /// `ReportBatchItemFailures`.
    pub(crate) reports_failures: bool,
    /// 2 to 1,000.
    pub(crate) maximum_concurrency: Option<u32>,
    pub(crate) pollers: Option<Pollers>,
    /// `EventCount` metrics are wanted. They are counted in any case.
    pub(crate) event_count: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            batch_size: DEFAULT_BATCH,
            window_s: 0,
            reports_failures: false,
            maximum_concurrency: None,
            pollers: None,
            event_count: false,
        }
    }
}

/// Provisioned mode: each poller runs up to ten batches at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pollers {
    /// 2 to 200.
    pub(crate) minimum: u32,
    /// 2 to 2,000.
    pub(crate) maximum: u32,
}

/// What a request wants; `None` leaves a setting as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) enabled: Option<bool>,
    pub(crate) batch_size: Option<u32>,
    pub(crate) window_s: Option<u32>,
    pub(crate) reports_failures: Option<bool>,
    /// The inner `None` removes it.
    pub(crate) maximum_concurrency: Option<Option<u32>>,
    /// The inner `None` removes them.
    pub(crate) pollers: Option<Option<WantedPollers>>,
    pub(crate) event_count: Option<bool>,
    pub(crate) filters: Option<Vec<String>>,
}

/// One of the two may be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedPollers {
    pub(crate) minimum: Option<u32>,
    pub(crate) maximum: Option<u32>,
}

impl Mapping {
    pub(crate) fn space(&self) -> Space {
        Space::new(self.account, &self.region)
    }

    /// The function, version or alias that it feeds.
    pub(crate) fn target(&self) -> Target {
        Target {
            account: self.account,
            region: self.region.clone(),
            name: self.function_name.clone(),
            qualifier: self.qualifier.clone(),
        }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:event-source-mapping:{}", self.region, self.account, self.id)
    }

    /// The mapping with what is wanted, unless a queue like this forbids it.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn with(mut self, wanted: &Wanted, facts: Facts) -> Result<Self, LambdaError> {
        if let Some(enabled) = wanted.enabled {
            self.enabled = enabled;
        }
        if let Some(filters) = &wanted.filters {
            check_filters(filters)?;
            self.filters.clone_from(filters);
        }
        let settings = &mut self.settings;
        let set = |setting: &mut u32, value: Option<u32>| *setting = value.unwrap_or(*setting);
        set(&mut settings.batch_size, wanted.batch_size);
        set(&mut settings.window_s, wanted.window_s);
        settings.reports_failures = wanted.reports_failures.unwrap_or(settings.reports_failures);
        settings.event_count = wanted.event_count.unwrap_or(settings.event_count);
        if let Some(most) = wanted.maximum_concurrency {
            settings.maximum_concurrency = most;
        }
        if let Some(pollers) = wanted.pollers {
            settings.pollers = pollers.map(|pollers| pollers.checked(settings.pollers)).transpose()?;
        }
        settings.check(facts)?;
        Ok(self)
    }
}

impl Settings {
    fn check(&self, facts: Facts) -> Result<(), LambdaError> {
        let refuse = |why: &str| Err(LambdaError::InvalidParameter(why.to_owned()));
        if facts.fifo && self.window_s > 0 {
            return refuse("Batching window is not supported for FIFO queues");
        }
        if facts.fifo && self.batch_size > DEFAULT_BATCH {
            return refuse("Batch size must not exceed 10 for FIFO queues");
        }
        if self.batch_size > DEFAULT_BATCH && self.window_s == 0 {
            return refuse(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            );
        }
        if self.pollers.is_some() && self.maximum_concurrency.is_some() {
            return refuse(
                "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the \
                 control mechanism and remove maximum concurrency.",
            );
        }
        Ok(())
    }
}

impl WantedPollers {
    /// Within AWS's limits; what is left out stays as it was, or is AWS's default.
    fn checked(self, before: Option<Pollers>) -> Result<Pollers, LambdaError> {
        let before = before.unwrap_or(Pollers { minimum: 2, maximum: 200 });
        let pollers = Pollers {
            minimum: self.minimum.unwrap_or(before.minimum),
            maximum: self.maximum.unwrap_or(before.maximum.max(self.minimum.unwrap_or(0))),
        };
        if !(2..=200).contains(&pollers.minimum) || !(pollers.minimum..=2000).contains(&pollers.maximum) {
            return Err(LambdaError::InvalidParameter(
                "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 2000]"
                    .to_owned(),
            ));
        }
        Ok(pollers)
    }
}

fn check_filters(filters: &[String]) -> Result<(), LambdaError> {
    if filters.len() > MAX_FILTERS {
        return Err(LambdaError::InvalidParameter(format!(
            "FilterCriteria must have at most {MAX_FILTERS} filters, got {}.",
            filters.len()
        )));
    }
    Filters::parse(filters).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Facts = Facts { visibility_timeout_s: 30, fifo: false };
    const FIFO: Facts = Facts { visibility_timeout_s: 30, fifo: true };

    fn mapping() -> Mapping {
        Mapping {
            id: "11111111-2222-3333-4444-555555555555".to_owned(),
            account: AccountId::DEFAULT,
            region: Region::default(),
            source_arn: "arn:aws:sqs:us-east-1:000000000000:orders".to_owned(),
            function_name: "intake".to_owned(),
            qualifier: Some("live".to_owned()),
            enabled: true,
            settings: Settings::default(),
            modified_at: Timestamp(0),
            filters: Vec::new(),
        }
    }

    fn refusal(wanted: Wanted, facts: Facts) -> Option<String> {
        mapping().with(&wanted, facts).err().map(|error| error.to_string())
    }

    #[test]
    fn batches_have_limits() {
        let batch =
            |size, window| Wanted { batch_size: Some(size), window_s: Some(window), ..Wanted::default() };
        assert_eq!(refusal(batch(10, 0), STANDARD), None);
        assert_eq!(refusal(batch(10_000, 1), STANDARD), None);
        assert!(
            refusal(batch(11, 0), STANDARD).unwrap().starts_with("Maximum batch window in seconds must be")
        );
        assert_eq!(refusal(batch(10, 0), FIFO), None);
        assert!(refusal(batch(11, 0), FIFO).unwrap().starts_with("Batch size must not exceed 10"));
        assert!(refusal(batch(10, 1), FIFO).unwrap().starts_with("Batching window is not supported"));
    }

    #[test]
    fn pollers_have_limits_and_no_other_limit_beside_them() {
        let pollers = |minimum, maximum| Wanted {
            pollers: Some(Some(WantedPollers { minimum, maximum })),
            ..Wanted::default()
        };
        assert_eq!(refusal(pollers(Some(2), Some(2)), STANDARD), None);
        assert_eq!(refusal(pollers(Some(200), Some(2000)), STANDARD), None);
        assert_eq!(
            mapping().with(&pollers(Some(3), None), STANDARD).unwrap().settings.pollers.unwrap(),
            Pollers { minimum: 3, maximum: 200 }
        );
        for (minimum, maximum) in [(Some(1), None), (Some(201), None), (Some(5), Some(4)), (None, Some(2001))]
        {
            assert!(
                refusal(pollers(minimum, maximum), STANDARD).unwrap().starts_with("MinimumPollers should")
            );
        }
        let both = Wanted { maximum_concurrency: Some(Some(2)), ..pollers(Some(2), None) };
        assert!(refusal(both, STANDARD).unwrap().contains("does not support maximum concurrency"));
    }

    #[test]
    fn what_is_not_wanted_stays() {
        let wanted = Wanted {
            enabled: Some(false),
            maximum_concurrency: Some(Some(7)),
            reports_failures: Some(true),
            ..Wanted::default()
        };
        let changed = mapping().with(&wanted, STANDARD).unwrap();
        assert!(!changed.enabled && changed.settings.reports_failures);
        assert_eq!(changed.clone().with(&Wanted::default(), STANDARD).unwrap(), changed);
        let removed = Wanted { maximum_concurrency: Some(None), ..Wanted::default() };
        assert_eq!(changed.with(&removed, STANDARD).unwrap().settings.maximum_concurrency, None);
    }

    #[test]
    fn names_are_aws_s() {
        let mapping = mapping();
        assert_eq!(
            mapping.arn(),
            "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:11111111-2222-3333-4444-555555555555"
        );
        assert_eq!(
            mapping.target().qualified_arn(),
            "arn:aws:lambda:us-east-1:000000000000:function:intake:live"
        );
    }
}
