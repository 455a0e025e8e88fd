//! `GET /_lamplighter/topics`: what happened at each topic since the server started, for people, tests and metrics.
//!
//! `topic=ARN` asks for one. A topic that nothing happened at is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::{AdminAnswer, AdminRequest, Gateway};
use http::{Method, StatusCode};
use service_sns::Sns;

/// Offers the numbers of all topics.
pub(crate) fn offer(gateway: &Gateway, sns: &Arc<Sns>) {
    let sns = Arc::clone(sns);
    gateway.admin_route("topics", move |request| {
        let answer = answer(&sns, &request);
        async move { answer }
    });
}

fn answer(sns: &Sns, request: &AdminRequest) -> AdminAnswer {
    if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the numbers of topics");
    }
    let wanted = request.query.split('&').find_map(|pair| pair.strip_prefix("topic="));
    let topics = sns.metrics().into_iter().filter(|(arn, _)| wanted.is_none_or(|wanted| arn == wanted));
    AdminAnswer::ok(&BTreeMap::from([("topics", topics.collect::<BTreeMap<_, _>>())]))
}
