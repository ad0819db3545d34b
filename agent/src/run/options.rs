//! What an agent is started with, and the configuration that this makes.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::cluster::ClusterOptions;
use crate::config::{self, Config, Flags, LoadError};
use crate::http;

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// This file.
    File(PathBuf),
    /// One network, said on the command line.
    Flags(Flags),
    /// An object of the cluster.
    Cluster(ClusterOptions),
}

/// What `xdhcpd run` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Where the configuration comes from.
    pub source: ConfigSource,
    /// The agent's name, in place of the configuration's; a valid one.
    pub name: Option<String>,
    /// Where HTTP is served, in place of the configuration's.
    pub http: Option<SocketAddr>,
    /// Where leases are kept, in place of the configuration's.
    pub lease_dir: Option<PathBuf>,
    /// The unix socket, in place of the one that the name gives.
    pub socket: Option<PathBuf>,
    /// Whether program, maps and link go with the agent instead of outliving it.
    pub detach_on_exit: bool,
    /// Whether selfIP may replace addresses that the host cannot do without.
    pub replace_node_addresses: bool,
}

impl RunOptions {
    /// Reads the configuration of a file or of flags (one of a cluster is read there), with what the command line puts in its place.
    pub fn load(&self) -> Result<Config, LoadError> {
        let mut config = match &self.source {
            ConfigSource::File(path) => config::load(path)?,
            ConfigSource::Flags(flags) => {
                config::from_flags(flags).map_err(|problems| LoadError::Invalid { problems })?
            }
            ConfigSource::Cluster(cluster) => config::idle(&cluster.agent),
        };
        self.override_config(&mut config);
        Ok(config)
    }

    /// Puts what the command line says in the place of a configuration's word.
    pub fn override_config(&self, config: &mut Config) {
        if let Some(name) = &self.name {
            config.name.clone_from(name);
        }
        config.http = self.http.or(config.http);
        config.replace_node_addresses = self.replace_node_addresses;
        if let Some(folder) = &self.lease_dir {
            config.leases.dir.clone_from(folder);
        }
    }

    /// Where the command line finds the agent.
    pub fn socket(&self, config: &Config) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| http::path_of(&config.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> RunOptions {
        let flags = Flags {
            interface: Some("eth1".into()),
            subnet: Some("10.9.0.0/24".into()),
            range: Some("10.9.0.100-10.9.0.200".into()),
            ..Flags::default()
        };
        RunOptions {
            source: ConfigSource::Flags(flags),
            name: None,
            http: None,
            lease_dir: None,
            socket: None,
            detach_on_exit: false,
            replace_node_addresses: false,
        }
    }

    #[test]
    fn the_command_line_wins_over_the_configuration() {
        let options =
            RunOptions { name: Some("lab".into()), http: Some(([127, 0, 0, 1], 9200).into()), ..options() };
        let config = options.load().unwrap();
        assert_eq!((config.name.as_str(), config.http), ("lab", options.http));
        assert_eq!(options.socket(&config), PathBuf::from("/run/xdhcpd/lab.sock"));
    }

    #[test]
    fn what_the_command_line_leaves_out_is_the_configurations() {
        let plain = options().load().unwrap();
        assert_eq!(plain.name, "default");
        assert_eq!(options().socket(&plain), PathBuf::from("/run/xdhcpd/default.sock"));
    }
}
