//! `xdhcpd crds`: the custom resource definitions that this version works with.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::Failure;
use super::output;
use crate::kube::objects;

/// Print the custom resource definitions that the agent works with.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Print a list in JSON instead of documents in YAML
    #[arg(long, env = "XDHCPD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd crds | kubectl apply --server-side -f -
  xdhcpd crds --json | jq '.items[].metadata.name'";

/// Prints them.
pub fn crds(arguments: &Arguments) -> Result<(), Failure> {
    let crds = objects::crds();
    if arguments.json {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": crds });
        return output::print_json(&list);
    }
    let documents: Result<Vec<String>, _> = crds.iter().map(objects::yaml).collect();
    let documents = documents.map_err(|error| Failure::failed("cannot write the definitions", error))?;
    output::print(&format!("---\n{}", documents.join("---\n"))).map(drop)
}
