//! Which runtimes a function may have.
//!
//! What this host can run is the `runtimes` crate's to know; this is what the API answers about it.
//!
//! Runtimes: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>.

use std::sync::Arc;

use base::Region;
use runtimes::{Language, RuntimeMap, Status};

use crate::error::LambdaError;
use crate::package::Digest;

/// Says whether this host can run a supported runtime, or what is missing and what to do. May block.
pub type RuntimeCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The check against the interpreters of this host.
#[must_use]
pub fn host_runtimes(map: RuntimeMap) -> RuntimeCheck {
    Arc::new(move |runtime| runtimes::find(runtime, &map).map(|_| ()).map_err(|missing| missing.to_string()))
}

/// Checks a runtime of a request.
///
/// # Errors
/// Unknown and deprecated ones in AWS's words; those we cannot run yet, and those this host lacks, by name.
pub(crate) async fn check(runtime: &str, host: &RuntimeCheck) -> Result<(), LambdaError> {
    let Some(known) = runtimes::lookup(runtime) else {
        let ids: Vec<&str> = allowed().collect();
        return Err(LambdaError::InvalidParameter(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or be \
             a valid ARN",
            ids.join(", ")
        )));
    };
    match known.status {
        Status::Deprecated => Err(LambdaError::InvalidParameter(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. \
             We recommend you use the new runtime ({}) while creating or updating functions.",
            successor(known.language)
        ))),
        Status::NotYet => {
            let served: Vec<&str> = runtimes::known()
                .iter()
                .filter(|runtime| runtime.status == Status::Supported)
                .map(|runtime| runtime.id)
                .collect();
            let remedy = match known.language {
                Language::Dotnet => {
                    " .NET runs as provided.al2023, with a native executable (Native AOT) as bootstrap."
                }
                _ => "",
            };
            Err(LambdaError::InvalidParameter(format!(
                "The runtime {runtime} is not supported by this platform yet. Supported are: {}.{remedy}",
                served.join(", ")
            )))
        }
        Status::Supported => {
            let (host, runtime) = (Arc::clone(host), runtime.to_owned());
            tokio::task::spawn_blocking(move || host(&runtime))
                .await
                .map_err(|error| LambdaError::Internal(error.to_string()))?
                .map_err(LambdaError::InvalidParameter)
        }
    }
}

fn allowed() -> impl Iterator<Item = &'static str> {
    runtimes::known().iter().filter(|runtime| runtime.status != Status::Deprecated).map(|runtime| runtime.id)
}

/// The newest runtime of the same language.
fn successor(language: Language) -> &'static str {
    // Go programs, and whatever else had a runtime of its own, are native ones now.
    let newest = |language| {
        let mut ids = runtimes::known()
            .iter()
            .filter(move |runtime| runtime.language == language && runtime.status != Status::Deprecated);
        ids.next_back().map(|runtime| runtime.id)
    };
    newest(language).unwrap_or("provided.al2023")
}

/// `RuntimeVersionArn`. AWS's hash names a build of its runtime; ours stands for the runtime's id.
pub(crate) fn version_arn(runtime: &str, region: &Region) -> String {
    format!("arn:aws:lambda:{region}::runtime:{}", Digest::of(runtime.as_bytes()).hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(runtime: &str) -> Option<String> {
        let host: RuntimeCheck = Arc::new(|_| Ok(()));
        check(runtime, &host).await.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn runtimes_are_known_deprecated_or_not_there_yet() {
        assert_eq!(refusal("python3.12").await, None);
        let unknown = refusal("haskell").await.unwrap();
        assert!(unknown.starts_with(
            "Value haskell at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
        ));
        assert!(unknown.ends_with("] or be a valid ARN"));
        assert_eq!(
            refusal("python2.7").await.unwrap(),
            "The runtime parameter of python2.7 is no longer supported for creating or updating AWS Lambda functions. \
             We recommend you use the new runtime (python3.14) while creating or updating functions."
        );
        assert!(refusal("go1.x").await.unwrap().contains("(provided.al2023)"));
        assert!(
            refusal("dotnet8")
                .await
                .unwrap()
                .starts_with("The runtime dotnet8 is not supported by this platform yet")
        );
    }

    #[tokio::test]
    async fn a_runtime_this_host_lacks_is_refused_with_the_remedy() {
        let host: RuntimeCheck = Arc::new(|runtime| Err(format!("install {runtime}")));
        let error = check("python3.12", &host).await.unwrap_err();
        assert_eq!(error.to_string(), "install python3.12");
    }
}
