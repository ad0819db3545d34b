//! Amounts of CPU and memory as Kubernetes writes them: `500m`, `0.5`, `64Mi`.

use serde_json::Value;

use super::value::expected;

/// Less than a hundredth of a CPU is no time at all.
const LEAST_CPU: u32 = 10;
/// More than any machine has.
const MOST_CPU: u32 = 1024 * 1000;
/// Less, and a process cannot even begin.
const LEAST_MEMORY: u64 = 16 << 20;
/// More than any machine has.
const MOST_MEMORY: u64 = 1 << 50;

/// What the letters after a number of bytes stand for.
const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// CPU time, in thousandths of a CPU.
pub(super) fn cpu(value: &Value) -> Result<u32, String> {
    let found = text(value).and_then(|text| thousandths(&text));
    found
        .filter(|cpu| (LEAST_CPU..=MOST_CPU).contains(cpu))
        .ok_or_else(|| expected("CPUs or thousandths of one, such as 0.5 or 500m, from 10m to 1024", value))
}

/// Memory, in bytes.
pub(super) fn memory(value: &Value) -> Result<u64, String> {
    let found = text(value).and_then(|text| bytes(&text));
    found
        .filter(|memory| (LEAST_MEMORY..=MOST_MEMORY).contains(memory))
        .ok_or_else(|| expected("an amount of memory such as 64Mi, from 16Mi to 1024Ti", value))
}

/// A number is its own text: both are read to the letter, and nothing is rounded.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn thousandths(text: &str) -> Option<u32> {
    if let Some(thousandths) = text.strip_suffix('m') {
        return digits(thousandths);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > 3 {
        return None;
    }
    digits::<u32>(whole)?.checked_mul(1000)?.checked_add(digits(&format!("{part:0<3}"))?)
}

fn bytes(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find_map(|(unit, worth)| Some((text.strip_suffix(unit)?, *worth)));
    let (number, worth) = unit.unwrap_or((text, 1));
    digits::<u64>(number)?.checked_mul(worth)
}

/// A number made of digits alone: no sign.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cpu_is_read_in_every_way_that_it_is_written() {
        for (written, thousandths) in [
            (json!("500m"), 500),
            (json!("0.5"), 500),
            (json!(0.5), 500),
            (json!(2), 2000),
            (json!("1.25"), 1250),
            (json!("10m"), 10),
            (json!(1024), 1_024_000),
        ] {
            assert_eq!(cpu(&written), Ok(thousandths), "{written}");
        }
        for wrong in [
            json!("9m"),
            json!(0),
            json!(-1),
            json!("1.2345"),
            json!("half"),
            json!(""),
            json!(1025),
            json!([]),
        ] {
            assert!(cpu(&wrong).unwrap_err().contains("500m"), "{wrong}");
        }
    }

    #[test]
    fn memory_is_read_with_its_unit() {
        for (written, bytes) in [
            (json!("64Mi"), 64 << 20),
            (json!("64M"), 64_000_000),
            (json!(16_777_216), 16 << 20),
            (json!("1Gi"), 1 << 30),
        ] {
            assert_eq!(memory(&written), Ok(bytes), "{written}");
        }
        for wrong in
            [json!("15Mi"), json!("64mi"), json!("1.5Gi"), json!("+64Mi"), json!("99999999Ti"), json!(true)]
        {
            assert!(memory(&wrong).unwrap_err().contains("64Mi"), "{wrong}");
        }
    }
}
