//! Where interpreters may be on a host. Only paths are looked at here; who an executable is, [`crate::probe`] asks.
//!
//! Order: the directories of `LAMPLIGHTER_RUNTIMES`, `PATH` (shims of version managers are skipped: the managers'
//! own directories follow), the system's directories, then pyenv, uv, nvm, fnm, volta, asdf and mise.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::{KnownRuntime, Language};

/// The places of a host, so that tests can describe one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    /// `LAMPLIGHTER_RUNTIMES`, colon separated.
    pub(crate) explicit_dirs: Vec<PathBuf>,
    /// `PATH`.
    pub(crate) path: Vec<PathBuf>,
    /// `/usr/bin` and its like.
    pub(crate) system: Vec<PathBuf>,
    /// The user's home.
    pub(crate) home: Option<PathBuf>,
    /// `PYENV_ROOT`, if it is not `~/.pyenv`.
    pub(crate) pyenv_root: Option<PathBuf>,
    /// `NVM_DIR`, if it is not `~/.nvm`.
    pub(crate) nvm_dir: Option<PathBuf>,
    /// `JAVA_HOME`.
    pub(crate) java_home: Option<PathBuf>,
    /// `/usr/lib/jvm`, where distributions put every Java.
    pub(crate) jvm_dir: Option<PathBuf>,
}

impl Host {
    /// This host, as the environment of this process tells it.
    pub(crate) fn from_environment() -> Host {
        let dirs = |name: &str| env::var_os(name).map(|value| env::split_paths(&value).collect::<Vec<_>>());
        let present = |dirs: Option<Vec<PathBuf>>| -> Vec<PathBuf> {
            dirs.unwrap_or_default().into_iter().filter(|dir| dir.is_absolute()).collect()
        };
        Host {
            explicit_dirs: present(dirs("LAMPLIGHTER_RUNTIMES")),
            path: present(dirs("PATH")),
            system: ["/usr/local/bin", "/usr/bin"].map(PathBuf::from).to_vec(),
            home: env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            pyenv_root: env::var_os("PYENV_ROOT").map(PathBuf::from),
            nvm_dir: env::var_os("NVM_DIR").map(PathBuf::from),
            java_home: env::var_os("JAVA_HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            jvm_dir: Some(PathBuf::from("/usr/lib/jvm")),
        }
    }

    /// Executables that may serve `runtime`, best first, each real file once.
    pub(crate) fn candidates(&self, runtime: &KnownRuntime) -> Vec<PathBuf> {
        let version = runtime.interpreter_version();
        let names: Vec<String> = match runtime.language {
            Language::Python => vec![format!("python{version}")],
            Language::Node => vec!["node".to_owned(), format!("node{version}")],
            Language::Ruby => vec!["ruby".to_owned(), format!("ruby{version}")],
            Language::Java => vec!["java".to_owned()],
            _ => return Vec::new(),
        };
        let mut dirs: Vec<PathBuf> = self.explicit_dirs.iter().flat_map(|dir| explicit(dir)).collect();
        if runtime.language == Language::Java {
            dirs.extend(self.java_home.iter().map(|home| home.join("bin")));
        }
        dirs.extend(self.path.iter().filter(|dir| !dir.ends_with("shims")).cloned());
        dirs.extend(self.system.iter().cloned());
        dirs.extend(self.managed(runtime.language, version));
        let mut candidates: Vec<PathBuf> = Vec::new();
        let mut seen = Vec::new();
        for path in dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name))) {
            let Ok(real) = path.canonicalize() else { continue };
            if real.is_file() && !seen.contains(&real) {
                seen.push(real);
                candidates.push(path);
            }
        }
        candidates
    }

    /// The `bin` directories of version managers that hold `version`, newest patch first within each manager.
    fn managed(&self, language: Language, version: &str) -> Vec<PathBuf> {
        let home = |rest: &str| self.home.as_ref().map(|home| home.join(rest));
        // (directory of versions, what precedes the version in a directory's name, what follows it)
        let places: Vec<(Option<PathBuf>, &str, &str)> = match language {
            Language::Python => vec![
                (self.pyenv_root.as_ref().map(|root| root.join("versions")), "", "bin"),
                (home(".pyenv/versions"), "", "bin"),
                (home(".local/share/uv/python"), "cpython-", "bin"),
                (home(".asdf/installs/python"), "", "bin"),
                (home(".local/share/mise/installs/python"), "", "bin"),
            ],
            Language::Ruby => vec![
                (home(".rbenv/versions"), "", "bin"),
                (home(".rvm/rubies"), "ruby-", "bin"),
                (home(".rubies"), "ruby-", "bin"),
                (home(".asdf/installs/ruby"), "", "bin"),
                (home(".local/share/mise/installs/ruby"), "", "bin"),
            ],
            // Its makers name the directories as they like: all are asked for their version.
            Language::Java => {
                let places = [
                    self.jvm_dir.clone(),
                    home(".sdkman/candidates/java"),
                    home(".jdks"),
                    home(".asdf/installs/java"),
                    home(".local/share/mise/installs/java"),
                ];
                let all = places.into_iter().flatten();
                return all
                    .flat_map(|dir| entries(&dir).into_iter().map(move |name| dir.join(name).join("bin")))
                    .collect();
            }
            _ => vec![
                (self.nvm_dir.as_ref().map(|root| root.join("versions/node")), "v", "bin"),
                (home(".nvm/versions/node"), "v", "bin"),
                (home(".local/share/fnm/node-versions"), "v", "installation/bin"),
                (home(".fnm/node-versions"), "v", "installation/bin"),
                (home(".volta/tools/image/node"), "", "bin"),
                (home(".asdf/installs/nodejs"), "", "bin"),
                (home(".local/share/mise/installs/node"), "", "bin"),
            ],
        };
        let mut found = Vec::new();
        for (dir, before, after) in places {
            let Some(dir) = dir else { continue };
            found.extend(versions(&dir, before, version).into_iter().map(|dir| dir.join(after)));
        }
        found
    }

    /// Packages for the functions of a Python version, beside what its interpreter has: the AWS SDK, most likely. Of the
    /// directories in `LAMPLIGHTER_RUNTIMES` the first that holds `python3.12/site-packages`, or a virtual environment's
    /// `lib/python3.12/site-packages`. `executable`: the interpreter's, whose own packages need no help.
    pub(crate) fn python_packages(&self, version: &str, executable: &Path) -> Option<PathBuf> {
        let places = [format!("python{version}/site-packages"), format!("lib/python{version}/site-packages")];
        let prefix = executable.parent().and_then(Path::parent);
        let own = |dir: &PathBuf| prefix.is_some_and(|prefix| dir.starts_with(prefix));
        let all = self.explicit_dirs.iter().flat_map(|dir| places.iter().map(move |place| dir.join(place)));
        { all }.filter_map(|dir| dir.canonicalize().ok()).find(|dir| dir.is_dir() && !own(dir))
    }

    /// Where an interpreter of `language` is looked for, for messages.
    pub(crate) fn places(&self, language: Language) -> String {
        let mut places = Vec::new();
        if !self.explicit_dirs.is_empty() {
            let dirs: Vec<_> = self.explicit_dirs.iter().map(|dir| dir.display().to_string()).collect();
            places.push(format!("LAMPLIGHTER_RUNTIMES ({})", dirs.join(":")));
        }
        places.push("PATH".to_owned());
        places.extend(self.system.iter().map(|dir| dir.display().to_string()));
        places.push(match language {
            Language::Python => "pyenv, uv, asdf and mise".to_owned(),
            Language::Ruby => "rbenv, rvm, asdf and mise".to_owned(),
            Language::Java => "JAVA_HOME, /usr/lib/jvm, sdkman, asdf and mise".to_owned(),
            _ => "nvm, fnm, volta, asdf and mise".to_owned(),
        });
        places.join(", ")
    }
}

