//! What Kubernetes sees of an agent, and what it says to it.
//!
//! One way in: the ClusterAgent and the HostEndpoints make the configuration ([`session::Wanted`]),
//! which the wiring has checked and served like any other. One way out: each lease and each
//! HostEndpoint is shown as a HostStatus.
//!
//! - [`objects`]: the types of `bmc.spidernet.io`, which are the schema
//! - [`client`], [`events`], [`secrets`]: the API server, and what it is told and asked
//! - [`watch`](mod@watch): what it tells; [`election`]: who of several does what one alone should do
//! - [`board`]: all facts, plain data; [`desired`]: what follows from them, pure
//! - [`writes`]: one request for each difference, at a bounded pace
//! - [`session`]: the task that owns all of these
//! - [`going`]: whether the agent's object is being removed
//! - [`uninstall`]: ending all agents, and removing what they wrote
//! - [`hosts`]: asking the hosts how they are
//! - [`claims`]: what several agents publish to each other
//! - [`applied`]: the configuration for the day when the API server is away
//!
//! Promises: no packet waits for the API server. What is written follows from the lease table and from
//! what the API server says is there, never from remembered events; so it converges, whatever was
//! missed, edited or removed by hand. Never here: a decision about a lease. Removing the HostStatus of a
//! dead client asks the core to give its address back, as `xdhcpd release` does.

pub mod applied;
pub mod board;
pub mod claims;
pub mod client;
pub mod desired;
pub mod election;
pub mod events;
pub mod going;
pub mod hosts;
mod leases;
pub mod names;
pub mod objects;
pub mod queue;
pub mod secrets;
pub mod session;
pub mod uninstall;
pub mod watch;
pub mod writes;

#[cfg(test)]
mod tests;
