//! Shared harness of everything that needs root, a namespace, a real client or a real relay.
//!
//! - [`netns`]: network namespaces joined by veth pairs
//! - [`server`]: the real agent, as a process in a namespace
//! - [`failing`]: a process whose disk fails
//! - [`guest`]: virtual machines with firmware, kernels and disks of their own
//! - [`segment`]: hosts on one switch
//! - [`clients`]: dhclient, udhcpc, dhcpcd and systemd-networkd, as processes that cannot touch the host
//! - [`relays`]: relay agents that people use
//! - [`ledger`]: what was promised to whom, and whether anything was promised twice
//! - [`known`]: known clients that are asked for without a break
//! - [`perfdhcp`]: Kea's load generator, and what it reports
//! - [`dhcpd`]: ISC's server, on a lease file of its own or of ours
//! - [`generator`]: a load generator of our own, where perfdhcp is the limit
//! - [`bmc`]: a Redfish service, over HTTP or HTTPS
//! - [`renewals`]: clients that renew all the time and miss no answer
//! - [`storm`]: thousands of machines that boot at one time behind a relay
//! - [`crowd`]: clients that keep a list of what was acknowledged to them
//! - [`tap`], [`capture`]: frames on an interface, and tshark's judgement of them
//! - [`conversation`]: the DHCP messages among captured frames
//! - [`frames`], [`exchange`]: frames built by hand, and the replies to them
//! - [`program`]: the XDP program alone, run on one frame at a time
//! - [`former`]: another version's program and maps, in the place of an agent's
//! - [`breakers`], [`corpus`]: frames that have broken servers, and the files they are kept in
//! - [`fuzzed`]: what must hold whatever bytes come in
//! - [`random`]: numbers from a seed
//! - [`readme`]: the commands that README has people type
//! - [`host_status`]: what the objects of an agent say, all together
//! - [`kube`]: a real Kubernetes API server, and users with rights of their own; [`rights`]: whether they need them
//! - [`node`]: a real Kubernetes of one node; [`kubelets`]: several that only look like nodes
//! - [`built`]: where what was built and fetched lies
//! - [`cluster_agent`]: the real agent of a ClusterAgent; [`events`]: what it tells beside the object;
//!   [`controller`]: the real controller
//! - [`claimants`]: agents that are nothing but their claims
//! - [`interrupt`]: signals that end in good order what people run
//! - [`wait`]: bounded waits on a condition
//! - [`skip`]: how a test says that it did not run
//!
//! All that a test starts ends with the value that stands for it. What a killed test left behind,
//! the next run removes ([`netns::NetNs`]).

pub mod bmc;
pub mod breakers;
pub mod built;
pub mod capture;
pub mod chart;
pub mod claimants;
pub mod clients;
pub mod cluster_agent;
pub mod controller;
pub mod conversation;
pub mod corpus;
pub mod crowd;
pub mod dhcpd;
pub mod events;
pub mod exchange;
pub mod failing;
pub mod former;
pub mod frames;
pub mod fuzzed;
pub mod generator;
pub mod guest;
pub mod host_status;
pub mod http;
pub mod interrupt;
pub mod known;
pub mod kube;
pub mod kubelets;
pub mod ledger;
pub mod netns;
pub mod node;
pub mod perfdhcp;
pub mod process;
pub mod program;
pub mod random;
pub mod readme;
pub mod relays;
pub mod renewals;
pub mod rights;
pub mod scene;
pub mod segment;
pub mod server;
pub mod skip;
pub mod storm;
pub mod tap;
pub mod wait;
