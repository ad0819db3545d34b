//! A configuration of one network, said on the command line.
//!
//! Flags become the same value that a file would, so that there is one checker; its problems come back
//! under the flags' names.

use serde_json::{Map, Value, json};

use super::problems::Problems;
use super::{Config, parse_value};

/// What the command line says in place of a file, each as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--interface`; needed.
    pub interface: Option<String>,
    /// `--subnet`; needed.
    pub subnet: Option<String>,
    /// `--range`; needed.
    pub range: Option<String>,
    /// `--gateway`.
    pub gateway: Option<String>,
    /// `--name`: the agent's.
    pub name: Option<String>,
    /// `--http`.
    pub http: Option<String>,
}

/// Where each flag's value stands in the configuration.
const FLAGS: [(&str, &str); 6] = [
    ("--interface", "networks[0].interface"),
    ("--subnet", "networks[0].subnet"),
    ("--range", "networks[0].ranges[0]"),
    ("--gateway", "networks[0].gateway"),
    ("--name", "name"),
    ("--http", "http.listen"),
];

/// The configuration that the flags say.
pub fn from_flags(flags: &Flags) -> Result<Config, Problems> {
    parse_value(&value_of(flags)).map_err(|problems| problems.renamed(flag_for))
}

/// The flag whose value stands at `path`, for problems found later (by [`check_host`](super::check_host)).
pub fn flag_for(path: &str) -> String {
    let flag = FLAGS.iter().find(|(_, place)| *place == path).map(|(flag, _)| *flag);
    flag.unwrap_or(path).to_owned()
}

fn value_of(flags: &Flags) -> Value {
    // A range that is missing is a null in its place, so that the problem has that place too.
    let mut network =
        Map::from_iter([("name".to_owned(), json!("default")), ("ranges".to_owned(), json!([flags.range]))]);
    let given = [("interface", &flags.interface), ("subnet", &flags.subnet), ("gateway", &flags.gateway)];
    for (key, value) in given {
        network.insert(key.to_owned(), json!(value));
    }
    json!({"name": flags.name, "networks": [network], "http": {"listen": flags.http}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn flags() -> Flags {
        Flags {
            interface: Some("eth1".to_owned()),
            subnet: Some("10.9.0.0/24".to_owned()),
            range: Some("10.9.0.100-10.9.0.200".to_owned()),
            ..Flags::default()
        }
    }

    fn problems(flags: &Flags) -> String {
        from_flags(flags).unwrap_err().to_string()
    }

    #[test]
    fn flags_say_what_the_shortest_file_says() {
        let file = "networks: [{name: default, interface: eth1, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]}]";
        assert_eq!(from_flags(&flags()), parse_yaml(file));
    }

    #[test]
    fn every_flag_counts() {
        let all = Flags {
            gateway: Some("10.9.0.1".to_owned()),
            name: Some("rack".to_owned()),
            http: Some("off".to_owned()),
            ..flags()
        };
        let config = from_flags(&all).unwrap();
        assert_eq!((config.name.as_str(), config.http), ("rack", None));
        assert_eq!(config.networks[0].gateway, Some("10.9.0.1".parse().unwrap()));
    }

    #[test]
    fn problems_name_their_flags() {
        assert_eq!(
            problems(&Flags::default()),
            "--interface: is missing\n--subnet: is missing\n--range: is missing"
        );
        let wrong = Flags {
            range: Some("10.9.1.5-10.9.1.9".to_owned()),
            gateway: Some("10.9.0.0".to_owned()),
            name: Some("a b".to_owned()),
            http: Some("9167".to_owned()),
            ..flags()
        };
        let problems = problems(&wrong);
        for line in [
            "--range: 10.9.1.5 lies outside 10.9.0.0/24",
            "--gateway: 10.9.0.0 is the network address of 10.9.0.0/24; no host can have it",
            "--name: expected a name of 1 to 63 characters out of letters, digits, `_`, `.` and `-`, found `a b`",
            "--http: expected an address and port such as 127.0.0.1:9167, or off, found `9167`",
        ] {
            assert!(problems.lines().any(|found| found == line), "{line} in {problems}");
        }
    }
}
