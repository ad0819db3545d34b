//! What the XDP program and the agent share: the layout of frames, the keys and values of the
//! maps, and the decision what a request means for a lease.
//!
//! One decision, compiled twice: for one state and one frame both sides come to the same
//! [`decision::Verdict`], because both call this code. It has no dependencies and no `alloc`, it
//! never loops without a bound, and it never touches a clock, a map or a socket.

#![no_std]

pub mod checksum;
pub mod counters;
pub mod decision;
pub mod facts;
pub mod fingerprint;
pub mod frame;
pub mod gate;
pub mod maps;
pub mod options;
pub mod reply;
pub mod times;

/// Raised whenever the layout of a map's key or value changes: a program and an agent of different
/// layouts never share maps.
pub const LAYOUT: u32 = 1;
