//! A service as the front door holds it: its model's id and a table of typed handlers.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use base::ApiError;
use model::{Catalog, ServiceModel};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::Doc;

use crate::answer::{Answer, Streamed};
use crate::call::Call;
use crate::guard::BoxFuture;

/// A handler behind its types: takes the validated input, gives the answer to be encoded.
type Erased = Box<dyn Fn(Call, Doc) -> BoxFuture<Result<Answer, ApiError>> + Send + Sync>;

pub(crate) struct Handler {
    pub(crate) run: Erased,
    /// The member paths of the handler's input struct; computed on demand, for the documentation.
    pub(crate) members: fn() -> Vec<String>,
}

/// The largest body that an operation takes, checked before the body is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// Bytes.
    pub bytes: usize,
    /// What the client reads when its body is larger.
    pub message: &'static str,
}

/// A service: built once by its crate, added to the front door by the assembly.
pub struct Service {
    pub(crate) model_id: &'static str,
    pub(crate) handlers: HashMap<&'static str, Handler>,
    pub(crate) body_limits: HashMap<&'static str, BodyLimit>,
    /// By operation: members that are taken with some values only, and which.
    pub(crate) partly: HashMap<&'static str, Vec<(&'static str, &'static str)>>,
    model: OnceLock<&'static ServiceModel>,
}

impl Service {
    /// Starts a service over the model with this id, whose handlers share `state`.
    #[allow(clippy::new_ret_no_self)] // reads as what it starts: `Service::new("logs", state).on(..).build()`
    pub fn new<S: Send + Sync + 'static>(model_id: &'static str, state: Arc<S>) -> ServiceBuilder<S> {
        ServiceBuilder {
            state,
            service: Service {
                model_id,
                handlers: HashMap::new(),
                body_limits: HashMap::new(),
                partly: HashMap::new(),
                model: OnceLock::new(),
            },
        }
    }

    /// The service's model, loaded on the service's first use. `None`: the binary embeds no model of this id.
    pub(crate) fn model(&self) -> Option<&'static ServiceModel> {
        if let Some(model) = self.model.get() {
            return Some(model);
        }
        let model = Catalog::embedded().service(self.model_id)?;
        Some(self.model.get_or_init(|| model))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("model_id", &self.model_id).finish_non_exhaustive()
    }
}

/// Collects a service's handlers.
pub struct ServiceBuilder<S> {
    state: Arc<S>,
    service: Service,
}

impl<S: Send + Sync + 'static> ServiceBuilder<S> {
    /// Serves `operation` with an async function from its input struct to its answer.
    ///
    /// The last handler given for an operation wins. In builds with debug assertions [`ServiceBuilder::build`]
    /// panics when the model has no such operation.
    #[must_use]
    pub fn on<I, O, E, F, Fut>(self, operation: &'static str, handler: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        E: Into<ApiError> + 'static,
        F: Fn(Arc<S>, Call, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        self.serve(operation, handler, move |answer| output(operation, &answer).map(Answer::Whole))
    }

    /// Serves `operation`, whose answer is a stream of events, with an async function from its input struct to the
    /// answer's head and its events. The function ends when the head is known; the events are made as they are sent,
    /// and dropped when the client goes away: what must go on then is a task of its own.
    ///
    /// Otherwise as [`ServiceBuilder::on`].
    #[must_use]
    pub fn on_stream<I, H, E, F, Fut>(self, operation: &'static str, handler: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        H: Serialize + Send + 'static,
        E: Into<ApiError> + 'static,
        F: Fn(Arc<S>, Call, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Streamed<H>, E>> + Send + 'static,
    {
        self.serve(operation, handler, move |Streamed { head, events }| {
            Ok(Answer::Stream { head: output(operation, &head)?, events })
        })
    }

    /// Takes a handler's types away: its input is read before it, and `encode` makes the answer of what it gives.
    fn serve<I, T, E, F, Fut>(
        mut self,
        operation: &'static str,
        handler: F,
        encode: impl Fn(T) -> Result<Answer, ApiError> + Copy + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        T: 'static,
        E: Into<ApiError> + 'static,
        F: Fn(Arc<S>, Call, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let handler = Arc::new(handler);
        let run: Erased = Box::new(move |call, input| {
            let (state, handler) = (Arc::clone(&state), Arc::clone(&handler));
            Box::pin(async move {
                let input: I = wire::doc::from_doc(input).map_err(|error| misfit(operation, error))?;
                encode(handler(state, call, input).await.map_err(Into::into)?)
            })
        });
        let members = || wire::doc::members_of::<I>();
        self.service.handlers.insert(operation, Handler { run, members });
        self
    }

    /// Refuses bodies of `operation` larger than `bytes` with `RequestEntityTooLargeException` (413) and `message`.
    #[must_use]
    pub fn body_limit(mut self, operation: &'static str, bytes: usize, message: &'static str) -> Self {
        self.service.body_limits.insert(operation, BodyLimit { bytes, message });
        self
    }

    /// Says for the support table that a member of `operation` is taken with some values only, such as "empty only".
    /// The handler refuses the others by name.
    #[must_use]
    pub fn partly(mut self, operation: &'static str, member: &'static str, taken: &'static str) -> Self {
        self.service.partly.entry(operation).or_default().push((member, taken));
        self
    }

    /// The service.
    ///
    /// # Panics
    /// In builds with debug assertions, when the model or one of the operations does not exist: a spelling mistake
    /// shall fail the first test. Release builds do not load the model here, to start fast.
    #[must_use]
    pub fn build(self) -> Service {
        #[cfg(debug_assertions)]
        {
            let id = self.service.model_id;
            let Some(model) = self.service.model() else { panic!("no model '{id}'") };
            for name in self.service.handlers.keys().chain(self.service.body_limits.keys()) {
                assert!(model.operation(name).is_some(), "the model '{id}' has no operation '{name}'");
            }
        }
        self.service
    }
}

/// A handler's answer as a document.
fn output<O: Serialize>(operation: &'static str, answer: &O) -> Result<Doc, ApiError> {
    match wire::doc::to_doc(answer) {
        // `()` is the answer of operations that say nothing.
        Ok(Doc::Null) => Ok(Doc::empty()),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ApiError::internal(format_args!("answer of {operation}: {error}"))),
    }
}

/// Why a validated input does not fit the handler's struct.
///
/// A modelled member that the struct lacks is not supported yet. AWS has no code for that. The status must be a 4xx:
/// SDKs retry a 501 like every other 5xx, and this will not pass by waiting.
fn misfit(operation: &'static str, error: wire::DocError) -> ApiError {
    match error {
        wire::DocError::UnsupportedMember { path } => ApiError::new(
            "UnsupportedParameterException",
            format!("parameter {path} of operation {operation} is not supported"),
        ),
        // The input passed the model's validation, so it is our struct that is wrong.
        error => ApiError::internal(format_args!("input of {operation}: {error}")),
    }
}
