//! The loader: the process that brings the XDP program into the kernel and keeps it there, started
//! and supervised by the agent, with fewer rights than it.
//!
//! The agent owns the maps and what is in them, the loader the program and its links: it loads the
//! program on the pinned maps, attaches it, forwards the program's own log, and puts the program back
//! where an interface lost it. Neither needs the other to go on: without a loader the pinned program
//! answers, and where there is none the agent does.
//!
//! They talk through pipes, in lines of JSON: an [`Order`] on stdin, whose end is the loader's own, and
//! a [`Report`] on stdout each time that something changed.

mod serve;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{FastPathMode, KernelLog};
use crate::fastpath::Strangers;

pub use self::serve::serve;

/// What is to be attached where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The agent's name, by which its maps are pinned.
    pub name: String,
    /// The level of the program's own log.
    pub log: KernelLog,
    /// How to attach it.
    pub mode: FastPathMode,
    /// To these interfaces and to no others.
    pub interfaces: Vec<String>,
    /// The programs of others, as the agent saw them.
    pub strangers: Strangers,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// There is no program: why.
    Failed(String),
    /// It is loaded; the interfaces that it is not attached to, and why.
    Loaded {
        /// By name.
        problems: BTreeMap<String, String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_reports_are_read_back_as_written_and_take_one_line() {
        let order = Order {
            name: "rack1".into(),
            log: KernelLog::Info,
            mode: FastPathMode::Auto,
            interfaces: vec!["eth1".into()],
            strangers: Strangers::default(),
        };
        let line = serde_json::to_string(&order).unwrap();
        assert_eq!(
            line,
            r#"{"name":"rack1","log":"info","mode":"auto","interfaces":["eth1"],"strangers":[]}"#
        );
        assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order);
        let problems = BTreeMap::from([("eth1".to_owned(), "two\nlines".to_owned())]);
        for report in [Report::Failed("no".into()), Report::Loaded { problems }] {
            let line = serde_json::to_string(&report).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
        }
    }
}
