//! The server's settings: flags over environment over `lamplighter.toml` over defaults.
//!
//! Every setting has one name in three spellings: `--data`, `LAMPLIGHTER_DATA`, `data = "..."`. A key that the file
//! has and we do not know is an error, never ignored.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Region;
use clap::{Args, ValueEnum};
use runtimes::RuntimeMap;
use serde::Deserialize;
use service_lambda::AccessPoints;
use service_lambda::fleet::FleetLimits;

/// AWS's smallest function.
const LEAST_MEMORY_MIB: u64 = 128;

/// The settings of `start` and `run`, as given.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ServerArgs {
    /// Address and port to listen on. Beyond loopback, `--auth enforce` is required [default: 127.0.0.1:4566]
    #[arg(long, env = "LAMPLIGHTER_LISTEN", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    listen: Option<SocketAddr>,

    /// Folder for everything that must survive a restart [default: the user's data folder, such as
    /// ~/.local/share/lamplighter]
    #[arg(long, env = "LAMPLIGHTER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,

    /// How requests are authenticated [default: audit]
    #[arg(long, env = "LAMPLIGHTER_AUTH", value_enum)]
    auth: Option<Auth>,

    /// The embedded store's engine [default: fjall]
    #[arg(long, env = "LAMPLIGHTER_STORE", value_enum)]
    store: Option<StoreEngine>,

    /// Serve one runtime with another's interpreter, such as python3.12=python3.13; may be repeated
    #[arg(long, env = "LAMPLIGHTER_RUNTIME_MAP", value_name = "RUNTIME=RUNTIME", value_delimiter = ',')]
    #[serde(default)]
    runtime_map: Vec<String>,

    /// A folder of this host that functions may mount as a file system, such as
    /// fsap-0123456789abcdef0=/srv/shared; may be repeated
    #[arg(long, env = "LAMPLIGHTER_ACCESS_POINT", value_name = "FSAP-ID=DIR", value_delimiter = ',')]
    #[serde(default)]
    access_point: Vec<String>,

    /// The region of requests that name none [default: us-east-1]
    #[arg(long, env = "LAMPLIGHTER_REGION")]
    region: Option<String>,

    /// Concurrent executions of an account in a region [default: 1000]
    #[arg(long, env = "LAMPLIGHTER_ACCOUNT_CONCURRENCY", value_name = "N")]
    account_concurrency: Option<u32>,

    /// The memory that all execution environments together may use, in MiB [default: what the host, or the control group
    /// of the server, can spare]
    #[arg(long, env = "LAMPLIGHTER_MEMORY_BUDGET_MIB", value_name = "MIB")]
    memory_budget_mib: Option<u64>,

    /// The most execution environments at a time, idle ones included [default: 1000]
    #[arg(long, env = "LAMPLIGHTER_MAX_ENVIRONMENTS", value_name = "N")]
    max_environments: Option<usize>,

    /// How long a request waits when the host is full before it is throttled, in milliseconds, but never longer than its
    /// function's timeout; 0: it does not wait [default: 10000]
    #[arg(long, env = "LAMPLIGHTER_WAIT_LIMIT_MS", value_name = "MS")]
    wait_limit_ms: Option<u64>,

    /// Whether functions start from images of processes where they can, instead of booting an interpreter [default: on]
    #[arg(long, env = "LAMPLIGHTER_IMAGES", value_enum)]
    images: Option<Switch>,

    /// Whether boxes, and interpreters in them, are made ready before anybody needs them [default: on]
    #[arg(long, env = "LAMPLIGHTER_STOCK", value_enum)]
    stock: Option<Switch>,

    /// What is logged on standard error, such as `info` or `lamplighter=debug,warn` [default: warn]
    #[arg(long, env = "LAMPLIGHTER_LOG", value_name = "FILTER")]
    log: Option<String>,

    /// File with settings [default: ./lamplighter.toml, if it is there]
    #[arg(long, env = "LAMPLIGHTER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Auth {
    /// Nothing is checked: the access key id only says which account is meant
    Off,
    /// Signatures are checked against known keys
    Audit,
    /// As audit, and required beyond loopback (IAM policies are stored, not evaluated yet)
    Enforce,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Switch {
    /// On
    On,
    /// Off
    Off,
}

