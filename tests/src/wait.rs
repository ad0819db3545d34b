//! Bounded waits on a condition; nothing here waits for time alone.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Longest wait for something that takes no time worth speaking of on an idle machine; tests run
/// on busy ones.
pub const SOON: Duration = Duration::from_secs(20);

/// Polls `condition` until it gives a value; after `limit` an error that says `what` did not come.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} for {what}, in vain");
        }
        std::thread::sleep(POLL);
    }
}

/// The same for a plain condition.
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(condition()?.then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_first_value() {
        let mut looks = 0;
        let value = until("three looks", SOON, || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_wait_in_vain_says_for_what() {
        let error = until_true("rain", Duration::from_millis(1), || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("for rain"), "{error}");
    }
}
