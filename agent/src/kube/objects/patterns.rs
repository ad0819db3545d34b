//! The patterns that texts of our objects have, as pieces of JSON schema.
//!
//! They keep out what can never be meant; what they let through is still checked to the letter by
//! [`crate::config`]. Each has a length bound: CEL rules over unbounded text are refused by the API
//! server for what they could cost.

use schemars::{Schema, SchemaGenerator, json_schema};

/// One byte in decimal.
const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

fn address_pattern() -> String {
    format!(r"({BYTE}\.){{3}}{BYTE}")
}

fn text(pattern: &str, most: u32) -> Schema {
    json_schema!({ "type": "string", "maxLength": most, "pattern": format!("^{pattern}$") })
}

/// The same text, or none.
fn maybe(pattern: &str, most: u32) -> Schema {
    json_schema!({ "type": "string", "nullable": true, "maxLength": most, "pattern": format!("^({pattern})?$") })
}

/// `10.9.0.1`
pub fn address(_: &mut SchemaGenerator) -> Schema {
    text(&address_pattern(), 15)
}

/// `10.9.0.1`, or nothing
pub fn maybe_address(_: &mut SchemaGenerator) -> Schema {
    maybe(&address_pattern(), 15)
}

/// `10.9.0.0/24`
pub fn cidr(_: &mut SchemaGenerator) -> Schema {
    text(&format!("{}/(3[0-2]|[12]?[0-9])", address_pattern()), 18)
}

/// `10.9.0.2/24`, or nothing
pub fn maybe_cidr(_: &mut SchemaGenerator) -> Schema {
    maybe(&format!("{}/(3[0-2]|[12]?[0-9])", address_pattern()), 18)
}

/// `10.9.0.100-10.9.0.200`
pub fn range(_: &mut SchemaGenerator) -> Schema {
    text(&format!("{0}-{0}", address_pattern()), 36)
}

/// `10.9.0.100-10.9.0.200`, or one address
pub fn range_or_address(_: &mut SchemaGenerator) -> Schema {
    text(&format!("{0}(-{0})?", address_pattern()), 36)
}

/// A list of addresses.
pub fn addresses(generator: &mut SchemaGenerator) -> Schema {
    let items = address(generator);
    json_schema!({ "type": "array", "nullable": true, "maxItems": 256, "items": items })
}

/// A list of ranges or addresses.
pub fn ranges_or_addresses(generator: &mut SchemaGenerator) -> Schema {
    let items = range_or_address(generator);
    json_schema!({ "type": "array", "nullable": true, "maxItems": 256, "items": items })
}

/// A list of addresses or prefixes.
pub fn prefixes(_: &mut SchemaGenerator) -> Schema {
    let items = text(&format!("{}(/(3[0-2]|[12]?[0-9]))?", address_pattern()), 18);
    json_schema!({ "type": "array", "nullable": true, "maxItems": 256, "items": items })
}

/// `30s`, `12h`, `1d`
pub fn maybe_duration(_: &mut SchemaGenerator) -> Schema {
    maybe("([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?", 32)
}

/// `12h`, or `infinite`
pub fn maybe_lease_time(_: &mut SchemaGenerator) -> Schema {
    maybe("infinite|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?", 32)
}

/// `02:00:00:00:00:01`
pub fn maybe_mac(_: &mut SchemaGenerator) -> Schema {
    maybe("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", 17)
}

/// Bytes in hex, colons allowed.
pub fn maybe_hex(_: &mut SchemaGenerator) -> Schema {
    maybe("([0-9A-Fa-f]{2}:?)*", 3072)
}

/// `500m`, `64Mi`, or a number.
pub fn maybe_quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "nullable": true, "x-kubernetes-int-or-string": true })
}

/// What `ranges` lists: a text, or a range for the members of one class.
pub fn ranges(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 64,
        "items": { "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// `127.0.0.1:9167`, or `off`
pub fn maybe_listen(_: &mut SchemaGenerator) -> Schema {
    maybe(r"off|[0-9A-Fa-f.:\[\]]+:[0-9]{1,5}", 64)
}
