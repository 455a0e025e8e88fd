//! Asks an interpreter, once, who it is: its version, its prefix and the shared libraries it has mapped.
//!
//! The answers are remembered per real executable for the life of the process. An interpreter that does not
//! answer within [`PATIENCE`] is killed and counts as broken.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::catalog::Language;

/// How long an interpreter may take to tell its version, in the worst case of a cold disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The directories of the host that every box sees.
const SYSTEM_DIRS: &[&str] = &["/usr", "/lib", "/lib64", "/bin", "/sbin"];

/// What an interpreter said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The language it was asked in.
    pub(crate) language: Language,
    /// The real executable, no symlink.
    pub(crate) executable: PathBuf,
    /// Full version.
    pub(crate) version: String,
    /// Directories it cannot do without (Python: the standard library), as it told.
    library: Vec<PathBuf>,
    /// The files it has mapped, itself included.
    mapped: Vec<PathBuf>,
}

// Both print: version, then lines "lib DIR", then lines "map FILE". Nothing but built-in modules, so that a broken
// site or environment cannot change the answer.
const PYTHON_QUESTION: &str = "import sys,os
print('.'.join(map(str,sys.version_info[:3])))
for d in {os.path.dirname(os.__file__)}|{p for p in sys.path if p.endswith('lib-dynload')}: print('lib',d)
for l in open('/proc/self/maps'):
    f=l.split(None,5)
    if len(f)==6 and f[5][0]=='/': print('map',f[5].rstrip())";
const NODE_QUESTION: &str = "console.log(process.versions.node);
for(const l of require('fs').readFileSync('/proc/self/maps','utf8').split('\\n')){
const i=l.indexOf('/');if(i>0)console.log('map '+l.slice(i))}";

const RUBY_QUESTION: &str = "puts RUBY_VERSION
$LOAD_PATH.each { |dir| puts \"lib #{dir}\" }
File.foreach('/proc/self/maps') { |l| i = l.index('/') and puts \"map #{l[i..].chomp}\" }";

/// Who is `candidate`? The reason, in a few words, if it does not answer.
pub(crate) fn ask(language: Language, candidate: &Path) -> Result<Probe, String> {
    static ANSWERS: OnceLock<Mutex<HashMap<PathBuf, Result<Probe, String>>>> = OnceLock::new();
    let executable = candidate.canonicalize().map_err(|error| error.to_string())?;
    let answers = ANSWERS.get_or_init(Mutex::default);
    let remembered = answers.lock().unwrap_or_else(PoisonError::into_inner).get(&executable).cloned();
    if let Some(answer) = remembered {
        return answer;
    }
    let answer = ask_now(language, &executable);
    answers.lock().unwrap_or_else(PoisonError::into_inner).insert(executable, answer.clone());
    answer
}

fn ask_now(language: Language, executable: &Path) -> Result<Probe, String> {
    let mut command = Command::new(executable);
    match language {
        Language::Python => command.args(["-I", "-S", "-c", PYTHON_QUESTION]),
        Language::Ruby => command.args(["--disable=gems,rubyopt", "-e", RUBY_QUESTION]),
        Language::Java => return java(executable),
        _ => command.args(["-e", NODE_QUESTION]),
    };
    let answer = run(command.env_clear().current_dir("/"))?;
    let mut lines = answer.lines();
    let version = lines.next().unwrap_or_default().trim().to_owned();
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not tell its version".to_owned());
    }
    let mut probe = Probe {
        language,
        executable: executable.to_owned(),
        version,
        library: Vec::new(),
        mapped: Vec::new(),
    };
    for line in lines {
        match line.split_once(' ') {
            Some(("lib", path)) => probe.library.push(path.into()),
            Some(("map", path)) => probe.mapped.push(path.into()),
            _ => {}
        }
    }
    probe.mapped.dedup();
    Ok(probe)
}

/// A Java tells its version in a file beside it: starting one takes long, and its makers' directories are many.
/// Nothing else is needed of it: all it has is below its home, or in `/etc`.
fn java(executable: &Path) -> Result<Probe, String> {
    let home = executable.parent().filter(|dir| dir.ends_with("bin")).and_then(Path::parent);
    // The launcher of Java 8 is that of the `jre` inside.
    let homes = home.into_iter().chain(home.filter(|home| home.ends_with("jre")).and_then(Path::parent));
    let release = homes.map(|home| home.join("release")).find_map(|file| std::fs::read_to_string(file).ok());
    let release = release.ok_or("it has no file 'release'")?;
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION=\"")?.strip_suffix('"'))
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        .ok_or("it does not tell its version")?;
    Ok(Probe {
        language: Language::Java,
        executable: executable.to_owned(),
        version: java_version(version),
        library: Vec::new(),
        mapped: Vec::new(),
    })
}

