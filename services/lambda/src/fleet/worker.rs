//! Which workers may be started before anybody knows their function, and which functions they may take over.
//!
//! A worker is an interpreter with our runtime client, booted in a box that holds nothing of any function, which waits to
//! be bound to one. All workers of one [`Kind`] are alike. A function that wants its process started in a way of its own
//! ([`Unusual`]) gets a plain start: nothing it set may be lost. How many workers wait is `stock`'s business.
//!
//! What the clients do while they wait: `runtimes/node/lib/worker.cjs`, `runtimes/ruby/lamplighter_runtime/worker.rb`,
//! `runtimes/java/src/lamplighter/runtime/Worker.java`.
//!
//! **Invariant:** nothing of a function is in a [`Kind`] but its runtime and its sizes.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use runtimes::{Interpreter, Language};
use sandbox::{Binding, BoxSpec, ReadOnlyMount, image};

use super::blueprint::{self, MAX_FILES, MAX_PROCESSES};

use super::{environ, images};
use crate::function::FunctionConfig;

/// The descriptor on which a worker is told its function.
const BIND_FD: &str = "4";
/// The kernel shows a process's environment where it was when the process began: there must be room for the function's.
/// AWS lets a function set 4 KiB; the platform's own variables take less than that.
const ROOM_BYTES: usize = 16 * 1024;
/// How Java's client calls its native part.
const NATIVE_PART: &str = "libbind.so";
/// What a worker may use while it boots and waits: less than a request that runs beside it.
const BOOT_CPU_MILLIS: u32 = 500;
/// Enough for every interpreter to boot in.
const BOOT_MEMORY_MIB: u32 = 512;

/// Read by the dynamic linker and the C library when a process starts, whatever its language.
const BOOT_PREFIXES: &[&str] = &["LD_", "LC_", "MALLOC_", "GLIBC_"];
const BOOT_NAMES: &[&str] = &["LANG", "LANGUAGE", "GCONV_PATH", "NLSPATH", "LOCPATH"];
const NODE_PREFIXES: &[&str] = &["NODE_", "UV_", "OPENSSL_", "SSL_CERT_"];
/// Node.js reads these when they are needed, or not at all.
const NODE_LATE: &[&str] = &[
    "NODE_ENV",
    "NODE_PATH",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "NODE_CONFIG",
    "NODE_CONFIG_DIR",
    "NODE_CONFIG_ENV",
    "NODE_APP_INSTANCE",
];
const RUBY_PREFIXES: &[&str] = &["RUBY"];
const JAVA_PREFIXES: &[&str] = &["JDK_", "_JAVA_", "JAVA_TOOL_OPTIONS"];

/// Why a function's process is started plainly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusual {
    /// Its runtime has no workers.
    Language,
    /// It has extensions, which start before the runtime.
    Extensions,
    /// A script of its own starts the runtime.
    Wrapper,
    /// It has file systems, which a waiting box cannot take in.
    FileSystems,
    /// It sets a variable that the interpreter reads while it starts.
    Variable(String),
    /// The interpreter lies where the function's layers are.
    Layers,
    /// The files of the interpreter cannot be looked at.
    Interpreter,
}

impl std::fmt::Display for Unusual {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusual::Language => out.write_str("its runtime has no workers"),
            Unusual::Extensions => out.write_str("it has extensions"),
            Unusual::Wrapper => out.write_str("it has a wrapper script"),
            Unusual::FileSystems => out.write_str("it has file systems"),
            Unusual::Variable(name) => write!(out, "it sets {name}, which is read when its runtime starts"),
            Unusual::Layers => out.write_str("its layers are mounted beside the interpreter"),
            Unusual::Interpreter => out.write_str("the interpreter cannot be looked at"),
        }
    }
}

/// All that makes one worker different from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) language: Language,
    executable: PathBuf,
    /// With the flags for a memory size.
    command: Vec<OsString>,
    /// Host path, path inside: the interpreter and the runtime client.
    mounts: Vec<(PathBuf, PathBuf)>,
    /// What is read at the start.
    env: Vec<(OsString, OsString)>,
    /// A waiting box has its `/tmp` already.
    tmp_mib: u32,
    gateway_port: u16,
    /// So that a new interpreter in the place of an old one is another kind.
    interpreter: FileIdentity,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileIdentity {
    device: u64,
    inode: u64,
    modified_ns: (i64, i64),
}

