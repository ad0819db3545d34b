//! Where a configuration comes from, beside the file and the flags, which [`crate::config`] reads
//! itself. Each source ends in the same [`crate::config::Config`], and keeps the names of its own
//! fields in what it complains about.

pub mod cluster_agent;
