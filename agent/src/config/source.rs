//! From text, value or file to a [`Config`]: the agent's own sections, and what holds between networks.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::network::{Draft, read_network};
use super::problems::{Problems, Report};
use super::value::{Mapping, Node, Placed};
use super::yaml::{self, MAX_TEXT};
use super::{
    Config, FastPath, FastPathMode, KernelLog, Leases, Limits, Loader, Log, Network, durations, quantities,
    scalars,
};

/// Each network has its maps' entries, its pool and its metrics.
const MAX_NETWORKS: usize = 256;
/// All pools together; the lease table may hold an entry for each of these.
const MAX_POOL: u64 = 1 << 24;
/// With the longest lease of 136 years even one is more than enough; with one of a second a thousand are
/// a quarter of an hour.
const HORIZON: RangeInclusive<u32> = 1..=1000;
/// A loader that may start again after a day only is not supervised.
const LOADER_INTERVAL: RangeInclusive<u64> = 1..=86_400;
/// Up to a week.
const LOADER_WINDOW: RangeInclusive<u64> = 1..=604_800;
/// None: the first failure is fatal. A thousand with a second between them are a quarter of an hour.
const LOADER_FAILURES: RangeInclusive<u32> = 0..=1000;
/// No client asks so often, and no interface passes so many frames up.
const CLIENT_BUDGET: RangeInclusive<u32> = 1..=1_000_000;
const INTERFACE_BUDGET: RangeInclusive<u32> = 1..=10_000_000;

const KEYS: [&str; 8] = ["name", "networks", "fastPath", "leases", "loader", "limits", "http", "log"];

/// Why a configuration file gave no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{}: has more than {MAX_TEXT} bytes, the most that is read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no text.
    #[error("{}: is not UTF-8 text (line {line})", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where the first byte stands that belongs to no character.
        line: usize,
    },
    /// The file can be read, but what it says is wrong.
    #[error("{problems}")]
    Invalid {
        /// What is wrong, a line each.
        problems: Problems,
    },
}

/// Reads the configuration file.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let path_owned = || path.to_path_buf();
    let bytes = read_bounded(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path_owned() },
        _ => LoadError::Unreadable { path: path_owned(), source },
    })?;
    if bytes.len() > MAX_TEXT {
        return Err(LoadError::TooLarge { path: path_owned() });
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count().saturating_add(1);
        LoadError::NotText { path: path_owned(), line }
    })?;
    parse_yaml(text).map_err(|problems| LoadError::Invalid { problems })
}

/// At most one byte more than may be there, so that not even an endless file is read for long.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let bound = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a configuration from YAML text.
pub fn parse_yaml(text: &str) -> Result<Config, Problems> {
    let mut report = Report::default();
    let config = yaml::to_value(text, &mut report).and_then(|value| read_config(&value, &mut report));
    report.verdict(config)
}

/// Reads a configuration from a JSON value with the same keys.
pub fn parse_value(value: &Value) -> Result<Config, Problems> {
    let mut report = Report::default();
    let config = read_config(value, &mut report);
    report.verdict(config)
}

/// The configuration of an agent that serves no network; all else by default.
pub fn idle(name: &str) -> Config {
    let nothing = serde_json::Map::new();
    assemble(name.to_owned(), &Mapping::whole(&nothing), &mut Report::default())
}

fn read_config(value: &Value, report: &mut Report) -> Option<Config> {
    if value.is_null() {
        report.add("", "the configuration is empty; it needs at least `networks`");
        return None;
    }
    let root = Node::root(value).mapping(&KEYS, report)?;
    let networks = read_networks(&root, report);
    let name = root.read("name", report, scalars::name).unwrap_or_else(|| "default".to_owned());
    let config = assemble(name, &root, report);
    Some(Config { networks: networks?, ..config })
}

/// All but the networks.
fn assemble(name: String, root: &Mapping<'_>, report: &mut Report) -> Config {
    Config {
        name,
        networks: Vec::new(),
        fast_path: read_fast_path(root, report),
        leases: read_leases(root, report),
        loader: read_loader(root, report),
        limits: read_limits(root, report),
        http: read_http(root, report),
        log: read_log(root, report),
        replace_node_addresses: false,
    }
}

fn read_networks(root: &Mapping<'_>, report: &mut Report) -> Option<Vec<Network>> {
    let node = root.required("networks", report)?;
    let nodes = node.items(MAX_NETWORKS, report);
    if nodes.is_empty() && node.value.is_array() {
        report.add(&node.path, "is empty; at least one network is needed");
    }
    let drafts: Vec<Draft> = nodes.iter().filter_map(|node| read_network(node, report)).collect();
    check_names_differ(&drafts, report);
    check_subnets_are_apart(&drafts, report);
    let pool = drafts.iter().map(|draft| draft.pool).fold(0, u64::saturating_add);
    if pool > MAX_POOL {
        report.add(
            &node.path,
            format!("the ranges have {pool} addresses together; at most {MAX_POOL} are allowed"),
        );
    }
    drafts.into_iter().map(|draft| draft.network).collect()
}

