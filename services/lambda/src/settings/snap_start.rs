//! SnapStart: which functions may ask for it.
//!
//! Only the states of the API are here. Environments of a version with SnapStart start as all others do: no snapshot is
//! taken yet.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html>.

use crate::error::LambdaError;
use crate::record::Settings;

/// The largest `/tmp` of a function with SnapStart, in MiB.
const MAX_TMP_MIB: u32 = 512;

/// Checks that a function with these settings may have what it asks for.
///
/// # Errors
/// A runtime, a file system or a `/tmp` that SnapStart does not go with.
pub(super) fn check(settings: &Settings) -> Result<(), LambdaError> {
    if !settings.snap_start {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(LambdaError::InvalidParameter(format!(
            "{what} is not supported for SnapStart enabled functions."
        )))
    };
    if !is_supported(&settings.runtime) {
        return refuse(&settings.runtime);
    }
    if !settings.file_systems.is_empty() {
        return refuse("FileSystemConfigs");
    }
    if settings.tenant_isolation {
        return refuse("Tenant isolation");
    }
    if settings.tmp_mib > MAX_TMP_MIB {
        return refuse(&format!("EphemeralStorage larger than {MAX_TMP_MIB} MB"));
    }
    Ok(())
}

/// Java 11, Python 3.12 and .NET 8, and what is newer.
fn is_supported(runtime: &str) -> bool {
    let newer = |prefix: &str, least: u32| {
        let number = runtime.strip_prefix(prefix).and_then(|number| number.parse::<u32>().ok());
        number.is_some_and(|number| number >= least)
    };
    newer("java", 11) || newer("python3.", 12) || newer("dotnet", 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Architecture;

    #[test]
    fn only_some_runtimes_and_a_small_tmp() {
        let with = |runtime: &str, tmp_mib: u32| {
            let mut settings = Settings::defaults(Architecture::host());
            (settings.runtime, settings.tmp_mib, settings.snap_start) = (runtime.to_owned(), tmp_mib, true);
            check(&settings).map_err(|error| error.to_string())
        };
        for runtime in ["java11", "java17", "java25", "python3.12", "python3.14", "dotnet8", "dotnet10"] {
            assert_eq!(with(runtime, 512), Ok(()), "{runtime}");
        }
        for runtime in
            ["python3.11", "nodejs22.x", "java8", "java8.al2", "dotnet6", "provided.al2023", "ruby3.3"]
        {
            let expected = format!("{runtime} is not supported for SnapStart enabled functions.");
            assert_eq!(with(runtime, 512), Err(expected));
        }
        assert!(with("python3.12", 513).unwrap_err().starts_with("EphemeralStorage larger than 512 MB"));
        assert_eq!(
            check(&Settings::defaults(Architecture::host())).map_err(|error| error.to_string()),
            Ok(())
        );
    }
}