/// The embedded engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StoreEngine {
    /// A log-structured merge tree
    Fjall,
    /// SQLite in WAL mode
    Sqlite,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) auth: Auth,
    pub(crate) store: StoreEngine,
    pub(crate) runtime_map: RuntimeMap,
    pub(crate) access_points: AccessPoints,
    pub(crate) region: Region,
    pub(crate) account_concurrency: u32,
    pub(crate) fleet: FleetLimits,
    pub(crate) images: Switch,
    pub(crate) stock: Switch,
    pub(crate) log: String,
}

/// A setting is wrong. The message says which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl ServerArgs {
    /// The settings in force.
    pub(crate) fn resolve(self) -> Result<Settings, ConfigError> {
        let file = self.file()?;
        let runtime_map = if self.runtime_map.is_empty() { file.runtime_map } else { self.runtime_map };
        let access_points = if self.access_point.is_empty() { file.access_point } else { self.access_point };
        let region = self.region.or(file.region).unwrap_or_else(|| "us-east-1".to_owned());
        let settings = Settings {
            listen: self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4566))),
            data: absolute(match self.data.or(file.data) {
                Some(data) => data,
                None => default_data_dir()?,
            })?,
            auth: self.auth.or(file.auth).unwrap_or(Auth::Audit),
            store: self.store.or(file.store).unwrap_or(StoreEngine::Fjall),
            runtime_map: RuntimeMap::parse(&runtime_map).map_err(|error| ConfigError(error.to_string()))?,
            access_points: parse_access_points(&access_points)?,
            region: region.parse().map_err(|error| ConfigError(format!("--region: {error}")))?,
            account_concurrency: self.account_concurrency.or(file.account_concurrency).unwrap_or(1000),
            fleet: fleet_limits(
                self.memory_budget_mib.or(file.memory_budget_mib),
                self.max_environments.or(file.max_environments),
                self.wait_limit_ms.or(file.wait_limit_ms),
            )?,
            images: self.images.or(file.images).unwrap_or(Switch::On),
            stock: self.stock.or(file.stock).unwrap_or(Switch::On),
            log: self.log.or(file.log).unwrap_or_else(|| "warn".to_owned()),
        };
        if !settings.listen.ip().is_loopback() && settings.auth != Auth::Enforce {
            return Err(ConfigError(format!(
                "{} is reachable from other machines: start with --auth enforce, or listen on 127.0.0.1",
                settings.listen
            )));
        }
        Ok(settings)
    }

    fn file(&self) -> Result<ServerArgs, ConfigError> {
        let path = match &self.config {
            Some(path) => path.as_path(),
            None if Path::new("lamplighter.toml").is_file() => Path::new("lamplighter.toml"),
            None => return Ok(ServerArgs::default()),
        };
        let wrong = |error: &dyn std::fmt::Display| ConfigError(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        toml::from_str(&text).map_err(|error| wrong(&error))
    }
}

/// The host's limits, where they are not the usual ones.
fn fleet_limits(
    memory_budget_mib: Option<u64>,
    max_environments: Option<usize>,
    wait_limit_ms: Option<u64>,
) -> Result<FleetLimits, ConfigError> {
    let usual = FleetLimits::default();
    if memory_budget_mib.is_some_and(|mib| mib < LEAST_MEMORY_MIB) {
        return Err(ConfigError(format!(
            "--memory-budget-mib: {LEAST_MEMORY_MIB} is the least; it is what one environment of a small function may use"
        )));
    }
    if max_environments == Some(0) {
        return Err(ConfigError("--max-environments: 1 is the least".to_owned()));
    }
    let wait_limit = wait_limit_ms.map_or(usual.wait_limit, Duration::from_millis);
    Ok(FleetLimits {
        memory_budget_bytes: memory_budget_mib.map(|mib| mib.saturating_mul(1024 * 1024)),
        max_environments: max_environments.unwrap_or(usual.max_environments),
        max_waiting: if wait_limit.is_zero() { 0 } else { usual.max_waiting },
        wait_limit,
        ..usual
    })
}

/// `127.0.0.1:4566`, `[::1]:4566` or `localhost:4566`. Other names are not looked up: they may mean several addresses.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let written_out = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    written_out
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "it must be an address and a port, such as 127.0.0.1:4566 or [::1]:4566".to_owned())
}