fn check_names_differ(drafts: &[Draft], report: &mut Report) {
    let mut names = HashSet::new();
    for Placed { path, value: name } in drafts.iter().filter_map(|draft| draft.name.as_ref()) {
        if !names.insert(name) {
            report.add(path, format!("there is a network {name} already"));
        }
    }
}

/// An address belongs to one network, whichever wire it is on.
fn check_subnets_are_apart(drafts: &[Draft], report: &mut Report) {
    for (at, later) in drafts.iter().enumerate() {
        let Some(Placed { path, value: later }) = &later.subnet else { continue };
        for earlier in drafts.iter().take(at) {
            let Some(Placed { value: subnet, .. }) = &earlier.subnet else { continue };
            if subnet.contains(later) || later.contains(subnet) {
                let whose = earlier.name.as_ref().map_or("another network", |name| &name.value);
                report.add(path, format!("{later} overlaps {subnet} of {whose}"));
            }
        }
    }
}

fn section<'v>(root: &Mapping<'v>, key: &str, known: &[&str], report: &mut Report) -> Option<Mapping<'v>> {
    root.get(key)?.mapping(known, report)
}

fn read_fast_path(root: &Mapping<'_>, report: &mut Report) -> FastPath {
    const MODES: [(&str, FastPathMode); 4] = [
        ("auto", FastPathMode::Auto),
        ("native", FastPathMode::Native),
        ("generic", FastPathMode::Generic),
        ("off", FastPathMode::Off),
    ];
    const LEVELS: [(&str, KernelLog); 6] = [
        ("off", KernelLog::Off),
        ("error", KernelLog::Error),
        ("warn", KernelLog::Warn),
        ("info", KernelLog::Info),
        ("debug", KernelLog::Debug),
        ("trace", KernelLog::Trace),
    ];
    let Some(fast_path) = section(root, "fastPath", &["mode", "log"], report) else {
        return FastPath::default();
    };
    FastPath {
        mode: fast_path.read("mode", report, scalars::choice(&MODES)).unwrap_or_default(),
        log: fast_path.read("log", report, scalars::choice(&LEVELS)).unwrap_or_default(),
    }
}

fn read_leases(root: &Mapping<'_>, report: &mut Report) -> Leases {
    let leases = section(root, "leases", &["dir", "horizon"], report);
    let leases = leases.as_ref();
    Leases {
        dir: leases
            .and_then(|leases| leases.read("dir", report, scalars::folder))
            .unwrap_or_else(|| PathBuf::from("/var/lib/dhcp")),
        horizon: leases
            .and_then(|leases| leases.read("horizon", report, scalars::integer(HORIZON)))
            .unwrap_or(4),
    }
}

fn read_loader(root: &Mapping<'_>, report: &mut Report) -> Loader {
    let known = ["minInterval", "window", "maxFailures", "cpu", "memory"];
    let loader = section(root, "loader", &known, report);
    let loader = loader.as_ref();
    Loader {
        min_interval: loader
            .and_then(|loader| loader.read("minInterval", report, durations::duration(LOADER_INTERVAL)))
            .unwrap_or(Duration::from_mins(3)),
        window: loader
            .and_then(|loader| loader.read("window", report, durations::duration(LOADER_WINDOW)))
            .unwrap_or(Duration::from_mins(15)),
        max_failures: loader
            .and_then(|loader| loader.read("maxFailures", report, scalars::integer(LOADER_FAILURES)))
            .unwrap_or(3),
        cpu: loader.and_then(|loader| loader.read("cpu", report, quantities::cpu)),
        memory: loader.and_then(|loader| loader.read("memory", report, quantities::memory)),
    }
}

fn read_limits(root: &Mapping<'_>, report: &mut Report) -> Limits {
    let limits = section(root, "limits", &["clientPerSecond", "interfacePerSecond"], report);
    let mut budget = |key, bounds: RangeInclusive<u32>, default| {
        let given = limits.as_ref().and_then(|limits| limits.read(key, report, scalars::integer(bounds)));
        given.unwrap_or(default)
    };
    Limits {
        client_per_second: budget("clientPerSecond", CLIENT_BUDGET, 20),
        interface_per_second: budget("interfacePerSecond", INTERFACE_BUDGET, 20_000),
    }
}

fn read_http(root: &Mapping<'_>, report: &mut Report) -> Option<SocketAddr> {
    section(root, "http", &["listen"], report)
        .and_then(|http| http.read("listen", report, scalars::listen))
        .unwrap_or(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9167))))
}

fn read_log(root: &Mapping<'_>, report: &mut Report) -> Log {
    const LEVELS: [(&str, tracing::Level); 5] = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    let log = section(root, "log", &["level", "format"], report);
    let log = log.as_ref();
    let formats = [("text", false), ("json", true)];
    Log {
        level: log
            .and_then(|log| log.read("level", report, scalars::choice(&LEVELS)))
            .unwrap_or(tracing::Level::INFO),
        json: log.and_then(|log| log.read("format", report, scalars::choice(&formats))).unwrap_or(false),
    }
}
