//! What an agent can be told that is no network's: the other sections of the configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// What else an agent can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSettings {
    /// Further networks, as the configuration file has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "further_networks")]
    pub networks: Option<Vec<serde_json::Value>>,
    /// How the XDP program is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_path: Option<FastPathSettings>,
    /// How far ahead leases are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<LeaseSettings>,
    /// When the loader is started again, and what it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderSettings>,
    /// Budgets of what goes up to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitSettings>,
    /// Where health, metrics and leases are served; a flag of the agent's wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSettings>,
    /// What is logged and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSettings>,
}

/// How the XDP program is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FastPathSettings {
    /// In the driver, in generic mode, by what the driver can, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AttachMode>,
    /// The level of the program's own log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ProgramLog>,
}

/// How the XDP program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the configuration file")]
pub enum AttachMode {
    Auto,
    Native,
    Generic,
    Off,
}

/// The level of the XDP program's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the configuration file")]
pub enum ProgramLog {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How far ahead leases are written. Where they are kept is the pod's affair, not the object's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseSettings {
    /// How long the kernel may renew alone, in lease times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub horizon: Option<u32>,
}

/// When the loader is started again, and what it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoaderSettings {
    /// The least time between two starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub min_interval: Option<String>,
    /// An end within this time of the start counts as a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub window: Option<String>,
    /// More failures in a row than this are fatal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub max_failures: Option<u32>,
    /// CPU time, as in 500m; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_quantity")]
    pub cpu: Option<serde_json::Value>,
    /// Memory, as in 64Mi; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_quantity")]
    pub memory: Option<serde_json::Value>,
}

/// Budgets of what goes up to the agent, in messages a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitSettings {
    /// For one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub client_per_second: Option<u32>,
    /// For one interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub interface_per_second: Option<u32>,
}

/// Where health, metrics and leases are served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpSettings {
    /// As in 127.0.0.1:9167, or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_listen")]
    pub listen: Option<String>,
}

/// What is logged and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogSettings {
    /// The least severe level that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// Lines for people, or JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// The agent's log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the configuration file")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The agent's log formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the configuration file")]
pub enum LogFormat {
    Text,
    Json,
}

/// Each is checked whole by [`crate::config`], as it is in the file.
fn further_networks(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 255,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