/// The directories that a directory of `LAMPLIGHTER_RUNTIMES` stands for: itself, its `bin`, and those of the
/// directories in it (several versions side by side, or a folder with `node_modules` of npm packages that carry an
/// interpreter).
fn explicit(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.join("bin"), dir.to_owned()];
    for parent in [dir.to_owned(), dir.join("node_modules")] {
        found.extend(entries(&parent).into_iter().map(|name| parent.join(name).join("bin")));
    }
    found
}

/// The names in a directory, sorted. None if it cannot be read.
fn entries(dir: &Path) -> Vec<String> {
    let Ok(read) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        read.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The directories in `dir` named `<before><version>[.patch][anything]`, newest first.
fn versions(dir: &Path, before: &str, version: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, String)> = entries(dir)
        .into_iter()
        .filter_map(|name| {
            let told = name.strip_prefix(before)?;
            let rest = told.strip_prefix(version)?;
            let fits = rest.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit());
            let numbers =
                told.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect();
            fits.then_some((numbers, name))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, name)| dir.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_do_not_match_longer_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["3.1.9", "3.12.9", "3.12.10", "3.12-dev", "3.13.0", "pypy3.12", "3.12.1"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found: Vec<_> = versions(dir.path(), "", "3.12")
            .iter()
            .map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, ["3.12.10", "3.12.9", "3.12.1", "3.12-dev"]);
    }
}
