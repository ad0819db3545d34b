//! Whether there is a fast path: its maps, opened here, and the loader that puts the program on them.

use tracing::{error, warn};

use crate::config::{Config, FastPathMode};
use crate::fastpath::FastPath;

use super::core::Core;

impl Core {
    /// The maps, and a loader at work, where the configuration wants a fast path; without it the slow path
    /// serves.
    ///
    /// An older loader is stopped first: maps may be replaced now, and it has a program for the old
    /// ones.
    pub(super) fn start_fast_path(&mut self, config: &Config) {
        self.loader.stop();
        // What is pinned stays, and is taken over by the new one.
        (self.fast, self.fast_fault) = (None, None);
        if !wants_fast_path(config) {
            if let Err(fault) = crate::fastpath::detach(&config.name) {
                warn!("{fault}");
            }
            return;
        }
        match FastPath::open(&config.name, capacity(config)) {
            Ok(fast) => {
                self.fast = Some(fast);
                self.loader.want(config);
            }
            Err(fault) => {
                error!("{fault}; the agent answers alone");
                // What nobody keeps up to date must not be adopted later.
                if let Err(fault) = crate::fastpath::detach(&config.name) {
                    warn!("{fault}");
                }
                self.fast_fault = Some(format!("{fault}; the agent answers alone"));
            }
        }
    }

    /// Goes on without the kernel. Program and maps are taken away: what nobody keeps up to date must
    /// not answer, nor be adopted later.
    pub(super) fn lose_fast_path(&mut self, fault: &anyhow::Error) {
        self.loader.stop();
        self.fast = None;
        let fault = format!("{fault:#}; the agent answers alone");
        error!("{fault}");
        self.fast_fault = Some(fault);
        if let Err(fault) = crate::fastpath::detach(&self.config.name) {
            error!("{fault}; the program may still answer: `xdhcpd detach --force` takes it away");
        }
    }
}

/// Whether there is anything for the program to answer.
pub(super) fn wants_fast_path(config: &Config) -> bool {
    config.fast_path.mode != FastPathMode::Off && !config.networks.is_empty()
}

/// How many clients the kernel may have to know: every address that can be given.
pub(super) fn capacity(config: &Config) -> u32 {
    let of_range = |range: &std::ops::RangeInclusive<std::net::Ipv4Addr>| {
        range.end().to_bits().saturating_sub(range.start().to_bits()).saturating_add(1)
    };
    config
        .networks
        .iter()
        .map(|network| {
            let ranges = network.ranges.iter().map(|pool| of_range(&pool.range));
            let reserved = u32::try_from(network.reservations.len()).unwrap_or(u32::MAX);
            ranges.fold(reserved, u32::saturating_add)
        })
        .fold(0, u32::saturating_add)
}
