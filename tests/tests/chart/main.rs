//! The chart: what helm makes of it, what a real API server takes of that, and whether what it says of values,
//! versions, metrics and alerts is so.

mod alerts;
mod effects;
mod installed;
mod monitored;
mod notes;
mod queries;
mod readme;
mod rendered;
mod values;
