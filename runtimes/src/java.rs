//! How Java is started: the runtime client's jar, its class archive, and the flags of the virtual machine.
//!
//! The jar is built from `runtimes/java` by `cargo xtask java` and checked in. The archive (class data sharing) spares
//! every cold start the loading and checking of the client's classes and of what it uses of the library. It is valid
//! for one Java and one class path: the class path is relative to the working directory, so that it is the same where
//! the archive is made and in a box.
//!
//! Defined by: <https://docs.aws.amazon.com/lambda/latest/dg/java-customization.html>

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const JAR: &str = "lamplighter-runtime.jar";
const ARCHIVE: &str = "lamplighter-runtime.jsa";
const MAIN: &str = "lamplighter.runtime.Main";
/// Of the function's memory, as on AWS.
const HEAP_PERCENT: u64 = 85;
/// The first version that archives what was loaded at its end, and of which AWS has a runtime.
const FIRST_TO_ARCHIVE: u32 = 17;
/// The first version that warns when a library is loaded, which our client may do, and only the command line may allow.
const FIRST_TO_WARN: u32 = 24;
const ALLOW_LIBRARIES: &str = "--enable-native-access=ALL-UNNAMED";

/// The client's files.
pub(crate) static FILES: &[(&str, &[u8])] = &[(JAR, include_bytes!("../java/lamplighter-runtime.jar"))];

/// Where the client for one Java is below `root`: an archive is that Java's own. In a box the directory is
/// `/var/runtime`, and the working directory is beside it: both have the same place here.
pub(crate) fn client_dir(root: &Path, executable: &Path) -> PathBuf {
    let name: String = executable
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    root.join("java").join(name.trim_matches('_')).join("runtime")
}

/// The command without flags.
pub(crate) fn command(executable: String) -> Vec<String> {
    vec![executable, "-cp".to_owned(), format!("../runtime/{JAR}"), MAIN.to_owned()]
}

/// The flags for a function with `memory_mib`. What the function's own `JAVA_TOOL_OPTIONS` decides is left to it: the
/// command line would win over that variable.
pub(crate) fn flags(version: &str, memory_mib: u32, options: &str, client_dir: Option<&Path>) -> Vec<String> {
    let mentions = |words: &[&str]| words.iter().any(|word| options.contains(word));
    let mut flags = Vec::new();
    if !mentions(&["-Xmx", "MaxHeapSize", "MaxRAM"]) {
        let kib = u64::from(memory_mib) * 1024 * HEAP_PERCENT / 100;
        flags.push(format!("-XX:MaxHeapSize={kib}k"));
    }
    let has_collector =
        options.split_whitespace().any(|word| word.starts_with("-XX:+Use") && word.ends_with("GC"));
    if !has_collector {
        flags.push("-XX:+UseSerialGC".to_owned());
    }
    if !mentions(&["Tiered"]) {
        flags.push("-XX:TieredStopAtLevel=1".to_owned());
    }
    // The files of it would lie in /tmp, which is the function's.
    flags.push("-XX:-UsePerfData".to_owned());
    flags.extend(allowance(version).map(str::to_owned));
    let has_archive = client_dir.is_some_and(|dir| dir.join(ARCHIVE).is_file());
    if has_archive && !mentions(&["-Xshare", "SharedArchiveFile", "AOTCache"]) {
        flags.push(format!("-XX:SharedArchiveFile=/var/runtime/{ARCHIVE}"));
        flags.push("-Xlog:cds*=off".to_owned());
    }
    flags
}

/// What a Java must be told so that loading a library is no warning in the function's log.
fn allowance(version: &str) -> Option<&'static str> {
    is_at_least(version, FIRST_TO_WARN).then_some(ALLOW_LIBRARIES)
}

/// Whether a Java of `version` can make an archive.
pub(crate) fn can_archive(version: &str) -> bool {
    is_at_least(version, FIRST_TO_ARCHIVE)
}

fn is_at_least(version: &str, feature: u32) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= feature)
}

/// Makes the archive: runs the client once over what every start does, and tells whether that went well.
pub(crate) fn archive(executable: &Path, version: &str, client_dir: &Path) -> bool {
    let Some(place) = client_dir.parent() else { return false };
    let task = place.join("task");
    let made = client_dir.join(format!("{ARCHIVE}.new"));
    let outcome = fs::create_dir_all(&task).and_then(|()| {
        Command::new(executable)
            .arg(format!("-XX:ArchiveClassesAtExit=../runtime/{ARCHIVE}.new"))
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx128m"])
            // The archive is only as good as the command line is the same.
            .args(allowance(version))
            .args(["-cp", &format!("../runtime/{JAR}"), MAIN, "--rehearse"])
            .env_clear()
            .current_dir(&task)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    });
    let done = match outcome {
        Ok(status) if status.success() => fs::rename(&made, client_dir.join(ARCHIVE)),
        Ok(status) => Err(std::io::Error::other(status.to_string())),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        // One that an earlier version of this program made would not fit: away with it.
        let _ = fs::remove_file(client_dir.join(ARCHIVE));
        tracing::warn!(%error, executable = %executable.display(), "no class archive of the runtime client");
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_the_memory_and_leave_alone_what_the_function_sets() {
        let plain = flags("17.0", 512, "", None);
        assert_eq!(
            plain,
            ["-XX:MaxHeapSize=445644k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        );
        let own = "-Xmx100m -XX:+UseG1GC -XX:+TieredCompilation";
        assert_eq!(flags("17.0", 512, own, None), ["-XX:-UsePerfData"]);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(flags("17.0", 512, own, Some(dir.path())).len(), 1);
        fs::write(dir.path().join(ARCHIVE), "").unwrap();
        assert_eq!(
            flags("17.0", 512, own, Some(dir.path()))[1],
            "-XX:SharedArchiveFile=/var/runtime/lamplighter-runtime.jsa"
        );
        assert_eq!(flags("17.0", 512, "-Xmx9m -Xshare:off", Some(dir.path())).len(), 3);
    }

    #[test]
    fn those_that_warn_of_libraries_are_told_not_to() {
        assert!(flags("25.0.1", 512, "", None).contains(&ALLOW_LIBRARIES.to_owned()));
        assert!(!flags("21.0.1", 512, "", None).contains(&ALLOW_LIBRARIES.to_owned()));
    }

    #[test]
    fn only_new_ones_archive() {
        assert!(can_archive("17.0.9") && can_archive("25.0"));
        assert!(!can_archive("11.0.2") && !can_archive("8.0_402"));
    }
}
