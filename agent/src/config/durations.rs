//! Durations as people write them: `30s`, `90m`, `12h`, `1d`, `1h30m`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::LeaseTimes;
use super::value::expected;

/// From the largest, as they may follow each other.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A duration that is written on a command line, within bounds given in seconds.
pub fn parse(text: &str, bounds: RangeInclusive<u64>) -> Result<Duration, String> {
    duration(bounds)(&Value::from(text))
}

/// A duration within bounds given in seconds.
pub(super) fn duration(bounds: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<Duration, String> {
    move |value| {
        let seconds = value.as_str().and_then(seconds_of);
        within(seconds, &bounds, "a duration such as 30s, 12h or 1d", value).map(Duration::from_secs)
    }
}

/// The time of a lease in seconds, or [`LeaseTimes::INFINITE`] for `infinite`.
pub(super) fn lease_time(value: &Value) -> Result<u32, String> {
    if value.as_str() == Some("infinite") {
        return Ok(LeaseTimes::INFINITE);
    }
    finite_time(value, "a lease time such as 12h, or infinite")
}

/// A time within a lease (T1 or T2) in seconds.
pub(super) fn time_within_lease(value: &Value) -> Result<u32, String> {
    finite_time(value, "a duration such as 30s, 12h or 1d")
}

fn finite_time(value: &Value, what: &str) -> Result<u32, String> {
    let most = u64::from(LeaseTimes::INFINITE).saturating_sub(1);
    let seconds = within(value.as_str().and_then(seconds_of), &(1..=most), what, value)?;
    u32::try_from(seconds).map_err(|_| expected(what, value))
}

fn within(
    seconds: Option<u64>,
    bounds: &RangeInclusive<u64>,
    what: &str,
    found: &Value,
) -> Result<u64, String> {
    let seconds = seconds.ok_or_else(|| match found {
        Value::Number(_) => format!("{}; it has no unit (s, m, h or d)", expected(what, found)),
        _ => expected(what, found),
    })?;
    if bounds.contains(&seconds) {
        return Ok(seconds);
    }
    Err(format!("{} is not from {} to {}", shown(seconds), shown(*bounds.start()), shown(*bounds.end())))
}

/// The seconds that a text says: numbers with units, the larger unit first, each at most once.
fn seconds_of(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    for (unit, worth) in UNITS {
        let digits = rest.len().saturating_sub(rest.trim_start_matches(|c: char| c.is_ascii_digit()).len());
        let (number, after) = rest.split_at_checked(digits)?;
        if let Some(after) = after.strip_prefix(unit) {
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(worth)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

/// Seconds as the file would say them.
pub(super) fn shown(seconds: u64) -> String {
    if seconds == u64::from(LeaseTimes::INFINITE) {
        return "infinite".to_owned();
    }
    let mut left = seconds;
    let mut text = String::new();
    for (unit, worth) in UNITS {
        let count = left.checked_div(worth).unwrap_or(0);
        if count > 0 {
            text.push_str(&count.to_string());
            text.push(unit);
            left = left.checked_rem(worth).unwrap_or(0);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("12h", Some(43_200)),
            ("1d", Some(86_400)),
            ("1h30m", Some(5_400)),
            ("1d1s", Some(86_401)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("s", None),
            ("1w", None),
            ("1.5h", None),
            ("-1s", None),
            ("+1s", None),
            ("1 h", None),
            ("1h ", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1S", None),
            ("٣s", None),
            ("99999999999999999999s", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(seconds_of(text), seconds, "{text}");
        }
    }

    #[test]
    fn lease_times_go_from_a_second_to_just_under_infinite() {
        assert_eq!(lease_time(&json!("1s")), Ok(1));
        assert_eq!(lease_time(&json!("4294967294s")), Ok(u32::MAX - 1));
        assert_eq!(lease_time(&json!("infinite")), Ok(LeaseTimes::INFINITE));
        for wrong in ["0s", "4294967295s", "Infinite", "forever"] {
            assert!(lease_time(&json!(wrong)).is_err(), "{wrong}");
        }
        assert!(time_within_lease(&json!("infinite")).is_err());
    }

    #[test]
    fn a_duration_out_of_bounds_or_without_a_unit_says_so() {
        let hold = duration(1..=86_400);
        assert_eq!(hold(&json!("1d1s")), Err("1d1s is not from 1s to 1d".to_owned()));
        assert_eq!(
            hold(&json!(30)),
            Err("expected a duration such as 30s, 12h or 1d, found the number 30; it has no unit (s, m, h or d)"
                .to_owned())
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(seconds in 0_u64..u64::from(u32::MAX)) {
            prop_assert_eq!(seconds_of(&shown(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = seconds_of(&text);
        }
    }
}
