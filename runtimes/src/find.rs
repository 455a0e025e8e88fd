//! From a runtime id to the interpreter that serves it: what to mount, what to start.
//!
//! The first search for a runtime asks candidates for their version (a few tens of milliseconds, blocking), so
//! call it from a blocking task; the result is remembered. A missing interpreter is not remembered: the user may
//! be installing it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::catalog::{KnownRuntime, Language, Status, lookup, lookup_interpreter, served_list};
use crate::host::Host;
use crate::java;
use crate::map::RuntimeMap;
use crate::probe::{self, Probe};

/// An interpreter of this host, ready to be started in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The runtime id that was asked for.
    pub runtime: String,
    /// The runtime id whose interpreter serves it: another one only if the user mapped it.
    pub served_by: String,
    /// The language.
    pub language: Language,
    /// The real executable (no symlink), the same inside and outside. For a `provided` runtime the `bootstrap`
    /// inside.
    pub executable: PathBuf,
    /// What must be mounted read-only besides the host's `/usr`, `/lib`, `/lib64`, `/bin`: (host path, path
    /// inside). A path may be a single file.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// The command as seen inside. Expects the runtime client at `/var/runtime`.
    pub command: Vec<String>,
    /// Environment that the interpreter itself needs.
    pub env: Vec<(String, String)>,
    /// Full version, for example `3.12.1`. Empty for a `provided` runtime.
    pub version: String,
}

impl Interpreter {
    /// The command for a function with `memory_mib`. Node.js and Java are told their heap limits as on AWS, because
    /// they would otherwise size their heaps by the machine and be killed before they ever collect; other languages
    /// need nothing. `java_options`: the function's `JAVA_TOOL_OPTIONS`, whose settings ours must not override.
    /// `client_dir`: what [`install`](crate::install) gave.
    #[must_use]
    pub fn command_for(&self, memory_mib: u32, java_options: &str, client_dir: Option<&Path>) -> Vec<String> {
        let share = |percent: u32| (u64::from(memory_mib) * u64::from(percent) / 100).max(1);
        let flags = match self.language {
            Language::Node => vec![
                "--expose-gc".to_owned(),
                format!("--max-semi-space-size={}", share(5)),
                format!("--max-old-space-size={}", share(90)),
            ],
            Language::Java => java::flags(&self.version, memory_mib, java_options, client_dir),
            _ => Vec::new(),
        };
        let mut command = self.command.clone();
        command.splice(1..1, flags);
        command
    }
}

impl Interpreter {
    /// Where the AWS SDK is that a Python function finds when it brings none along: a directory of the host. `None` if
    /// there is none, or for another language.
    #[must_use]
    pub fn python_sdk(&self) -> Option<PathBuf> {
        if self.language != Language::Python {
            return None;
        }
        let version = self.version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let mounted = self.mounts.iter().filter(|(_, inside)| inside.starts_with("/var/lang"));
        let mounted = mounted.map(|(host, _)| host.clone());
        let prefix = self.executable.parent().and_then(Path::parent);
        let own = prefix.map(|prefix| prefix.join(format!("lib/python{version}/site-packages")));
        // Debian's, of packages and of pip.
        let system = [
            "/usr/lib/python3/dist-packages".to_owned(),
            format!("/usr/local/lib/python{version}/dist-packages"),
        ];
        let system =
            system.map(PathBuf::from).into_iter().filter(|_| self.executable.starts_with("/usr/bin"));
        { own.into_iter().chain(system).chain(mounted) }.find(|dir| dir.join("boto3").is_dir())
    }
}

/// There is no interpreter for a runtime. The message says what was looked for, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MissingRuntime {
    /// The runtime id that was asked for.
    pub runtime: String,
    /// What happened and what to do.
    pub message: String,
}

/// Finds the interpreter for `runtime` on this host, as seen through `map`.
///
/// # Errors
/// The runtime is unknown, not served, or its interpreter is not installed: the message has the remedy.
pub fn find(runtime: &str, map: &RuntimeMap) -> Result<Interpreter, MissingRuntime> {
    static FOUND: OnceLock<RwLock<HashMap<String, Interpreter>>> = OnceLock::new();
    let found = FOUND.get_or_init(RwLock::default);
    let served_by = map.resolve(runtime);
    let remembered = found.read().unwrap_or_else(PoisonError::into_inner).get(served_by).cloned();
    if let Some(mut interpreter) = remembered
        && (interpreter.language == Language::Provided || interpreter.executable.exists())
    {
        interpreter.runtime = runtime.to_owned();
        return Ok(interpreter);
    }
    let interpreter = find_on(&Host::from_environment(), runtime, map)?;
    tracing::debug!(runtime, executable = %interpreter.executable.display(), version = %interpreter.version, "interpreter found");
    found.write().unwrap_or_else(PoisonError::into_inner).insert(served_by.to_owned(), interpreter.clone());
    Ok(interpreter)
}

