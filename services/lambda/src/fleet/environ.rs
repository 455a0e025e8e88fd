//! The environment variables of a function, as AWS's list has them.
//!
//! Three layers: defaults that a function may replace, its own variables, and the reserved ones that it may not.
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use runtimes::{Interpreter, Language};

use super::credentials::RoleCredentials;
use super::generic::PURPOSE_VARIABLE;
use crate::function::{FunctionConfig, LogFormat};

/// What the variables depend on besides the function.
pub(crate) struct Surroundings<'a> {
    pub(crate) language: Language,
    /// Variables that the interpreter needs.
    pub(crate) interpreter: &'a [(String, String)],
    pub(crate) credentials: &'a RoleCredentials,
    pub(crate) log_stream: &'a str,
    pub(crate) gateway_port: u16,
}

/// Every variable, each once.
pub(crate) fn variables(function: &FunctionConfig, around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut all = defaults(function, around);
    all.extend(function.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    // Ours, for starts that serve no function.
    all.remove(PURPOSE_VARIABLE);
    all.extend(reserved(function, around).into_iter().map(|(name, value)| (name.to_owned(), value)));
    all
}

/// The defaults that depend on the language alone, whatever the function.
fn of_language(language: Language) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("LANG", locale()),
        ("TZ", ":UTC"),
        ("PATH", "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        (
            "LD_LIBRARY_PATH",
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        ),
    ];
    if language == Language::Python {
        all.push(("PYTHONPATH", "/var/runtime"));
    }
    all
}

/// The variables of an interpreter that is started for no function.
pub(crate) fn generic(interpreter: &Interpreter) -> Vec<(String, String)> {
    let usual = of_language(interpreter.language).into_iter();
    let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
    usual.chain(interpreter.env.iter().cloned()).collect()
}

fn defaults(function: &FunctionConfig, around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| all.insert(name.to_owned(), value.to_owned());
    for (name, value) in of_language(around.language) {
        set(name, value);
    }
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("AWS_ENDPOINT_URL", &format!("http://localhost:{}", around.gateway_port));
    let runtime = function.runtime.as_deref().unwrap_or_default();
    if around.language == Language::Node {
        let version = runtime.trim_start_matches("nodejs").trim_end_matches(".x");
        set(
            "NODE_PATH",
            &format!(
                "/opt/nodejs/node{version}/node_modules:/opt/nodejs/node_modules:\
                 /var/runtime/node_modules:/var/runtime:/var/task"
            ),
        );
    }
    for (name, value) in around.interpreter {
        set(name, value);
    }
    all
}

fn reserved(function: &FunctionConfig, around: &Surroundings<'_>) -> Vec<(&'static str, String)> {
    let region = function.region.to_string();
    let key = &around.credentials.access_key_id;
    let mut all = vec![
        ("_HANDLER", function.handler.clone().unwrap_or_default()),
        ("_LAMBDA_TELEMETRY_LOG_FD", if frames_in_output(around.language) { "1" } else { "3" }.to_owned()),
        ("AWS_DEFAULT_REGION", region.clone()),
        ("AWS_REGION", region),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mib.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", function.version.clone()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", function.log_group.clone()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", around.log_stream.to_owned()),
        ("AWS_ACCESS_KEY", key.clone()),
        ("AWS_ACCESS_KEY_ID", key.clone()),
        ("AWS_SECRET_ACCESS_KEY", around.credentials.secret_access_key.clone()),
        ("AWS_SESSION_TOKEN", around.credentials.session_token.clone()),
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001".to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
    ];
    // OS-only runtimes have none, as AWS documents.
    if let Some(runtime) = function.runtime.as_deref()
        && around.language != Language::Provided
    {
        all.push(("AWS_EXECUTION_ENV", format!("AWS_Lambda_{runtime}")));
    }
    if function.log_format == LogFormat::Json {
        all.push(("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()));
        let level = function.application_log_level.clone().unwrap_or_else(|| "INFO".to_owned());
        all.push(("AWS_LAMBDA_LOG_LEVEL", level));
    }
    all
}

/// Replaces one variable of those made by [`variables`].
pub(crate) fn set(env: &mut [(OsString, OsString)], name: &str, value: &str) {
    for (_, old) in env.iter_mut().filter(|(known, _)| known == name) {
        *old = value.into();
    }
}

/// Where runtime clients write framed events: ours among what the function prints, so that one pipe keeps the order of
/// both; others, of which nothing is known, to a pipe of their own as on AWS.
pub(crate) fn frames_in_output(language: Language) -> bool {
    matches!(language, Language::Python | Language::Node | Language::Ruby | Language::Java)
}

/// AWS's locale where the host has it; otherwise the one every host has.
fn locale() -> &'static str {
    static LOCALE: OnceLock<&str> = OnceLock::new();
    LOCALE.get_or_init(|| {
        let places = ["/usr/lib/locale/en_US.utf8", "/usr/lib/locale/en_US.UTF-8"];
        if places.iter().any(|place| Path::new(place).exists()) { "en_US.UTF-8" } else { "C.UTF-8" }
    })
}
