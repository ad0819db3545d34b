//! What a scalar without quotes is.

use serde_json::Value;

/// Null, a truth value, a number or text. A number only when writing the number gives the same text again, so
/// that nothing (hex digits, a serial number) loses a zero.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Value::from(number),
            _ => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_numbers_only_when_nothing_is_lost() {
        for (text, value) in [
            ("52:54:00:11:22:33", json!("52:54:00:11:22:33")),
            ("10:20:30:40:50:59", json!("10:20:30:40:50:59")),
            ("0102", json!("0102")),
            ("1e10", json!("1e10")),
            ("0x1f", json!("0x1f")),
            ("1_000", json!("1_000")),
            ("-0", json!("-0")),
            ("+1", json!("+1")),
            ("1500", json!(1500)),
            ("-4", json!(-4)),
            ("0", json!(0)),
            ("99999999999999999999", json!("99999999999999999999")),
            ("true", json!(true)),
            ("off", json!("off")),
            ("yes", json!("yes")),
            ("~", json!(null)),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }
}
