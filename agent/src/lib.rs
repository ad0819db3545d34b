//! The xdhcpd agent: allocates addresses, keeps leases on disk, programs the XDP program's maps
//! and answers what the kernel passes up.
//!
//! From the top down, and imports run in that direction alone:
//!
//! - [`cli`]: one file a subcommand; parses, calls, prints
//! - [`run`]: the wiring of `xdhcpd run`: starts its parts, stops them in order; [`controller`]: the same of
//!   `xdhcpd controller`, which runs agents in a cluster
//! - [`kube`]: what Kubernetes sees of an agent, and what it says to it: the way in for objects, the way out for
//!   leases, and between agents the election and what each of them publishes; [`sources`]: where a configuration
//!   comes from, beside the file and the flags
//! - [`http`], [`control`], [`report`]: what is asked of a running agent, and the answers;
//!   [`lease_feed`]: which leases changed, for whoever shows them elsewhere; [`notices`]: what else somebody
//!   should see; [`conditions`]: what the agent waits for before it is ready
//! - [`loader`]: the process that loads the XDP program and keeps it attached; [`supervise`]: child
//!   processes, of which that is the first; [`privileges`]: what either may still do
//! - [`server`]: the slow path's sockets and gate; [`fastpath`]: the kernel's side of things
//! - [`endpoint`]: whether a BMC answers at an address, and what it says of its machine
//! - [`engine`]: what a request means: (table, request, now) → reply and effects, and no more
//! - [`claims`]: what of it may be promised where several agents share networks: a protocol, why it is safe, and
//!   its model
//! - [`lease`]: the table, and the journal, which alone knows what is on disk
//! - [`config`]: a value that exists is valid
//! - [`clock`]: boot time, in which leases run, and wall time, in which people speak
//!
//! The way of a packet that the kernel passed up: a [`server::socket::Link`] reads it, the
//! [`server::gate`] makes a request of it or says why not, the [`engine::Engine`] decides, and the
//! core of [`run`] carries that out: journal, then the kernel's map, then the reply.
//!
//! In a cluster two more have a word, and neither is waited for. The election ([`kube::election`]) says which
//! of several agents answers; it may be wrong for a while, and nothing but an answer depends on it. The claims say
//! what this agent may promise to whom, and until when: `run::claims` feeds them, and asks for each message
//! ([`engine::permit`]); [`kube::claims`] carries what they ask for to the API server and back.

pub mod claims;
pub mod cli;
pub mod clock;
pub mod conditions;
pub mod config;
pub mod control;
pub mod controller;
pub mod endpoint;
pub mod engine;
pub mod fastpath;
pub mod http;
pub mod kube;
pub mod lease;
pub mod lease_feed;
pub mod loader;
mod netlink;
pub mod notices;
mod privileges;
pub mod report;
pub mod run;
pub mod server;
pub mod sources;
pub mod supervise;
