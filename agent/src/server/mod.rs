//! The slow path's edge: sockets, gate and codec.
//!
//! A [`socket::Link`] takes DHCP frames off one interface and sends rendered ones; the
//! [`gate::gate`] turns a frame into a [`crate::engine::request::Request`] or says why it is ignored;
//! while addresses are probed, the link takes ARP messages too, and [`echo`] asks those beyond it;
//! [`tags`] has a card let frames of VLANs through; a [`port::ServerPort`] holds UDP port 67, so that
//! nobody else serves it and the kernel does not answer for us.
//!
//! Promises: nothing a stranger sends panics, and a frame is either understood whole or ignored
//! with a reason. Never here: what a request means (the engine's), tasks, or a clock.

pub mod batch;
pub mod echo;
mod filter;
pub mod gate;
mod layers;
pub mod port;
pub mod socket;
pub mod tags;

#[cfg(test)]
pub(crate) mod builder;