/// With the feature version first, and something behind it: `8.0_402` for `1.8.0_402`, `21.0` for `21`.
fn java_version(told: &str) -> String {
    let modern = told.strip_prefix("1.").filter(|rest| rest.starts_with('8')).unwrap_or(told);
    if modern.contains('.') { modern.to_owned() } else { format!("{modern}.0") }
}

/// Runs a command to its end and gives what it printed. Kills it when it takes longer than [`PATIENCE`].
fn run(command: &mut Command) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let Some(mut stdout) = child.stdout.take() else { return Err("no output".to_owned()) };
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let outcome = stdout.read_to_string(&mut answer).map(|_| answer);
        // The receiver is gone only when it has lost patience.
        let _ = send.send(outcome);
    });
    let answer = receive.recv_timeout(PATIENCE);
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match answer {
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) if !status.success() => Err(format!("{status}")),
        Ok(Ok(answer)) => Ok(answer),
    }
}

impl Probe {
    /// What a box must see of it, besides the system directories: real paths, each once.
    ///
    /// Its prefix (`PREFIX/bin/python3.12`) is mounted as a whole, unless that would show a box more than the
    /// interpreter: a home directory, `~/.local`, `/opt`. Then only the executable, its standard library and its
    /// shared libraries are.
    pub(crate) fn needs(&self, home: Option<&Path>) -> Vec<PathBuf> {
        let mut needs = BTreeSet::new();
        let prefix = self.executable.parent().filter(|dir| dir.ends_with("bin")).and_then(Path::parent);
        match prefix {
            Some(prefix) if !is_wide(prefix, home) => needs.insert(prefix.to_owned()),
            _ => needs.insert(self.executable.clone()),
        };
        needs.extend(self.library.iter().filter_map(|path| path.canonicalize().ok()));
        needs.extend(self.mapped.iter().filter_map(|path| path.canonicalize().ok()));
        let real: Vec<_> = needs.into_iter().filter(|path| !in_system_dirs(path)).collect();
        let covered = |path: &PathBuf| real.iter().any(|other| other != path && path.starts_with(other));
        real.iter().filter(|path| !covered(path)).cloned().collect()
    }
}

fn in_system_dirs(path: &Path) -> bool {
    SYSTEM_DIRS.iter().any(|dir| path.starts_with(dir))
}

/// Whether a prefix is a place that holds much more than one interpreter.
fn is_wide(prefix: &Path, home: Option<&Path>) -> bool {
    // "/" has one component, "/opt" two, "/opt/node" three.
    let shallow = prefix.components().count() < 3;
    let around_home = home.is_some_and(|home| home.starts_with(prefix) || prefix == home.join(".local"));
    let a_home = prefix.parent() == Some(Path::new("/home"));
    (shallow || around_home || a_home) && !in_system_dirs(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(executable: &str, library: &[&str], mapped: &[&str]) -> Probe {
        Probe {
            language: Language::Python,
            executable: executable.into(),
            version: "3.12.1".into(),
            library: library.iter().map(PathBuf::from).collect(),
            mapped: mapped.iter().map(PathBuf::from).collect(),
        }
    }

    #[test]
    fn java_versions_begin_with_the_feature_version() {
        for (told, expected) in
            [("17.0.15", "17.0.15"), ("21", "21.0"), ("1.8.0_402", "8.0_402"), ("25.0.3", "25.0.3")]
        {
            assert_eq!(java_version(told), expected);
        }
    }

    #[test]
    fn wide_prefixes_are_not_mounted_as_a_whole() {
        let home = Some(Path::new("/home/ada"));
        for wide in ["/", "/opt", "/home", "/home/ada", "/home/ada/.local", "/home/other"] {
            assert!(is_wide(Path::new(wide), home), "{wide}");
        }
        for narrow in ["/usr", "/usr/local", "/opt/node", "/home/ada/.pyenv/versions/3.12.1"] {
            assert!(!is_wide(Path::new(narrow), home), "{narrow}");
        }
        let needs = probe("/home/ada/bin/python3.12", &[], &[]).needs(home);
        assert_eq!(needs, [PathBuf::from("/home/ada/bin/python3.12")]);
    }

    #[test]
    fn system_interpreters_need_nothing_and_libraries_elsewhere_are_added() {
        assert!(probe("/usr/bin/python3.12", &["/usr/lib"], &["/usr/lib"]).needs(None).is_empty());
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("py/lib")).unwrap();
        std::fs::write(root.join("libssl.so"), "").unwrap();
        let path = |name: &str| root.join(name).to_string_lossy().into_owned();
        let needs = probe(&path("py/bin/python3.12"), &[&path("py/lib")], &[&path("libssl.so")]).needs(None);
        assert_eq!(needs, [root.join("libssl.so"), root.join("py")]);
    }
}