/// [`find`] on a described host, without memory.
pub(crate) fn find_on(host: &Host, runtime: &str, map: &RuntimeMap) -> Result<Interpreter, MissingRuntime> {
    let missing = |message: String| MissingRuntime { runtime: runtime.to_owned(), message };
    let known = lookup(runtime).ok_or_else(|| {
        missing(format!(
            "runtime '{runtime}' is not a runtime of AWS Lambda (served here: {})",
            served_list()
        ))
    })?;
    match known.status {
        Status::Supported => {}
        Status::NotYet => {
            let remedy = match known.language {
                Language::Dotnet => {
                    "; .NET runs as provided.al2023 with a native executable (Native AOT) as bootstrap"
                }
                _ => "",
            };
            return Err(missing(format!(
                "runtime '{runtime}' is not supported yet (served: {}){remedy}",
                served_list()
            )));
        }
        Status::Deprecated => {
            return Err(missing(format!(
                "runtime '{runtime}' is deprecated by AWS (served: {})",
                served_list()
            )));
        }
    }
    if known.language == Language::Provided {
        return Ok(provided(runtime));
    }
    let served_by = lookup_interpreter(map.resolve(runtime)).unwrap_or(known);
    let mut refused = Vec::new();
    for candidate in host.candidates(served_by) {
        match probe::ask(served_by.language, &candidate) {
            Ok(probe) if serves(&probe.version, served_by) => {
                return Ok(interpreter(host, runtime, served_by, probe));
            }
            Ok(_) => {}
            Err(reason) => refused.push(format!("{} ({reason})", candidate.display())),
        }
    }
    Err(missing(explain(host, runtime, served_by, &refused)))
}

/// Whether an interpreter of `version` (`3.12.1`, `22.11.0`) is the one of `runtime`.
pub(crate) fn serves(version: &str, runtime: &KnownRuntime) -> bool {
    version.strip_prefix(runtime.interpreter_version()).is_some_and(|rest| rest.starts_with('.'))
}

fn interpreter(host: &Host, runtime: &str, served_by: &KnownRuntime, probe: Probe) -> Interpreter {
    let executable = probe.executable.to_string_lossy().into_owned();
    let command = match served_by.language {
        // -u: what a function prints is on its way to the log when print() returns, even if it is killed next.
        Language::Python => vec![executable, "-u".to_owned(), "/var/runtime/bootstrap.py".to_owned()],
        // RubyGems are loaded by the client, when they are needed.
        Language::Ruby => {
            vec![executable, "--disable-gems".to_owned(), "/var/runtime/bootstrap.rb".to_owned()]
        }
        Language::Java => java::command(executable),
        _ => vec![executable, "/var/runtime/bootstrap.cjs".to_owned()],
    };
    let env = match served_by.language {
        Language::Ruby => ruby_environment(runtime, &probe.version),
        _ => Vec::new(),
    };
    let mut mounts = Vec::new();
    for path in probe.needs(host.home.as_deref()) {
        add_mount(&mut mounts, &path);
    }
    if served_by.language == Language::Python {
        let version = served_by.interpreter_version();
        if let Some(dir) = host.python_packages(version, &probe.executable) {
            mounts.push((dir, PathBuf::from(format!("/var/lang/lib/python{version}/site-packages"))));
        }
    }
    Interpreter {
        runtime: runtime.to_owned(),
        served_by: served_by.id.to_owned(),
        language: served_by.language,
        executable: probe.executable,
        mounts,
        command,
        env,
        version: probe.version,
    }
}

