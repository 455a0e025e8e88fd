//! What a message can be delivered to, by its ARN.

use std::fmt;

use base::Arn;

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Lambda function, invoked asynchronously.
    Function,
    /// A standard SQS queue.
    Queue,
    /// A standard SNS topic.
    Topic,
    /// An EventBridge event bus.
    Bus,
    /// An S3 bucket: each message becomes an object.
    Bucket,
}

impl Kind {
    /// The service's name in the models.
    #[must_use]
    pub fn model_id(self) -> &'static str {
        match self {
            Kind::Function => "lambda",
            Kind::Queue => "sqs",
            Kind::Topic => "sns",
            Kind::Bus => "events",
            Kind::Bucket => "s3",
        }
    }

    /// The service's name for people.
    #[must_use]
    pub fn service_name(self) -> &'static str {
        match self {
            Kind::Function => "AWS Lambda",
            Kind::Queue => "Amazon SQS",
            Kind::Topic => "Amazon SNS",
            Kind::Bus => "Amazon EventBridge",
            Kind::Bucket => "Amazon S3",
        }
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    kind: Kind,
    arn: Arn,
}

impl Destination {
    /// The target of an ARN; `None` when nothing can be delivered to what it names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let arn: Arn = text.parse().ok()?;
        let kind = match arn.service.as_str() {
            "lambda" if arn.resource.starts_with("function:") => Kind::Function,
            "sqs" if !arn.resource.is_empty() => Kind::Queue,
            "sns" if !arn.resource.is_empty() => Kind::Topic,
            "events" if arn.resource.starts_with("event-bus/") => Kind::Bus,
            "s3" if !arn.resource.is_empty() => Kind::Bucket,
            _ => return None,
        };
        Some(Destination { kind, arn })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> &Arn {
        &self.arn
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arn.fmt(f)
    }
}
