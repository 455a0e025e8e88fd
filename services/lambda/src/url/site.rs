//! What the gateway passes on: a request to a function URL, from who may to the function's answer.
//!
//! A URL of type `NONE` is open to whom the function's policy opens it: as with AWS since October 2025 that takes two
//! permissions, `lambda:InvokeFunctionUrl` (condition `lambda:FunctionUrlAuthType`) and `lambda:InvokeFunction`
//! (condition `lambda:InvokedViaFunctionUrl`). With `AWS_IAM` the request must be signed for `lambda`; callers of the
//! function's own account pass unless a policy denies them (identity policies are not evaluated yet), others need the
//! same two permissions.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html>.

use std::fmt;
use std::sync::Arc;

use base::Principal;
use bytes::Bytes;
use frontdoor::{FrontDoorHandle, Source};
use gateway::{Body, Refused, Serving, Site, Sites, Visit, Visitor};
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use policy::{Decision, Request, account_of};
use serde::{Deserialize, Serialize};

use super::address::{Address, host_name};
use super::event::{About, Iam, event};
use super::record::{AuthType, Found, InvokeMode};
use super::{answer, cors, stream};
use crate::Lambda;
use crate::error::LambdaError;
use crate::invoke::{Invocation, Origin};
use crate::operations::invoke::{MAX_PAYLOAD_BYTES, PAYLOAD_TOO_LARGE};
use crate::policy::kept::resource_of;

const FORBIDDEN: &str = "Forbidden. For troubleshooting Function URL authorization issues, see: \
                         https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html";
/// Our word to the developer, which permission is missing. AWS says nothing.
const REASON: HeaderName = HeaderName::from_static("x-lamplighter-reason");

/// The function URLs of the platform, for the gateway.
#[derive(Clone)]
pub struct FunctionUrls {
    lambda: Arc<Lambda>,
    front_door: FrontDoorHandle,
}

impl FunctionUrls {
    /// The URLs of this service's functions. `front_door` is asked who a signer is.
    #[must_use]
    pub fn new(lambda: Arc<Lambda>, front_door: FrontDoorHandle) -> Self {
        FunctionUrls { lambda, front_door }
    }
}

impl fmt::Debug for FunctionUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionUrls")
    }
}

impl Sites for FunctionUrls {
    fn claim(&self, head: &Parts) -> Option<Box<dyn Site>> {
        let address = Address::of(head)?;
        let found = self.lambda.functions.url(&address.id).unwrap_or_else(|error| {
            tracing::error!(%error, "a function URL cannot be read");
            None
        });
        let here = |found: &Found| {
            address.region.as_deref().is_none_or(|region| region == found.target.region.as_str())
        };
        let found = found.filter(here);
        Some(Box::new(UrlSite { urls: self.clone(), address, found }))
    }
}

/// The URL that a request is for.
struct UrlSite {
    urls: FunctionUrls,
    address: Address,
    /// `None`: there is no such URL.
    found: Option<Found>,
}

impl Site for UrlSite {
    fn max_body_bytes(&self) -> usize {
        MAX_PAYLOAD_BYTES
    }

    fn signing_name(&self) -> Option<&'static str> {
        let found = self.found.as_ref()?;
        (found.row.auth_type == AuthType::AwsIam).then_some("lambda")
    }

    fn answer_early(&self, head: &Parts) -> Option<Response<Body>> {
        match &self.found {
            None => Some(answer::refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", "Not Found")),
            Some(found) => cors::preflight(found.row.cors.as_ref()?, head),
        }
    }

    fn refuse(&self, head: &Parts, refused: &Refused) -> Response<Body> {
        let response = match refused {
            Refused::Unsigned => {
                let response = answer::refusal(StatusCode::FORBIDDEN, "AccessDeniedException", "Forbidden");
                because(response, "the request is not signed, and the URL's auth type is AWS_IAM")
            }
            Refused::TooLarge => too_large(),
            Refused::Signature(error) | Refused::Body(error) => {
                let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::FORBIDDEN);
                answer::refusal(status, &error.code, &error.message)
            }
        };
        self.for_page(head, response)
    }

    fn serve(self: Box<Self>, visit: Visit) -> Serving {
        Box::pin(async move {
            let Visit { head, body, .. } = &visit;
            let response = match &self.found {
                Some(found) => {
                    self.run(found, &visit, head, body).await.unwrap_or_else(|error| told(&error, &visit))
                }
                // Answered early.
                None => answer::failed(),
            };
            self.for_page(head, response)
        })
    }
}

impl UrlSite {
    /// Puts the headers in that let a page of another origin read the answer.
    fn for_page(&self, head: &Parts, mut response: Response<Body>) -> Response<Body> {
        if let Some(cors) = self.found.as_ref().and_then(|found| found.row.cors.as_ref()) {
            cors::apply(cors, head, response.headers_mut());
        }
        response
    }

