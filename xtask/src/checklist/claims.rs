//! From the name of a test to the rows that it claims, and to the side that it tests.

use super::rows::{self, Row};

/// What a test's binary puts to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The agent's code, called.
    Agent,
    /// The XDP program, run by the kernel.
    Kernel,
    /// Both as they run for an operator, with real clients: shown, but no substitute for either.
    Whole,
}

impl Side {
    /// The side of a binary by its name, such as `tests/program_gate (test)`.
    ///
    /// In the crate of privileged tests the name of the file tells.
    pub fn of(binary: &str) -> Self {
        let Some(file) = binary.strip_prefix("tests/") else { return Self::Agent };
        if ["program_", "differential"].iter().any(|prefix| file.starts_with(prefix)) {
            Self::Kernel
        } else if file.starts_with("engine_") {
            Self::Agent
        } else {
            Self::Whole
        }
    }

    /// The name on the screen and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Kernel => "kernel",
            Self::Whole => "whole",
        }
    }
}

/// The ids that a test's name claims: those that its own name or one of its modules' names begins
/// with, as in `discover::c40_and_c41_the_ack_says_what_the_offer_said`.
pub fn ids(test: &str) -> Vec<&str> {
    let mut ids = Vec::new();
    for part in test.split("::") {
        for word in part.split('_') {
            match word {
                "and" if !ids.is_empty() => {}
                id if is_id(id) => ids.push(id),
                _ => break,
            }
        }
    }
    ids
}

/// The rows that a test claims.
///
/// # Errors
///
/// The first id of which there is no row.
pub fn rows(test: &str) -> Result<Vec<&'static Row>, String> {
    ids(test).into_iter().map(|id| rows::find(id).ok_or_else(|| id.to_owned())).collect()
}

fn is_id(word: &str) -> bool {
    matches!(word.as_bytes(), [b'b' | b'c' | b'g', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_claims_what_it_begins_with() {
        assert_eq!(ids("engine::tests::request::c29_selecting_ours_is_acked"), ["c29"]);
        assert_eq!(ids("c40_and_c41_the_ack_says"), ["c40", "c41"]);
        assert_eq!(ids("c40_c41_the_ack_says"), ["c40", "c41"]);
        assert_eq!(ids("c24_probe::behind_a_relay"), ["c24"]);
        assert_eq!(ids("an_option_108_and_c56"), [""; 0]);
        assert_eq!(ids("c123_is_no_row"), [""; 0]);
    }

    #[test]
    fn a_row_that_there_is_not_is_an_error() {
        assert_eq!(rows("x::c40_c41_x").unwrap().len(), 2);
        assert_eq!(rows("x::c42_x"), Err("c42".to_owned()));
        assert_eq!(rows("x::plain"), Ok(Vec::new()));
    }

    #[test]
    fn the_binary_tells_the_side() {
        for (binary, side) in [
            ("agent/xdhcpd (lib)", Side::Agent),
            ("common/walk (test)", Side::Agent),
            ("tests/program_gate (test)", Side::Kernel),
            ("tests/differential (test)", Side::Kernel),
            ("tests/engine_corpus (test)", Side::Agent),
            ("tests/clients (test)", Side::Whole),
        ] {
            assert_eq!(Side::of(binary), side, "{binary}");
        }
    }
}
