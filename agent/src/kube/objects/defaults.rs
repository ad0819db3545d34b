//! What fields of our objects say where nothing is said.

/// Switches that are on.
pub const fn yes() -> bool {
    true
}

/// The port of HTTPS.
pub const fn https_port() -> i32 {
    443
}

/// How many agents there are.
pub const fn one() -> i32 {
    1
}