    async fn run(
        &self,
        found: &Found,
        visit: &Visit,
        head: &Parts,
        body: &Bytes,
    ) -> Result<Response<Body>, LambdaError> {
        let lambda = &self.urls.lambda;
        if let Some(why) = refusal(lambda, found, visit)? {
            let response = answer::refusal(StatusCode::FORBIDDEN, "AccessDeniedException", FORBIDDEN);
            return Ok(because(response, why));
        }
        let domain_name = host_name(&found.row.id, &found.target.region);
        let about = About {
            id: &found.row.id,
            domain_name: &domain_name,
            path: self.address.path(head.uri.path()),
            peer: visit.peer,
            request_id: &visit.request_id,
            now: lambda.clock.now(),
            port: lambda.gateway_port,
            iam: self.signer(found, visit).await?,
            account: found.target.account.to_string(),
        };
        let payload = event(&about, head, body).map_err(|error| LambdaError::Internal(error.to_string()))?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Ok(too_large());
        }
        let resolved = lambda.resolve(&found.target).await?;
        lambda.check_ready(&resolved.function).await?;
        let invocation = Invocation {
            request_id: visit.request_id.clone(),
            invoked_arn: resolved.invoked_arn,
            payload: Bytes::from(payload),
            client_context: None,
            want_tail: false,
            trace_header: trace_header(head),
            origin: Origin::Url,
            queue_age_ms: None,
            tenant_id: None,
        };
        let streaming = lambda.invoker.invoke_streaming(resolved.function, invocation).await?;
        let response = match found.row.invoke_mode {
            InvokeMode::Buffered => stream::buffered(streaming).await,
            InvokeMode::ResponseStream => stream::streamed(streaming).await,
        };
        Ok(response.unwrap_or_else(|stream::Failure(why)| {
            tracing::debug!(request_id = %visit.request_id, why, "a function URL's answer is no response");
            answer::failed()
        }))
    }

    /// Who signed, as the event names it.
    async fn signer(&self, found: &Found, visit: &Visit) -> Result<Option<Iam>, LambdaError> {
        let Some(Visitor { principal, access_key_id }) = &visit.visitor else { return Ok(None) };
        let account = account_of(principal).unwrap_or(found.target.account);
        let front_door = self.urls.front_door.try_get();
        let front_door =
            front_door.ok_or_else(|| LambdaError::Internal("the front door is gone".to_owned()))?;
        let call = front_door.call(principal.clone(), account, found.target.region.clone());
        let identity =
            call.service("sts").invoke::<_, CallerIdentity>("GetCallerIdentity", &Nothing {}).await;
        let identity = identity.map_err(|error| LambdaError::Internal(error.to_string()))?;
        Ok(Some(Iam {
            access_key: access_key_id.clone(),
            account_id: Some(account.to_string()),
            caller_id: identity.user_id.clone(),
            cognito_identity: None,
            principal_org_id: None,
            user_arn: identity.arn,
            user_id: identity.user_id,
        }))
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    user_id: String,
    arn: String,
}

/// Why a visitor may not call a URL, if it may not.
fn refusal(lambda: &Lambda, found: &Found, visit: &Visit) -> Result<Option<&'static str>, LambdaError> {
    let (target, auth_type) = (&found.target, found.row.auth_type);
    let resource = resource_of(target);
    let nobody = Principal::Anonymous;
    let principal = visit.visitor.as_ref().map_or(&nobody, |visitor| &visitor.principal);
    let own = account_of(principal) == Some(target.account);
    let reasons = [
        ("lambda:InvokeFunctionUrl", "no resource-based policy allows lambda:InvokeFunctionUrl"),
        (
            "lambda:InvokeFunction",
            "no resource-based policy allows lambda:InvokeFunction (add it with InvokedViaFunctionUrl)",
        ),
    ];
    let policies = lambda.policies(target)?;
    let context = Source::Http { peer: visit.peer }
        .policy_context()
        .at(lambda.clock.now())
        .with("aws:RequestedRegion", target.region.as_str())
        .with("lambda:FunctionUrlAuthType", auth_type.as_str())
        .with("lambda:InvokedViaFunctionUrl", "true");
    for (action, silence) in reasons {
        let request = Request::new(action, principal, &resource).within(context.clone());
        match policies.decide(&request) {
            Decision::Allowed => {}
            Decision::Denied => return Ok(Some("a resource-based policy denies it")),
            Decision::Silent if own => {}
            Decision::Silent => return Ok(Some(silence)),
        }
    }
    Ok(None)
}

/// The caller's trace header, unless it is none: longer, or no text.
fn trace_header(head: &Parts) -> Option<String> {
    const MAX_BYTES: usize = 1024;
    let value = head.headers.get("x-amzn-trace-id")?.to_str().ok()?;
    (value.len() <= MAX_BYTES).then(|| value.to_owned())
}

fn too_large() -> Response<Body> {
    answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", PAYLOAD_TOO_LARGE)
}

fn because(mut response: Response<Body>, why: &'static str) -> Response<Body> {
    response.headers_mut().insert(REASON, HeaderValue::from_static(why));
    response
}

/// An error of the platform. Throttles are 429; what went wrong inside is for the log.
fn told(error: &LambdaError, visit: &Visit) -> Response<Body> {
    match error {
        LambdaError::Invoke(cause) => {
            let error = base::ApiError::from(cause.clone());
            if error.http_status() >= 500 {
                tracing::error!(request_id = %visit.request_id, code = %error.code, message = %error.message,
                    "a function URL's function was not run");
            }
            let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
            answer::refusal(status, &error.code, &error.message)
        }
        error => {
            tracing::error!(request_id = %visit.request_id, %error, "a function URL failed");
            answer::failed()
        }
    }
}
