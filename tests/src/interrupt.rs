//! SIGINT, SIGTERM and SIGHUP end what people run here in good order: whatever is being waited for ends at
//! once, and the way out takes everything down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::netns::NetNs;

/// How often the watch looks: a person does not notice.
const LOOK: Duration = Duration::from_millis(50);

static CAME: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: libc::c_int) {
    CAME.store(true, Ordering::Release);
}

/// Whether a signal came.
pub fn came() -> bool {
    CAME.load(Ordering::Acquire)
}

/// Has everybody believe that a signal came.
pub fn pretend() {
    CAME.store(true, Ordering::Release);
}

/// From now on signals are noted instead of ending us.
pub fn note_signals() -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all zeros are an empty mask, no flags and the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler only stores to an atomic, which is safe at any time.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            bail!("cannot watch for signals: {}", std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// From now on a signal ends every process in these namespaces, and so each wait for one of them.
pub fn end_waits_in(namespaces: &[&str]) -> Result<()> {
    let namespaces: Vec<String> = namespaces.iter().map(|&name| name.to_owned()).collect();
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        loop {
            thread::sleep(LOOK);
            if came() {
                for name in &namespaces {
                    let namespace = NetNs::existing(name);
                    namespace.kill_processes();
                    namespace.keep();
                }
            }
        }
    })?;
    Ok(())
}