/// Where Ruby looks for gems and files of the function and its layers. The directories of gems are named by Ruby's
/// version: those of the runtime as on AWS, and those of the interpreter if another serves. The colon at the end: and
/// where it looks by itself.
fn ruby_environment(runtime: &str, version: &str) -> Vec<(String, String)> {
    let minor = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let mut versions =
        vec![lookup(runtime).map_or("", |known| known.interpreter_version()).to_owned(), minor(version)];
    versions.dedup();
    let dirs = versions.iter().flat_map(|minor| {
        [format!("/var/task/vendor/bundle/ruby/{minor}.0:"), format!("/opt/ruby/gems/{minor}.0:")]
    });
    vec![
        ("GEM_PATH".to_owned(), dirs.collect()),
        ("RUBYLIB".to_owned(), "/var/task:/var/runtime/lib:/opt/ruby/lib".to_owned()),
    ]
}

fn add_mount(mounts: &mut Vec<(PathBuf, PathBuf)>, path: &Path) {
    if !mounts.iter().any(|(host, _)| path.starts_with(host)) {
        mounts.retain(|(host, _)| !host.starts_with(path));
        mounts.push((path.to_owned(), path.to_owned()));
    }
}

/// A `provided` runtime has no interpreter: the package (or, if it has none, a layer at `/opt`) brings
/// `bootstrap`. Which of the two it is, the caller knows.
fn provided(runtime: &str) -> Interpreter {
    Interpreter {
        runtime: runtime.to_owned(),
        served_by: runtime.to_owned(),
        language: Language::Provided,
        executable: PathBuf::from("/var/task/bootstrap"),
        mounts: Vec::new(),
        command: vec!["/var/task/bootstrap".to_owned()],
        env: Vec::new(),
        version: String::new(),
    }
}

