//! Health, metrics, leases and counters over HTTP: on TCP for probes and dashboards, and on the
//! agent's unix socket for its own command line, which may also give addresses back.
//!
//! Every answer comes from the run loop through a [`Handle`](crate::control::Handle); nothing here
//! knows a lease or a map. Nothing here is needed to serve a client of DHCP.

mod exposition;
mod lease_stream;
mod metrics;
mod plain;
mod routes;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
mod timings;
mod write_counts;

pub use plain::plain;
pub use routes::{ErrorBody, Source, private, public};
pub use serve::{serve_tcp, serve_unix};
pub use socket::{Socket, SocketError, path_of};
pub use timings::{AgentMetrics, Histogram, Timings};
pub use write_counts::WriteCounts;
