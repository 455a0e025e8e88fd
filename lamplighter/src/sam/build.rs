//! Building a function before it is packaged: a makefile, cargo, pip, npm or bundler, as `sam build` would run them.
//!
//! The result is a folder to package. A function that needs no build is packaged from its own folder. Build results
//! live in `<application>/.lamplighter/build/<LogicalId>` and are made again when a source file changed.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-build.html>

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runtimes::RuntimeMap;
use sha2::{Digest, Sha256};

use super::function::{BuildMethod, Code};
use super::{FunctionSpec, SamError};
use crate::ui;

/// Where the parts of a build are.
pub(crate) struct Builder<'a> {
    /// The application's folder.
    pub(crate) application: &'a Path,
    pub(crate) runtime_map: &'a RuntimeMap,
}

impl Builder<'_> {
    /// The folder or archive to package, built if need be. `None`: the code is inline.
    pub(crate) fn build(&self, spec: &FunctionSpec) -> Result<Option<PathBuf>, SamError> {
        let Code::Path(source) = &spec.code else { return Ok(None) };
        if !source.exists() {
            let cause = io::Error::new(io::ErrorKind::NotFound, "CodeUri names no file or folder");
            return Err(SamError::file(source, cause));
        }
        if source.is_file() {
            return Ok(Some(source.clone()));
        }
        match self.recipe(spec, source)? {
            Some(recipe) => self.run(spec, source, recipe).map(Some),
            None => Ok(Some(source.clone())),
        }
    }

    fn recipe(&self, spec: &FunctionSpec, source: &Path) -> Result<Option<Recipe>, SamError> {
        match spec.build {
            Some(BuildMethod::Makefile) => return Ok(Some(Recipe::Make)),
            Some(BuildMethod::CargoLambda) => return Ok(Some(Recipe::Cargo)),
            None => {}
        }
        let runtime = spec.runtime.as_deref().unwrap_or_default();
        let requirements = std::fs::read_to_string(source.join("requirements.txt")).unwrap_or_default();
        if runtime.starts_with("python") && requirements.lines().any(is_requirement) {
            let interpreter = runtimes::find(runtime, self.runtime_map)
                .map_err(|missing| failed(spec, missing.to_string()))?;
            return Ok(Some(Recipe::Pip(interpreter.executable)));
        }
        if runtime.starts_with("nodejs")
            && !source.join("node_modules").exists()
            && has_dependencies(spec, source)?
        {
            return Ok(Some(Recipe::Npm));
        }
        if runtime.starts_with("ruby")
            && source.join("Gemfile").exists()
            && !source.join("vendor/bundle").exists()
        {
            let interpreter = runtimes::find(runtime, self.runtime_map)
                .map_err(|missing| failed(spec, missing.to_string()))?;
            return Ok(Some(Recipe::Bundle(interpreter.executable)));
        }
        if runtime.starts_with("java")
            && let Some(project) = JAVA_PROJECTS.iter().find(|file| source.join(file).exists())
        {
            return Err(failed(
                spec,
                format!(
                    "{project}: Java is not built here. Build it (mvn package, gradle build), and let CodeUri name the \
                     jar with all its classes, or a folder with lib/*.jar"
                ),
            ));
        }
        Ok(None)
    }

    fn run(&self, spec: &FunctionSpec, source: &Path, recipe: Recipe) -> Result<PathBuf, SamError> {
        let state = self.application.join(".lamplighter/build");
        let result = state.join(&spec.logical_id);
        let stamp_file = state.join(format!("{}.stamp", spec.logical_id));
        let stamp = stamp(source, &recipe)?;
        if result.is_dir() && std::fs::read_to_string(&stamp_file).is_ok_and(|known| known == stamp) {
            return Ok(result);
        }
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |cause| SamError::file(&path, cause)
        };
        let _ = std::fs::remove_file(&stamp_file);
        let _ = std::fs::remove_dir_all(&result);
        std::fs::create_dir_all(&result).map_err(file_error(&result))?;
        let result = result.canonicalize().map_err(file_error(&result))?;
        recipe.run(spec, source, &result)?;
        std::fs::write(&stamp_file, stamp).map_err(file_error(&stamp_file))?;
        Ok(result)
    }
}

enum Recipe {
    Make,
    Cargo,
    /// With the interpreter whose pip is used.
    Pip(PathBuf),
    Npm,
    /// With the interpreter whose bundler is used.
    Bundle(PathBuf),
}

/// What Maven and Gradle go by.
const JAVA_PROJECTS: [&str; 3] = ["pom.xml", "build.gradle", "build.gradle.kts"];

