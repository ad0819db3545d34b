//! What agents publish, in the forms that it has in objects and files, and back.
//!
//! What we write is read back to the letter. What somebody else wrote is an error that names the field.

mod block;
mod term;
#[cfg(test)]
mod tests;
mod text;

pub use block::{block_of, form_of_block};
pub use term::{form_of_term, term_of};
pub use text::{form_of_span, form_of_time, span_of, time_of};