/// `fsap-` with 17 hexadecimal digits, as AWS's are, and a folder that is there.
fn parse_access_points(texts: &[String]) -> Result<AccessPoints, ConfigError> {
    let mut points = AccessPoints::default();
    for text in texts {
        let wrong = |why: String| ConfigError(format!("--access-point {text}: {why}"));
        let form = "it must be an id and a folder, such as fsap-0123456789abcdef0=/srv/shared";
        let (id, folder) = text.split_once('=').ok_or_else(|| wrong(form.to_owned()))?;
        let digits = id.strip_prefix("fsap-").unwrap_or_default();
        let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if digits.len() != 17 || !is_hex {
            return Err(wrong(form.to_owned()));
        }
        let folder = Path::new(folder).canonicalize().map_err(|error| wrong(error.to_string()))?;
        if !folder.is_dir() {
            return Err(wrong("it is not a folder".to_owned()));
        }
        if points.0.insert(id.to_owned(), folder).is_some() {
            return Err(wrong(format!("{id} is given twice")));
        }
    }
    Ok(points)
}

/// Boxes and logs name the folder; it shall not depend on where the server was started.
fn absolute(data: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&data).map_err(|error| ConfigError(format!("--data {}: {error}", data.display())))
}

fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("lamplighter"))
        .ok_or_else(|| ConfigError("neither HOME nor XDG_DATA_HOME is set: give --data DIR".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("l.toml");
        std::fs::write(&config, "region = \"eu-west-1\"\naccount-concurrency = 7\n").unwrap();
        let args = ServerArgs {
            config: Some(config),
            region: Some("eu-north-1".to_owned()),
            data: Some(folder.path().into()),
            ..ServerArgs::default()
        };
        let settings = args.resolve().unwrap();
        assert_eq!(settings.region.as_str(), "eu-north-1");
        assert_eq!(settings.account_concurrency, 7);
    }

    #[test]
    fn the_limits_of_the_host_have_bounds_of_their_own() {
        let limits = fleet_limits(Some(128), Some(1), Some(0)).unwrap();
        assert_eq!((limits.memory_budget_bytes, limits.max_environments), (Some(128 << 20), 1));
        assert_eq!((limits.wait_limit, limits.max_waiting), (Duration::ZERO, 0));
        let usual = fleet_limits(None, None, None).unwrap();
        assert_eq!((usual.memory_budget_bytes, usual.wait_limit), (None, Duration::from_secs(10)));
        assert!(fleet_limits(Some(127), None, None).unwrap_err().to_string().contains("--memory-budget-mib"));
        assert!(fleet_limits(None, Some(0), None).unwrap_err().to_string().contains("--max-environments"));
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("l.toml");
        std::fs::write(&config, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let args = ServerArgs { config: Some(config), ..ServerArgs::default() };
        assert!(args.resolve().unwrap_err().to_string().contains("lisen"));
    }

    #[test]
    fn an_address_may_be_localhost() {
        assert_eq!(parse_address("localhost:80").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(parse_address("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        assert!(parse_address("4566").unwrap_err().contains("127.0.0.1:4566"));
    }

    #[test]
    fn an_access_point_is_an_id_and_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let id = "fsap-0123456789abcdef0";
        let parse = |texts: &[String]| parse_access_points(texts).map_err(|error| error.to_string());
        let points = parse(&[format!("{id}={}", path.display())]).unwrap();
        assert_eq!(points.0.get(id), Some(&path));
        assert!(parse(&[format!("{id}=/no/such/folder")]).unwrap_err().contains("/no/such/folder"));
        for wrong in
            [id.to_owned(), format!("fsap-0={}", path.display()), format!("{id}g={}", path.display())]
        {
            assert!(parse(&[wrong]).unwrap_err().contains("such as fsap-"));
        }
        let twice = format!("{id}={}", path.display());
        assert!(parse(&[twice.clone(), twice]).unwrap_err().contains("twice"));
    }

    #[test]
    fn beyond_loopback_authentication_must_be_enforced() {
        let args = |auth| ServerArgs {
            listen: Some("0.0.0.0:4566".parse().unwrap()),
            data: Some("/tmp".into()),
            auth,
            ..ServerArgs::default()
        };
        assert!(args(None).resolve().unwrap_err().to_string().contains("--auth enforce"));
        assert!(args(Some(Auth::Enforce)).resolve().is_ok());
    }
}
