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

/// A quantity for each resource: `{cpu: 500m, memory: 64Mi}`.
pub fn maybe_quantities(_: &mut SchemaGenerator) -> Schema {
    const NUMBER: &str = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))";
    let pattern = format!(r"^\+?{NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?{NUMBER}))?$");
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "pattern": pattern },
    })
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

/// A count.
pub fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// A count that has begun.
pub fn number_from_one(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 1 })
}

/// The name of an agent: `0123456789abcdef`
pub fn agent_id(_: &mut SchemaGenerator) -> Schema {
    text(AGENT_ID, 16)
}

/// Such names.
pub fn agent_ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 256, "items": text(AGENT_ID, 16) })
}

const AGENT_ID: &str = "[0-9a-f]{16}";

/// A list of addresses or ranges of one block.
pub fn block_ranges(_: &mut SchemaGenerator) -> Schema {
    let items = text(&format!("{0}(-{0})?", address_pattern()), 31);
    json_schema!({ "type": "array", "maxItems": 256, "items": items })
}

/// Option 61 in hex.
pub fn maybe_client_id(_: &mut SchemaGenerator) -> Schema {
    maybe("([0-9a-f]{2})*", 510)
}

/// `12h`, `1s500ms`, or `infinite`
pub fn span(_: &mut SchemaGenerator) -> Schema {
    text("(infinite|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)", 48)
}

const TIME: &str = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z|@[0-9]+)";

/// `2026-08-01T12:00:00Z`; beyond what RFC 3339 can write, `@` and milliseconds since 1970.
pub fn time(_: &mut SchemaGenerator) -> Schema {
    text(TIME, 24)
}

/// The same, or none.
pub fn maybe_time(_: &mut SchemaGenerator) -> Schema {
    maybe(TIME, 24)
}
