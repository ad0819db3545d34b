//! Whether there is a fast path: its maps, opened here, and the loader that puts the program on them.

use std::time::Duration;

use tracing::{error, warn};

use crate::config::{Config, FastPathMode};
use crate::fastpath::{FastPath, FastPathError};

use super::core::Core;

/// How long the loader may take to exchange the program where other maps take the place of those it has:
/// many times what it needs. Later, clients would send again what waits for the agent meanwhile; so the
/// old program goes then, and the agent answers alone until the new one is there.
const MOVED_WITHIN: Duration = Duration::from_secs(3);

impl Core {
    /// The maps, and a loader at work, where the configuration wants a fast path; without it the slow path
    /// serves.
    ///
    /// An older loader is stopped first: other maps may take the place of those that its program has.
    /// Then this waits for the new loader, for as long as two maps may answer: what comes up to the agent
    /// meanwhile waits in its sockets.
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
        match self.open_fast_path(config) {
            Ok(fast) => self.fast = Some(fast),
            Err(fault) => {
                let instead = if matches!(fault, FastPathError::Layout { .. }) {
                    "they are taken away, and the agent answers alone; started again it makes new ones, \
                     or start the version that they are of"
                } else {
                    "the agent answers alone"
                };
                self.give_up_fast_path(&config.name, format!("{fault}; {instead}"));
            }
        }
    }

    fn open_fast_path(&mut self, config: &Config) -> Result<FastPath, FastPathError> {
        let mut fast = FastPath::open(&config.name, capacity(config))?;
        self.loader.want(config);
        if fast.is_moving() {
            self.loader.wait_for_its_word(MOVED_WITHIN);
            fast.end_move()?;
        }
        Ok(fast)
    }

    /// Goes on without the kernel.
    pub(super) fn lose_fast_path(&mut self, fault: &anyhow::Error) {
        let name = self.config.name.clone();
        self.give_up_fast_path(&name, format!("{fault:#}; the agent answers alone"));
    }

    /// Takes program and maps away: what nobody keeps up to date must not answer, nor be adopted later.
    fn give_up_fast_path(&mut self, name: &str, why: String) {
        self.loader.stop();
        self.fast = None;
        error!("{why}");
        self.fast_fault = Some(why);
        if let Err(fault) = crate::fastpath::detach(name) {
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