impl FileIdentity {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        let modified_ns = (file.mtime(), file.mtime_nsec());
        Some(FileIdentity { device: file.dev(), inode: file.ino(), modified_ns })
    }
}

/// Empty folders for the places that are the function's: they must be there when the process starts, because what the
/// dynamic linker does not find then it never looks for again.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// With a folder `lib`.
    around: PathBuf,
    /// With nothing.
    nothing: PathBuf,
}

impl Places {
    pub(crate) fn below(dir: &Path) -> Self {
        Places { around: dir.join("places/around"), nothing: dir.join("places/nothing") }
    }

    pub(crate) fn make(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(self.around.join("lib"))?;
        std::fs::create_dir_all(&self.nothing)
    }
}

/// What a function's start depends on beside the function.
pub(crate) struct Surroundings<'a> {
    pub(crate) interpreter: &'a Interpreter,
    pub(crate) client_dir: &'a Path,
    pub(crate) has_extensions: bool,
    pub(crate) gateway_port: u16,
}

impl Kind {
    /// The kind of worker that could take over the function.
    pub(crate) fn of(function: &FunctionConfig, around: &Surroundings<'_>) -> Result<Kind, Unusual> {
        let interpreter = around.interpreter;
        let language = interpreter.language;
        match language {
            Language::Node | Language::Ruby => {}
            Language::Java if image::bind_library().is_some() => {}
            _ => return Err(Unusual::Language),
        }
        if around.has_extensions {
            return Err(Unusual::Extensions);
        }
        if !function.file_systems.is_empty() {
            return Err(Unusual::FileSystems);
        }
        if function.environment.get(blueprint::WRAPPER_VARIABLE).is_some_and(|path| !path.is_empty()) {
            return Err(Unusual::Wrapper);
        }
        if interpreter.mounts.iter().any(|(_, inside)| inside.starts_with("/opt")) {
            return Err(Unusual::Layers);
        }
        let generic = environ::generic(interpreter);
        let is_generic =
            |name: &str, value: &str| generic.iter().any(|known| (&*known.0, &*known.1) == (name, value));
        let changed = { function.environment.iter() }
            .find(|(name, value)| is_read_at_start(language, name) && !is_generic(name, value));
        if let Some((name, _)) = changed {
            return Err(Unusual::Variable(name.clone()));
        }
        let env = generic.iter().filter(|(name, _)| is_read_at_start(language, name));
        let client = (around.client_dir.to_owned(), PathBuf::from("/var/runtime"));
        let command = interpreter.command_for(function.memory_mib, "", Some(around.client_dir));
        Ok(Kind {
            language,
            executable: interpreter.executable.clone(),
            command: command.into_iter().map(OsString::from).collect(),
            mounts: std::iter::once(client).chain(interpreter.mounts.iter().cloned()).collect(),
            env: env.map(|(name, value)| (name.into(), value.into())).collect(),
            tmp_mib: function.tmp_mib,
            gateway_port: around.gateway_port,
            interpreter: FileIdentity::of(&interpreter.executable).ok_or(Unusual::Interpreter)?,
        })
    }

    /// One that tests can tell from others by its number.
    #[cfg(test)]
    pub(crate) fn for_test(executable: &Path, number: u32) -> Kind {
        Kind {
            language: Language::Node,
            executable: executable.to_owned(),
            command: vec![executable.into(), number.to_string().into()],
            mounts: vec![(PathBuf::from("/client"), PathBuf::from("/var/runtime"))],
            env: vec![("LANG".into(), "C".into())],
            tmp_mib: 512,
            gateway_port: 4566,
            interpreter: FileIdentity::of(executable).unwrap(),
        }
    }

    /// Whether what it was made from is still there.
    pub(crate) fn is_current(&self) -> bool {
        FileIdentity::of(&self.executable).as_ref() == Some(&self.interpreter)
    }

    /// Puts beside the runtime client what only a worker needs. Blocking.
    pub(crate) fn equip(&self) -> std::io::Result<()> {
        let client = { self.mounts.iter() }.find(|(_, inside)| inside == Path::new("/var/runtime"));
        match (self.language, client, image::bind_library()) {
            (Language::Java, Some((client, _)), Some(library)) => {
                images::put(&client.join(NATIVE_PART), library, 0o644)
            }
            _ => Ok(()),
        }
    }

