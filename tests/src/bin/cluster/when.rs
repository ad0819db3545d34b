//! Waits of a run that a signal ends, and that has a limit as a whole.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xdhcpd_tests::{interrupt, wait};

/// The longest that all of it may take, with the parts there already; two minutes on an idle machine.
const LIMIT: Duration = Duration::from_mins(15);
/// Longest wait for a step of Kubernetes': seconds on an idle machine.
pub const STEP: Duration = Duration::from_mins(4);
/// How often Kubernetes is asked.
const LOOK: Duration = Duration::from_millis(200);

static BEGAN: OnceLock<Instant> = OnceLock::new();
static STAYS: AtomicBool = AtomicBool::new(false);

/// Starts the clock of the whole; when the time is over, it is as if a signal came. What comes then takes some
/// seconds, so it is said.
pub fn begin() -> Result<()> {
    BEGAN.get_or_init(Instant::now);
    thread::Builder::new().name("limit".into()).spawn(|| {
        while !interrupt::came() {
            thread::sleep(LOOK);
            if is_over() {
                interrupt::pretend();
            }
        }
        eprintln!("taking it all down …");
    })?;
    Ok(())
}

/// From now on there is no limit: what is there stays for as long as people like.
pub fn stay() {
    STAYS.store(true, Ordering::Release);
}

/// Whether the time is over.
pub fn is_over() -> bool {
    !STAYS.load(Ordering::Acquire) && BEGAN.get().is_some_and(|began| began.elapsed() >= LIMIT)
}

/// Asks until there is a value; what cannot be asked just now is asked again.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut last = None;
    let value = wait::until(what, STEP, || {
        if is_over() {
            bail!("all of it took longer than {LIMIT:?}; waited for {what}");
        }
        if interrupt::came() {
            bail!("interrupted");
        }
        match condition() {
            Ok(Some(value)) => Ok(Some(value)),
            not_yet => {
                last = not_yet.err();
                thread::sleep(LOOK);
                Ok(None)
            }
        }
    });
    match (value, last) {
        (Err(error), Some(last)) => Err(error.context(format!("{last:#}"))),
        (value, _) => value,
    }
}

/// The same for a plain condition.
pub fn until_true(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, || Ok(condition()?.then_some(())))
}
