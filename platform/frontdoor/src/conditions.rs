//! What policies are told of a call beside who makes it: on whose behalf, from where, when.
//!
//! What a single service knows of a request (the protocol of a subscription) it adds itself.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.

use std::net::{IpAddr, Ipv4Addr};

use policy::Context;

use crate::call::{Call, Source};

impl Call {
    /// The call as policies see it: `aws:SourceArn`, `aws:SourceAccount`, `aws:SourceIp`, `aws:SecureTransport`,
    /// `aws:RequestedRegion`, `aws:CurrentTime` and `aws:EpochTime`.
    #[must_use]
    pub fn policy_context(&self) -> Context<'_> {
        let mut context = self.source().policy_context().at(self.clock().now());
        if let Some(on_behalf) = self.on_behalf() {
            context = context
                .with("aws:SourceArn", on_behalf.source_arn.as_ref())
                .with("aws:SourceAccount", on_behalf.source_account.to_string());
        }
        context.with("aws:RequestedRegion", self.region().as_str())
    }
}

impl Source {
    /// `aws:SourceIp`, which calls of a service have none of, and `aws:SecureTransport`. The platform has no TLS of its
    /// own: what does not leave the machine counts as secure, so that "only with TLS", which many templates write into their
    /// policies, does not shut out everybody.
    #[must_use]
    pub fn policy_context<'a>(&self) -> Context<'a> {
        let address = match self {
            Source::Http { peer } => Some(peer.to_canonical()),
            Source::Box { .. } => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Source::Service(_) => None,
        };
        let is_secure = address.is_none_or(|address| address.is_loopback());
        Context::new()
            .with_some("aws:SourceIp", address.map(|address| address.to_string()))
            .with("aws:SecureTransport", if is_secure { "true" } else { "false" })
    }
}
