//! The JSON forms of delivery policies: read with AWS's checks and texts, and written as effective policies.
//!
//! AWS wants the two delays and the number of retries wherever a retry policy is given, though the defaults in its
//! tables look as if they could be left out.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/set-sub-attributes-delivery-policy-json.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/set-topic-attributes-delivery-policy-json.html>.

use serde::{Deserialize, Serialize};

use super::policy::{Backoff, CONTENT_TYPE, DeliveryPolicy, SubscriptionPolicy, TopicPolicy};

/// The greatest delay, in seconds.
const MAX_DELAY_S: i64 = 3600;
/// The most retries.
const MAX_RETRIES: i64 = 100;
/// What `headerContentType` may be; all but the first two only with raw delivery.
const CONTENT_TYPES: [&str; 12] = [
    "application/json",
    "text/plain",
    "application/atom+xml",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/xml",
];

/// A checked retry policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retry {
    pub(crate) min_delay_s: u32,
    pub(crate) max_delay_s: u32,
    pub(crate) retries: u32,
    pub(crate) no_delay_retries: u32,
    pub(crate) min_delay_retries: u32,
    pub(crate) max_delay_retries: u32,
    pub(crate) backoff: Backoff,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicForm {
    http: Option<HttpForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpForm {
    default_healthy_retry_policy: Option<RetryForm>,
    default_sickly_retry_policy: Option<RetryForm>,
    default_throttle_policy: Option<ThrottleForm>,
    default_request_policy: Option<RequestForm>,
    disable_subscription_overrides: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubscriptionForm {
    healthy_retry_policy: Option<RetryForm>,
    sickly_retry_policy: Option<RetryForm>,
    throttle_policy: Option<ThrottleForm>,
    request_policy: Option<RequestForm>,
    // Part of what GetSubscriptionAttributes gives, and so of what clients set again.
    #[serde(rename = "guaranteed")]
    _guaranteed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RetryForm {
    min_delay_target: Option<i64>,
    max_delay_target: Option<i64>,
    num_retries: Option<i64>,
    num_no_delay_retries: Option<i64>,
    num_min_delay_retries: Option<i64>,
    num_max_delay_retries: Option<i64>,
    backoff_function: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ThrottleForm {
    max_receives_per_second: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestForm {
    header_content_type: Option<String>,
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|_| "DeliveryPolicy: failed to parse JSON".to_owned())
}

/// A topic's policy.
pub(super) fn topic(text: &str) -> Result<TopicPolicy, String> {
    let TopicForm { http } = read(text)?;
    let Some(http) = http else { return Ok(TopicPolicy::default()) };
    if let Some(form) = http.default_sickly_retry_policy {
        form.check("http.defaultSicklyRetryPolicy")?;
    }
    Ok(TopicPolicy {
        retry: check_some(http.default_healthy_retry_policy, "http.defaultHealthyRetryPolicy")?,
        max_receives_per_second: throttle(http.default_throttle_policy, "http.defaultThrottlePolicy")?,
        content_type: request(http.default_request_policy, "http.defaultRequestPolicy")?,
        overrides_disabled: http.disable_subscription_overrides.unwrap_or(false),
    })
}

/// A subscription's policy.
pub(super) fn subscription(text: &str) -> Result<SubscriptionPolicy, String> {
    let form: SubscriptionForm = read(text)?;
    if let Some(form) = form.sickly_retry_policy {
        form.check("sicklyRetryPolicy")?;
    }
    Ok(SubscriptionPolicy {
        retry: check_some(form.healthy_retry_policy, "healthyRetryPolicy")?,
        max_receives_per_second: throttle(form.throttle_policy, "throttlePolicy")?,
        content_type: request(form.request_policy, "requestPolicy")?,
    })
}

fn check_some(form: Option<RetryForm>, path: &str) -> Result<Option<Retry>, String> {
    form.map(|form| form.check(path)).transpose()
}

/// `value`, if it is given and within its bounds.
fn within(
    path: &str,
    name: &str,
    value: Option<i64>,
    least: i64,
    greatest: Option<i64>,
) -> Result<u32, String> {
    let at = format_args!("DeliveryPolicy: {path}.{name}");
    let Some(value) = value else { return Err(format!("{at} must be specified")) };
    if value < least {
        return Err(format!("{at} must be greater than or equal to {least}"));
    }
    if let Some(greatest) = greatest.filter(|greatest| value > *greatest) {
        return Err(format!("{at} must be less than or equal to {greatest}"));
    }
    u32::try_from(value).map_err(|_| format!("{at} must be less than or equal to {}", i32::MAX))
}

impl RetryForm {
    fn check(self, path: &str) -> Result<Retry, String> {
        let max_delay_s = within(path, "maxDelayTarget", self.max_delay_target, 1, Some(MAX_DELAY_S))?;
        let min_delay_s = within(path, "minDelayTarget", self.min_delay_target, 1, Some(MAX_DELAY_S))?;
        let retries = within(path, "numRetries", self.num_retries, 0, Some(MAX_RETRIES))?;
        let phase = |name, value: Option<i64>| within(path, name, Some(value.unwrap_or(0)), 0, None);
        let no_delay_retries = phase("numNoDelayRetries", self.num_no_delay_retries)?;
        let min_delay_retries = phase("numMinDelayRetries", self.num_min_delay_retries)?;
        let max_delay_retries = phase("numMaxDelayRetries", self.num_max_delay_retries)?;
        if max_delay_s < min_delay_s {
            return Err(format!(
                "DeliveryPolicy: {path}.maxDelayTarget must be greater than or equal to minDelayTarget"
            ));
        }
        let phases = [no_delay_retries, min_delay_retries, max_delay_retries].map(u64::from);
        if phases.iter().sum::<u64>() > u64::from(retries) {
            return Err(format!(
                "DeliveryPolicy: {path}.numRetries must be greater than or equal to total of numMinDelayRetries, \
                 numNoDelayRetries and numMaxDelayRetries"
            ));
        }
        let backoff = match &self.backoff_function {
            None => Backoff::default(),
            Some(name) => Backoff::ALL.into_iter().find(|one| one.as_str() == name).ok_or_else(|| {
                format!(
                    "DeliveryPolicy: {path}.backoffFunction: the value [{name}] is not a valid backoff function"
                )
            })?,
        };
        Ok(Retry {
            min_delay_s,
            max_delay_s,
            retries,
            no_delay_retries,
            min_delay_retries,
            max_delay_retries,
            backoff,
        })
    }
}

fn throttle(form: Option<ThrottleForm>, path: &str) -> Result<Option<u32>, String> {
    let Some(rate) = form.and_then(|form| form.max_receives_per_second) else { return Ok(None) };
    within(path, "maxReceivesPerSecond", Some(rate), 1, None).map(Some)
}

fn request(form: Option<RequestForm>, path: &str) -> Result<Option<String>, String> {
    let Some(given) = form.and_then(|form| form.header_content_type) else { return Ok(None) };
    let kind = given.split(';').next().unwrap_or_default().trim();
    // Whatever follows the kind goes into a header as it is.
    let plain = given.len() <= 100 && given.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    if !plain || !CONTENT_TYPES.contains(&kind) {
        return Err(format!("DeliveryPolicy: {path}.headerContentType: unsupported content type [{given}]"));
    }
    Ok(Some(given))
}

/// Whether a message in its envelope may carry this content type; any other is for raw ones.
pub(super) fn fits_an_envelope(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    CONTENT_TYPES[..2].contains(&kind)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RetryShown {
    min_delay_target: u32,
    max_delay_target: u32,
    num_retries: u32,
    num_max_delay_retries: u32,
    num_no_delay_retries: u32,
    num_min_delay_retries: u32,
    backoff_function: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThrottleShown {
    max_receives_per_second: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestShown<'a> {
    header_content_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionShown<'a> {
    healthy_retry_policy: RetryShown,
    sickly_retry_policy: Option<RetryShown>,
    throttle_policy: Option<ThrottleShown>,
    request_policy: RequestShown<'a>,
    guaranteed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpShown<'a> {
    default_healthy_retry_policy: RetryShown,
    disable_subscription_overrides: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_throttle_policy: Option<ThrottleShown>,
    default_request_policy: RequestShown<'a>,
}

#[derive(Serialize)]
struct TopicShown<'a> {
    http: HttpShown<'a>,
}

fn retry_shown(policy: &DeliveryPolicy) -> RetryShown {
    RetryShown {
        min_delay_target: policy.min_delay_s,
        max_delay_target: policy.max_delay_s,
        num_retries: policy.retries,
        num_max_delay_retries: policy.max_delay_retries,
        num_no_delay_retries: policy.no_delay_retries,
        num_min_delay_retries: policy.min_delay_retries,
        backoff_function: policy.backoff.as_str(),
    }
}

fn throttle_shown(policy: &DeliveryPolicy) -> Option<ThrottleShown> {
    policy.max_receives_per_second.map(|max_receives_per_second| ThrottleShown { max_receives_per_second })
}

fn request_shown(policy: &DeliveryPolicy) -> RequestShown<'_> {
    RequestShown { header_content_type: policy.content_type.as_deref().unwrap_or(CONTENT_TYPE) }
}

/// The `EffectiveDeliveryPolicy` of a subscription.
pub(super) fn effective_of_subscription(policy: &DeliveryPolicy) -> String {
    written(&SubscriptionShown {
        healthy_retry_policy: retry_shown(policy),
        sickly_retry_policy: None,
        throttle_policy: throttle_shown(policy),
        request_policy: request_shown(policy),
        guaranteed: false,
    })
}

/// The `EffectiveDeliveryPolicy` of a topic.
pub(super) fn effective_of_topic(policy: &DeliveryPolicy, overrides_disabled: bool) -> String {
    written(&TopicShown {
        http: HttpShown {
            default_healthy_retry_policy: retry_shown(policy),
            disable_subscription_overrides: overrides_disabled,
            default_throttle_policy: throttle_shown(policy),
            default_request_policy: request_shown(policy),
        },
    })
}

fn written<T: Serialize>(value: &T) -> String {
    // Structs of text and numbers always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":3600,"numRetries":100,
        "numNoDelayRetries":50,"numMinDelayRetries":25,"numMaxDelayRetries":25,"backoffFunction":"geometric"}}"#;

    #[test]
    fn limits_hold_to_the_last_value() {
        let policy = subscription(GOOD).unwrap();
        assert_eq!(policy.retry.unwrap().retries, 100);
        for (from, to, why) in [
            (
                "\"minDelayTarget\":1",
                "\"minDelayTarget\":0",
                "minDelayTarget must be greater than or equal to 1",
            ),
            ("3600", "3601", "maxDelayTarget must be less than or equal to 3600"),
            ("\"numRetries\":100", "\"numRetries\":101", "numRetries must be less than or equal to 100"),
            ("\"numRetries\":100", "\"numRetries\":-1", "numRetries must be greater than or equal to 0"),
            (
                "\"numNoDelayRetries\":50",
                "\"numNoDelayRetries\":51",
                "numRetries must be greater than or equal to total of numMinDelayRetries, numNoDelayRetries and \
                 numMaxDelayRetries",
            ),
            ("geometric", "random", "backoffFunction: the value [random] is not a valid backoff function"),
        ] {
            let error = subscription(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error, format!("DeliveryPolicy: healthyRetryPolicy.{why}"));
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (text, why) in [
            ("", "failed to parse JSON"),
            (r#"{"nothing":1}"#, "failed to parse JSON"),
            (
                r#"{"healthyRetryPolicy":{"numRetries":3}}"#,
                "healthyRetryPolicy.maxDelayTarget must be specified",
            ),
            (
                r#"{"healthyRetryPolicy":{"minDelayTarget":3,"maxDelayTarget":2,"numRetries":3}}"#,
                "healthyRetryPolicy.maxDelayTarget must be greater than or equal to minDelayTarget",
            ),
            (
                r#"{"throttlePolicy":{"maxReceivesPerSecond":0}}"#,
                "throttlePolicy.maxReceivesPerSecond must be greater than or equal to 1",
            ),
        ] {
            assert_eq!(subscription(text).unwrap_err(), format!("DeliveryPolicy: {why}"));
        }
        let text = r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":101}}}"#;
        assert_eq!(
            topic(text).unwrap_err(),
            "DeliveryPolicy: http.defaultHealthyRetryPolicy.numRetries must be less than or equal to 100"
        );
    }

    #[test]
    fn what_is_effective_reads_as_with_aws() {
        assert_eq!(
            effective_of_subscription(&DeliveryPolicy::default()),
            r#"{"healthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"sicklyRetryPolicy":null,"throttlePolicy":null,"requestPolicy":{"headerContentType":"text/plain; charset=UTF-8"},"guaranteed":false}"#
        );
        assert_eq!(
            effective_of_topic(&DeliveryPolicy::default(), false),
            r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}"#
        );
        // And what is shown can be set.
        assert!(subscription(&effective_of_subscription(&DeliveryPolicy::default())).is_ok());
        assert!(topic(&effective_of_topic(&DeliveryPolicy::default(), true)).unwrap().overrides_disabled);
    }
}