impl Recipe {
    fn name(&self) -> &'static str {
        match self {
            Recipe::Make => "make",
            Recipe::Cargo => "cargo build --release",
            Recipe::Pip(_) => "pip install",
            Recipe::Npm => "npm install",
            Recipe::Bundle(_) => "bundle install",
        }
    }

    fn run(&self, spec: &FunctionSpec, source: &Path, result: &Path) -> Result<(), SamError> {
        ui::progress(&format!("building {} ({})", spec.logical_id, self.name()));
        match self {
            Recipe::Make => {
                let target = format!("build-{}", spec.logical_id);
                tool(spec, Command::new("make").arg(target).current_dir(source).env("ARTIFACTS_DIR", result))
            }
            Recipe::Cargo => cargo(spec, source, result),
            Recipe::Pip(python) => {
                copy(source, result)?;
                tool(
                    spec,
                    Command::new(python)
                        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                        .args([
                            "--no-warn-script-location",
                            "--requirement",
                            "requirements.txt",
                            "--target",
                            ".",
                        ])
                        .current_dir(result),
                )
            }
            Recipe::Npm => {
                copy(source, result)?;
                let verb = if source.join("package-lock.json").exists() { "ci" } else { "install" };
                tool(
                    spec,
                    Command::new("npm")
                        .args([verb, "--omit=dev", "--no-audit", "--no-fund"])
                        .current_dir(result),
                )
            }
            Recipe::Bundle(ruby) => {
                copy(source, result)?;
                let bundle = Path::new("bundle");
                let beside = ruby.parent().map(|dir| dir.join(bundle)).filter(|path| path.exists());
                tool(
                    spec,
                    Command::new(beside.as_deref().unwrap_or(bundle))
                        .args(["install", "--quiet"])
                        .env("BUNDLE_PATH", "vendor/bundle")
                        .env("BUNDLE_WITHOUT", "development:test")
                        .env("BUNDLE_DISABLE_SHARED_GEMS", "true")
                        .current_dir(result),
                )
            }
        }
    }
}

fn cargo(spec: &FunctionSpec, source: &Path, result: &Path) -> Result<(), SamError> {
    tool(spec, Command::new("cargo").args(["build", "--release"]).current_dir(source))?;
    let metadata = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(source)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(spec, format!("cargo: {error}")))?;
    let metadata: CargoMetadata = serde_json::from_slice(&metadata.stdout)
        .map_err(|error| failed(spec, format!("cargo metadata: {error}")))?;
    let binaries = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"));
    let names: Vec<&str> = binaries.map(|target| target.name.as_str()).collect();
    let [name] = names.as_slice() else {
        return Err(failed(
            spec,
            format!("one binary is wanted, the crate has {}: [{}]", names.len(), names.join(", ")),
        ));
    };
    let binary = metadata.target_directory.join("release").join(name);
    let bootstrap = result.join("bootstrap");
    std::fs::copy(&binary, &bootstrap).map(drop).map_err(|cause| SamError::file(&binary, cause))
}

#[derive(serde::Deserialize)]
struct CargoMetadata {
    packages: Vec<CargoPackage>,
    target_directory: PathBuf,
}

#[derive(serde::Deserialize)]
struct CargoPackage {
    targets: Vec<CargoTarget>,
}

#[derive(serde::Deserialize)]
struct CargoTarget {
    kind: Vec<String>,
    name: String,
}

#[derive(serde::Deserialize)]
struct NodeManifest {
    #[serde(default)]
    dependencies: std::collections::BTreeMap<String, String>,
}

fn has_dependencies(spec: &FunctionSpec, source: &Path) -> Result<bool, SamError> {
    let Ok(text) = std::fs::read_to_string(source.join("package.json")) else { return Ok(false) };
    let manifest: NodeManifest =
        serde_json::from_str(&text).map_err(|error| failed(spec, format!("package.json: {error}")))?;
    Ok(!manifest.dependencies.is_empty())
}

fn is_requirement(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// Runs a tool with its output on our standard error, so that progress is seen.
fn tool(spec: &FunctionSpec, command: &mut Command) -> Result<(), SamError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.stdin(Stdio::null()).stdout(std::io::stderr()).status().map_err(|error| {
            failed(spec, format!("'{name}' could not be started: {error}; is it installed?"))
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(spec, format!("'{name}' failed: {status}; its output is above")))
    }
}

fn failed(spec: &FunctionSpec, message: String) -> SamError {
    SamError::Build { function: spec.logical_id.clone(), message }
}

fn copy(from: &Path, to: &Path) -> Result<(), SamError> {
    walk(from, &mut |path, relative, is_dir| {
        let target = to.join(relative);
        if is_dir { std::fs::create_dir_all(target) } else { std::fs::copy(path, target).map(drop) }
    })
}

/// What a build depends on: the path, size and time of each source file, and the recipe.
fn stamp(source: &Path, recipe: &Recipe) -> Result<String, SamError> {
    let mut lines = Vec::new();
    walk(source, &mut |path, relative, is_dir| {
        if !is_dir {
            let metadata = path.metadata()?;
            lines.push(format!("{} {} {:?}", relative.display(), metadata.len(), metadata.modified()?));
        }
        Ok(())
    })?;
    lines.sort();
    let mut text = String::new();
    for byte in Sha256::digest(format!("{}\n{}", recipe.name(), lines.join("\n"))) {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    Ok(text)
}

fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Path, bool) -> io::Result<()>) -> Result<(), SamError> {
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let folder = root.join(&relative);
        let entries = std::fs::read_dir(&folder).map_err(|cause| SamError::file(&folder, cause))?;
        for entry in entries {
            let entry = entry.map_err(|cause| SamError::file(&folder, cause))?;
            let name = entry.file_name();
            if [".lamplighter", ".aws-sam", ".git", "target", "__pycache__"]
                .iter()
                .any(|skipped| name == *skipped)
            {
                continue;
            }
            let (path, relative) = (entry.path(), relative.join(&name));
            let is_dir = path.is_dir();
            visit(&path, &relative, is_dir).map_err(|cause| SamError::file(&path, cause))?;
            if is_dir {
                pending.push(relative);
            }
        }
    }
    Ok(())
}
