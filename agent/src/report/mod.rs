//! What operators and their scripts read: the JSON of `--json`, of the unix socket and of HTTP.
//!
//! The keys are a promise: they are added to, never renamed or dropped. The same types are written
//! by the agent and read back by its command line, so both are here. Nothing here does I/O.

mod leases;
mod scalars;
mod stats;

pub use leases::{AnsweredBy, LeaseReport, LeaseState, LeasesReport};
pub use scalars::{BadMac, BadTimestamp, Mac, Timestamp};
pub use stats::{
    AgentAnswers, AgentReport, InterfaceReport, KernelAnswers, KernelReport, LoaderReport, LoaderState,
    NetworkReport, StatsReport,
};
