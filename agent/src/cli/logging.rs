//! The agent's own log: to stderr, as lines for people or as JSON.
//!
//! The level is, in this order: `--log-level`, `RUST_LOG` (which may name modules), `LOG_LEVEL`, the
//! configuration's. The loader logs by the same word, which it is told.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::EnvFilter;

use super::failure::Failure;
use crate::config;
use crate::supervise::TARGET as CHILD;

/// How much is logged, and how, in place of the configuration's word.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct LogArguments {
    /// The least severe level that is logged [default: the configuration's]
    #[arg(long, value_name = "LEVEL", env = "XDHCPD_LOG_LEVEL")]
    log_level: Option<Level>,
    /// Lines for people, or JSON [default: the configuration's]
    #[arg(long, value_name = "FORMAT", env = "XDHCPD_LOG_FORMAT")]
    log_format: Option<Format>,
}

/// The levels, by their names in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The forms a line may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Whether what the command line and the variables say of the log makes sense.
pub fn check(arguments: LogArguments) -> Result<(), Failure> {
    directives(config::idle("").log, arguments, variable).map(drop)
}

/// Begins to log; once in a process. Returns what is logged, as [`start_as_child`] takes it.
pub fn start(log: config::Log, arguments: LogArguments) -> Result<String, Failure> {
    let directives = directives(log, arguments, variable)?;
    let json = arguments.log_format.map_or(log.json, |format| format == Format::Json);
    // A child's lines come as they are: they have been chosen by the same directives.
    let filter = filter(&format!("{directives},{CHILD}=trace"))?;
    begin(filter, json).map(|()| directives)
}

/// Begins to log in a process whose log another one forwards.
pub fn start_as_child(directives: &str) -> Result<(), Failure> {
    begin(filter(directives)?, true)
}

fn begin(filter: EnvFilter, json: bool) -> Result<(), Failure> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if json {
        builder.json().try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    };
    started.map_err(|error| Failure::Failed(anyhow::anyhow!("cannot start the log: {error}")))
}

fn filter(directives: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(directives).map_err(|error| Failure::Usage(format!("{directives}: {error}")))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What is logged, in the words of `RUST_LOG`.
fn directives(
    log: config::Log,
    arguments: LogArguments,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, Failure> {
    if let Some(level) = arguments.log_level.and_then(|level| level.to_possible_value()) {
        return Ok(of_level(level.get_name()));
    }
    if let Some(directives) = variable("RUST_LOG") {
        return match EnvFilter::try_new(&directives) {
            Ok(_) => Ok(directives),
            Err(error) => Err(Failure::Usage(format!("RUST_LOG: {error}"))),
        };
    }
    if let Some(text) = variable("LOG_LEVEL") {
        let level = text.parse::<tracing::Level>().map_err(|_| {
            Failure::Usage(format!("LOG_LEVEL: {text:?} is not one of error, warn, info, debug, trace"))
        })?;
        return Ok(of_level(&level.as_str().to_lowercase()));
    }
    Ok(of_level(&log.level.as_str().to_lowercase()))
}

/// A level for all, but not for the Kubernetes client's own word on each request that failed: we say what
/// that means, and try again. Who debugs sees it.
fn of_level(level: &str) -> String {
    match level {
        "debug" | "trace" => level.to_owned(),
        _ => format!("{level},{REQUESTS}=off"),
    }
}

/// Where the Kubernetes client logs requests.
const REQUESTS: &str = "kube_client::client::builder";

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: config::Log = config::Log { level: tracing::Level::INFO, json: false };

    fn chosen(flag: Option<Level>, variables: &[(&str, &str)]) -> Result<String, Failure> {
        let arguments = LogArguments { log_level: flag, log_format: None };
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        directives(INFO, arguments, variable)
    }

    #[test]
    fn the_nearest_word_on_the_level_wins() {
        let both = [("RUST_LOG", "xdhcpd=debug"), ("LOG_LEVEL", "WARN")];
        assert_eq!(chosen(Some(Level::Trace), &both).unwrap(), "trace");
        assert_eq!(chosen(None, &both).unwrap(), "xdhcpd=debug");
        assert_eq!(chosen(None, &both[1..]).unwrap(), "warn,kube_client::client::builder=off");
        assert_eq!(chosen(None, &[]).unwrap(), "info,kube_client::client::builder=off");
    }

    #[test]
    fn modules_that_do_not_read_name_their_variable() {
        let Err(Failure::Usage(text)) = chosen(None, &[("RUST_LOG", "xdhcpd=loud")]) else {
            panic!("it is refused");
        };
        assert!(text.starts_with("RUST_LOG: "), "{text}");
    }

    #[test]
    fn a_level_that_does_not_exist_names_its_variable() {
        let Err(Failure::Usage(text)) = chosen(None, &[("LOG_LEVEL", "loud")]) else {
            panic!("it is refused");
        };
        assert!(text.starts_with("LOG_LEVEL: \"loud\""), "{text}");
    }
}
