//! What follows from facts: one step at a time, and whether the steps end.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod board;
mod convergence;
mod desired;
mod store;

use std::net::Ipv4Addr;

use serde_json::json;

use super::board::Board;
use super::desired::{Hold, Holding, Reach, Settings};
use super::objects::{HostEndpoint, HostStatus, HostStatusSpec};
use crate::report::Mac;

const NOW: &str = "2026-01-02T03:04:05Z";

const AGENT: &str = "bmc";

fn ip() -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, 100)
}

/// The name of [`ip`]'s object.
const NAME: &str = "bmc-10-9-0-100";

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn holding(last: u8, hold: Hold) -> Holding {
    Holding { mac: mac(last), hold }
}

fn leased(last: u8) -> Holding {
    holding(last, Hold::Leased)
}

fn settings() -> Settings {
    let secret = Some(("ns".to_owned(), "secret".to_owned()));
    Settings { agent: AGENT.into(), endpoint: Reach { https: true, port: 8443, secret }, discovery: true }
}

fn without_discovery() -> Settings {
    Settings { discovery: false, ..settings() }
}

fn board() -> Board {
    Board::new(settings())
}

/// A HostEndpoint as the API server has it.
fn endpoint(name: &str, ip: &str, agent: Option<&str>) -> HostEndpoint {
    let spec = json!({"ipAddr": ip, "clusterAgent": agent, "https": false, "port": 80});
    serde_json::from_value(json!({
        "apiVersion": "bmc.spidernet.io/v1beta1",
        "kind": "HostEndpoint",
        "metadata": {"name": name, "uid": format!("uid-of-{name}")},
        "spec": spec,
    }))
    .unwrap()
}

/// An object that has just been made by hand.
fn bare(name: &str) -> HostStatus {
    HostStatus::new(name, HostStatusSpec {})
}
