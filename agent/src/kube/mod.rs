//! What Kubernetes sees.

pub mod objects;