    /// The box of a worker that waits.
    pub(crate) fn spec(&self, id: String, places: &Places) -> BoxSpec {
        let mount =
            |host: &Path, inside: &Path| ReadOnlyMount { host: host.to_owned(), inside: inside.to_owned() };
        let mut mounts: Vec<_> = self.mounts.iter().map(|(host, inside)| mount(host, inside)).collect();
        mounts.extend(["/var/task", "/opt"].map(|inside| mount(&places.around, Path::new(inside))));
        // The descriptor first: Java's client looks there.
        let mut env = vec![("LAMPLIGHTER_BIND_FD".into(), BIND_FD.into())];
        env.extend(self.env.iter().cloned());
        env.push(("LAMPLIGHTER_BIND_ROOM".into(), ".".repeat(ROOM_BYTES).into()));
        BoxSpec {
            id,
            memory_mib: BOOT_MEMORY_MIB,
            cpu_millis: BOOT_CPU_MILLIS,
            tmp_mib: self.tmp_mib,
            max_processes: MAX_PROCESSES,
            max_files: MAX_FILES,
            mounts,
            folders: Vec::new(),
            command: self.command.clone(),
            env,
            // Java can never leave the directory that it believes to be in.
            cwd: PathBuf::from("/var/task"),
            listeners: blueprint::listeners(self.gateway_port),
            companions: Vec::new(),
            companion_env: Vec::new(),
        }
    }

    /// What makes a worker of this kind the function's box, which would otherwise be started from `spec`. `None`: it is
    /// too large.
    pub(crate) fn binding(&self, spec: &BoxSpec, places: &Places) -> Option<Binding> {
        let bytes: usize = spec.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if bytes > ROOM_BYTES {
            return None;
        }
        let is_there = |mount: &&ReadOnlyMount| self.mounts.iter().any(|(_, inside)| *inside == mount.inside);
        let mut mounts: Vec<_> = spec.mounts.iter().filter(|mount| !is_there(mount)).cloned().collect();
        if !mounts.iter().any(|mount| mount.inside == Path::new("/opt")) {
            mounts.push(ReadOnlyMount { host: places.nothing.clone(), inside: PathBuf::from("/opt") });
        }
        Some(Binding {
            id: spec.id.clone(),
            memory_mib: spec.memory_mib,
            cpu_millis: spec.cpu_millis,
            tmp_mib: spec.tmp_mib,
            mounts,
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
        })
    }
}

/// Whether a variable is looked at while the process starts, so that it must be there from the beginning.
fn is_read_at_start(language: Language, name: &str) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let is_of_language = match language {
        Language::Node => begins(NODE_PREFIXES) && !NODE_LATE.contains(&name),
        Language::Ruby => begins(RUBY_PREFIXES),
        Language::Java => begins(JAVA_PREFIXES),
        _ => true,
    };
    is_of_language || begins(BOOT_PREFIXES) || BOOT_NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interpreter_reads_at_its_start_is_known() {
        for name in ["LD_PRELOAD", "LANG", "LC_ALL", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_LIBRARY_PATH"]
        {
            for language in [Language::Node, Language::Ruby, Language::Java] {
                assert!(is_read_at_start(language, name), "{name}");
            }
        }
        for name in
            ["NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "UV_THREADPOOL_SIZE", "SSL_CERT_FILE", "OPENSSL_CONF"]
        {
            assert!(
                is_read_at_start(Language::Node, name) && !is_read_at_start(Language::Ruby, name),
                "{name}"
            );
        }
        for name in ["RUBYOPT", "RUBYLIB", "RUBY_GC_HEAP_INIT_SLOTS"] {
            assert!(is_read_at_start(Language::Ruby, name), "{name}");
        }
        for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"] {
            assert!(is_read_at_start(Language::Java, name), "{name}");
        }
        for name in ["NODE_ENV", "NODE_PATH", "TZ", "PATH", "MINE", "AWS_REGION", "HOME", "GEM_PATH"] {
            for language in [Language::Node, Language::Ruby] {
                assert!(!is_read_at_start(language, name), "{name}");
            }
        }
    }
}
