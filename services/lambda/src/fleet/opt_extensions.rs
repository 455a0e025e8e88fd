//! The external extensions of a function: the files in `extensions` of what is mounted at `/opt`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html>.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::runtime_api::extensions::{Fault, FaultKind, MAX_EXTENSIONS};

/// Where they are inside.
pub(crate) const PLACE: &str = "/opt/extensions";

/// Variables of the function that its extensions do not get.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-extensions-registration-api-e>
pub(crate) const NOT_FOR_EXTENSIONS: &[&str] = &[
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
    "_LAMBDA_TELEMETRY_LOG_FD",
];

/// Their names, in order. Touches the disk.
///
/// # Errors
/// More than a function may have, or a name that is no text; the first one beyond is named.
pub(crate) fn list(opt_dir: &Path) -> Result<Vec<Arc<str>>, Fault> {
    let entries = match std::fs::read_dir(opt_dir.join("extensions")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(launch_fault("", &error)),
    };
    let mut names: Vec<Arc<str>> = Vec::new();
    for entry in entries.flatten() {
        // A link counts as what it leads to.
        let is_file = std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file());
        if is_file {
            names.push(Arc::from(entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    match names.get(MAX_EXTENSIONS) {
        Some(beyond) => Err(Fault {
            extension: Arc::clone(beyond),
            kind: FaultKind::Launch(format!("Extension limit ({MAX_EXTENSIONS}) reached")),
        }),
        None => Ok(names),
    }
}

/// What AWS says of one that cannot be started.
pub(crate) fn launch_fault(name: &str, error: &io::Error) -> Fault {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if error.raw_os_error() == Some(super::blueprint::ENOEXEC) => "exec format error".to_owned(),
        _ => error.to_string(),
    };
    Fault { extension: Arc::from(name), kind: FaultKind::Launch(format!("fork/exec {PLACE}/{name}: {why}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_extensions_and_ten_are_the_most() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 0);
        let extensions = dir.path().join("extensions");
        std::fs::create_dir_all(extensions.join("lib")).unwrap();
        for n in 0..MAX_EXTENSIONS {
            std::fs::write(extensions.join(format!("e{n}")), "").unwrap();
        }
        let names = list(dir.path()).unwrap();
        assert_eq!((names.len(), &*names[0], &*names[9]), (10, "e0", "e9"));
        std::fs::write(extensions.join("e-one-more"), "").unwrap();
        let fault = list(dir.path()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Launch("Extension limit (10) reached".to_owned()));
    }

    #[test]
    fn a_launch_that_fails_is_told_as_aws_does() {
        let fault = launch_fault("x.sh", &io::Error::from_raw_os_error(13));
        assert_eq!(
            fault.kind,
            FaultKind::Launch("fork/exec /opt/extensions/x.sh: permission denied".to_owned())
        );
    }
}