fn explain(host: &Host, runtime: &str, served_by: &KnownRuntime, refused: &[String]) -> String {
    let version = served_by.interpreter_version();
    let (name, install) = match served_by.language {
        Language::Python => (
            format!("python{version}"),
            format!(
                "install python{version} (apt install python{version}, pyenv install {version}, uv python install {version})"
            ),
        ),
        Language::Ruby => (
            format!("Ruby {version}"),
            format!(
                "install Ruby {version} (apt install ruby{version}, rbenv install {version}, mise install ruby@{version})"
            ),
        ),
        Language::Java => (
            format!("Java {version}"),
            format!("install Java {version} (apt install openjdk-{version}-jre-headless, sdk install java)"),
        ),
        _ => (
            format!("Node.js {version}"),
            format!("install Node.js {version} (nvm install {version}, fnm install {version})"),
        ),
    };
    let mut message = format!("runtime '{runtime}' needs {name}, which was not found");
    if served_by.id != runtime {
        message =
            format!("runtime '{runtime}' is mapped to '{}', which needs {name}: not found", served_by.id);
    }
    message.push_str(&format!(" (looked in {})", host.places(served_by.language)));
    if !refused.is_empty() {
        message.push_str(&format!("; did not answer: {}", refused.join(", ")));
    }
    message.push_str(&format!("; {install}, or name a directory that holds it in LAMPLIGHTER_RUNTIMES"));
    let others = crate::survey::others(host, served_by);
    if let Some(best) = others.last() {
        let found: Vec<_> =
            others.iter().map(|other| format!("{} {}", other.executable.display(), other.version)).collect();
        message.push_str(&format!(
            ", or start with --runtime-map {runtime}={} (found: {})",
            best.runtime,
            found.join(", ")
        ));
    }
    message
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// A host in a temporary directory: nothing of the real one is found.
    struct FakeHost {
        dir: tempfile::TempDir,
        host: Host,
    }

    impl FakeHost {
        fn new() -> FakeHost {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            let host = Host {
                path: vec![root.join("home/.pyenv/shims"), root.join("path")],
                home: Some(root.join("home")),
                ..Host::default()
            };
            FakeHost { dir, host }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().canonicalize().unwrap().join(name)
        }

        /// An executable that says it is `version`, or one that fails. Another process writes it: a file that this
        /// process has open for writing, in any thread at fork time, cannot be executed.
        fn put(&self, name: &str, version: Option<&str>) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let say = version.map_or("exit 3".to_owned(), |version| format!("echo {version}"));
            let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
            let written = Command::new("/bin/sh").args(["-c", write]).arg(&path).arg(say).status().unwrap();
            assert!(written.success());
        }

        fn find(&self, runtime: &str) -> Result<Interpreter, MissingRuntime> {
            find_on(&self.host, runtime, &RuntimeMap::default())
        }
    }

    #[test]
    fn version_managers_are_searched_and_the_newest_patch_wins() {
        let fake = FakeHost::new();
        fake.put("home/.pyenv/shims/python3.12", Some("3.12.99"));
        fake.put("home/.pyenv/versions/3.12.2/bin/python3.12", Some("3.12.2"));
        fake.put("home/.pyenv/versions/3.12.11/bin/python3.12", Some("3.12.11"));
        fake.put("home/.nvm/versions/node/v22.9.0/bin/node", Some("22.9.0"));
        fake.put("home/.local/share/fnm/node-versions/v24.1.0/installation/bin/node", Some("24.1.0"));
        let python = fake.find("python3.12").unwrap();
        assert_eq!(python.version, "3.12.11");
        let prefix = fake.path("home/.pyenv/versions/3.12.11");
        assert_eq!(python.mounts, [(prefix.clone(), prefix.clone())]);
        let executable = prefix.join("bin/python3.12").to_string_lossy().into_owned();
        assert_eq!(python.command, [executable.as_str(), "-u", "/var/runtime/bootstrap.py"]);
        assert_eq!(fake.find("nodejs22.x").unwrap().version, "22.9.0");
        assert_eq!(fake.find("nodejs24.x").unwrap().version, "24.1.0");
    }

    #[test]
    fn path_comes_before_managers_and_explicit_directories_before_path() {
        let mut fake = FakeHost::new();
        fake.put("home/.pyenv/versions/3.12.11/bin/python3.12", Some("3.12.11"));
        fake.put("path/python3.12", Some("3.12.3"));
        fake.put("path/node", Some("20.5.0"));
        assert_eq!(fake.find("python3.12").unwrap().version, "3.12.3");
        fake.put("extra/bin/python3.12", Some("3.12.4"));
        fake.put("npm/node_modules/node22/bin/node", Some("22.1.0"));
        fake.put("npm/node_modules/node24/bin/node", Some("24.2.0"));
        fake.put("package/bin/node", Some("20.9.0"));
        fake.host.explicit_dirs = ["extra", "npm", "package"].iter().map(|name| fake.path(name)).collect();
        assert_eq!(fake.find("python3.12").unwrap().version, "3.12.4");
        assert_eq!(fake.find("nodejs20.x").unwrap().version, "20.9.0");
        assert_eq!(fake.find("nodejs24.x").unwrap().version, "24.2.0");
        let node = fake.find("nodejs22.x").unwrap();
        assert_eq!(node.version, "22.1.0");
        assert_eq!(node.mounts[0].0, fake.path("npm/node_modules/node22"));
    }

    #[test]
    fn symlinks_are_resolved_to_what_must_be_mounted() {
        let fake = FakeHost::new();
        fake.put("store/py/bin/python3.13", Some("3.13.0"));
        fs::create_dir_all(fake.path("path")).unwrap();
        std::os::unix::fs::symlink(fake.path("store/py/bin/python3.13"), fake.path("path/python3.13"))
            .unwrap();
        let python = fake.find("python3.13").unwrap();
        assert_eq!(python.executable, fake.path("store/py/bin/python3.13"));
        assert_eq!(python.mounts[0].1, fake.path("store/py"));
    }

    #[test]
    fn a_home_directory_is_never_mounted_for_an_interpreter_in_it() {
        let mut fake = FakeHost::new();
        fake.put("home/bin/node", Some("22.1.0"));
        fake.host.path.push(fake.path("home/bin"));
        let node = fake.find("nodejs22.x").unwrap();
        assert_eq!(node.mounts[0].0, fake.path("home/bin/node"));
    }

    #[test]
    fn a_missing_interpreter_names_the_remedy() {
        let fake = FakeHost::new();
        let message = fake.find("python3.14").unwrap_err().to_string();
        for part in [
            "runtime 'python3.14' needs python3.14",
            "apt install python3.14",
            "LAMPLIGHTER_RUNTIMES",
            "PATH",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("--runtime-map"), "{message}");

        fake.put("path/python3.11", Some("3.11.7"));
        fake.put("home/.pyenv/versions/3.14.0/bin/python3.14", None);
        let message = fake.find("python3.14").unwrap_err().to_string();
        assert!(message.contains("--runtime-map python3.14=python3.11 (found: "), "{message}");
        assert!(message.contains("did not answer: ") && message.contains("exit status: 3"), "{message}");
    }

    #[test]
    fn a_map_is_applied_and_told() {
        let fake = FakeHost::new();
        fake.put("path/python3.11", Some("3.11.7"));
        let map = RuntimeMap::parse(["python3.12=python3.11"]).unwrap();
        let python = find_on(&fake.host, "python3.12", &map).unwrap();
        assert_eq!((python.runtime.as_str(), python.served_by.as_str()), ("python3.12", "python3.11"));
        let survey = crate::survey::survey_on(&fake.host, &map).to_string();
        assert!(
            survey.contains("(mapped to python3.11)") && survey.contains("python3.13       missing"),
            "{survey}"
        );
        let map = RuntimeMap::parse(["python3.12=python3.10"]).unwrap();
        let message = find_on(&fake.host, "python3.12", &map).unwrap_err().to_string();
        assert!(
            message.contains("is mapped to 'python3.10', which needs python3.10: not found"),
            "{message}"
        );
    }

    #[test]
    fn ruby_is_found_or_mapped() {
        let fake = FakeHost::new();
        fake.put("path/ruby", Some("3.1.2"));
        let message = fake.find("ruby3.3").unwrap_err().to_string();
        assert!(message.contains("--runtime-map ruby3.3=ruby3.1 (found: "), "{message}");
        let map = RuntimeMap::parse(["ruby3.3=ruby3.1"]).unwrap();
        let ruby = find_on(&fake.host, "ruby3.3", &map).unwrap();
        assert_eq!((ruby.served_by.as_str(), ruby.version.as_str()), ("ruby3.1", "3.1.2"));
        let gems = "/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0:\
                    /var/task/vendor/bundle/ruby/3.1.0:/opt/ruby/gems/3.1.0:";
        assert_eq!(ruby.env[0].1, gems);
        fake.put("home/.rbenv/versions/3.4.1/bin/ruby", Some("3.4.1"));
        let ruby = fake.find("ruby3.4").unwrap();
        assert_eq!(ruby.command[1..], ["--disable-gems", "/var/runtime/bootstrap.rb"]);
        assert_eq!(ruby.env[0].1, "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0:");
    }

    #[test]
    fn java_is_found_by_what_lies_beside_it() {
        let mut fake = FakeHost::new();
        let put = |home: &str, version: &str| {
            fake.put(&format!("{home}/bin/java"), None);
            fs::write(fake.path(home).join("release"), format!("OS=\"x\"\nJAVA_VERSION=\"{version}\"\n"))
                .unwrap();
        };
        put("jvm/temurin-21", "21");
        put("jvm/java-17-openjdk", "17.0.9");
        put("home/.sdkman/candidates/java/25.0.1-tem", "25.0.1");
        fake.host.jvm_dir = Some(fake.path("jvm"));
        assert_eq!(fake.find("java17").unwrap().version, "17.0.9");
        assert_eq!(fake.find("java21").unwrap().version, "21.0");
        assert_eq!(
            fake.find("java25").unwrap().mounts[0].0,
            fake.path("home/.sdkman/candidates/java/25.0.1-tem")
        );
        let message = fake.find("java11").unwrap_err().to_string();
        assert!(
            message.contains("needs Java 11") && message.contains("--runtime-map java11=java25"),
            "{message}"
        );
    }

    #[test]
    fn runtimes_without_an_interpreter_here_are_told_apart() {
        let fake = FakeHost::new();
        let message = |runtime: &str| fake.find(runtime).unwrap_err().to_string();
        assert!(message("dotnet8").contains("provided.al2023 with a native executable"));
        assert!(message("python3.8").contains("deprecated by AWS"));
        assert!(message("cobol").contains("not a runtime of AWS Lambda"));
        let provided = fake.find("provided.al2023").unwrap();
        assert_eq!(provided.command, ["/var/task/bootstrap"]);
        assert!(provided.mounts.is_empty());
    }

    #[test]
    fn node_gets_its_heap_limits() {
        let fake = FakeHost::new();
        fake.put("path/node", Some("20.5.0"));
        let command = fake.find("nodejs20.x").unwrap().command_for(128, "", None);
        assert_eq!(command[1..4], ["--expose-gc", "--max-semi-space-size=6", "--max-old-space-size=115"]);
        assert_eq!(command[4], "/var/runtime/bootstrap.cjs");
    }
}
