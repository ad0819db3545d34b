//! The agent's own log: to stderr, as lines for people or as JSON.
//!
//! The level is, in this order: `--log-level`, `RUST_LOG` (which may name modules), `LOG_LEVEL`, the
//! configuration's.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::EnvFilter;

use super::failure::Failure;
use crate::config;

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
    filter(config::idle("").log, arguments, variable).map(drop)
}

/// Begins to log; once in a process.
pub fn start(log: config::Log, arguments: LogArguments) -> Result<(), Failure> {
    let filter = filter(log, arguments, variable)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = arguments.log_format.map_or(log.json, |format| format == Format::Json);
    let started = if json {
        builder.json().try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    };
    started.map_err(|error| Failure::Failed(anyhow::anyhow!("cannot start the log: {error}")))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn filter(
    log: config::Log,
    arguments: LogArguments,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<EnvFilter, Failure> {
    if let Some(level) = arguments.log_level.and_then(|level| level.to_possible_value()) {
        return Ok(EnvFilter::new(level.get_name()));
    }
    if let Some(directives) = variable("RUST_LOG") {
        return EnvFilter::try_new(directives).map_err(|error| Failure::Usage(format!("RUST_LOG: {error}")));
    }
    if let Some(text) = variable("LOG_LEVEL") {
        let level = text.parse::<tracing::Level>().map_err(|_| {
            Failure::Usage(format!("LOG_LEVEL: {text:?} is not one of error, warn, info, debug, trace"))
        })?;
        return Ok(EnvFilter::new(level.as_str()));
    }
    Ok(EnvFilter::new(log.level.as_str()))
}

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
        filter(INFO, arguments, variable).map(|filter| filter.to_string())
    }

    #[test]
    fn the_nearest_word_on_the_level_wins() {
        let both = [("RUST_LOG", "xdhcpd=debug"), ("LOG_LEVEL", "WARN")];
        assert_eq!(chosen(Some(Level::Trace), &both).unwrap(), "trace");
        assert_eq!(chosen(None, &both).unwrap(), "xdhcpd=debug");
        assert_eq!(chosen(None, &both[1..]).unwrap(), "warn");
        assert_eq!(chosen(None, &[]).unwrap(), "info");
    }

    #[test]
    fn a_level_that_does_not_exist_names_its_variable() {
        let Err(Failure::Usage(text)) = chosen(None, &[("LOG_LEVEL", "loud")]) else {
            panic!("it is refused");
        };
        assert!(text.starts_with("LOG_LEVEL: \"loud\""), "{text}");
    }
}
