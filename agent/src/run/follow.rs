//! The interfaces as they become while they are served: made again, renamed, down, without a carrier, with
//! another hardware address, with addresses that other programs set.
//!
//! The kernel tells when to look (rtnetlink(7)), and what is looked at is everything: so nothing is missed
//! where its news were too many for the socket. A look a second is there for what it does not tell.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use crate::clock::{Moment, Now};
use crate::engine::served::Place;
use crate::netlink;

use super::core::Core;
use super::places::{self, Followed};
use super::reload::Prepared;

/// How long news are collected: an interface that is made comes with a dozen of them, and on a node with
/// many containers there is always some.
const COLLECT: Duration = Duration::from_millis(50);

/// The kernel's news of interfaces and their IPv4 addresses.
#[derive(Debug)]
pub struct News {
    socket: AsyncFd<OwnedFd>,
    /// When to look, if there are some.
    due: Option<Moment>,
}

impl News {
    /// From now on. Needs a running tokio.
    pub fn new() -> io::Result<Self> {
        let socket = netlink::changes(netlink::LINKS | netlink::IPV4_ADDRESSES)?;
        // SAFETY: the descriptor is owned by the AsyncFd, and stays open and the same until that drops it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, due: None })
    }

    /// Returns when there are some, once until they are looked at.
    pub async fn come(&mut self) {
        if self.due.is_some() {
            std::future::pending::<()>().await;
        }
        if let Ok(mut guard) = self.socket.readable().await {
            guard.clear_ready();
        }
        self.due = Some(Now::read().moment.after(COLLECT));
    }

    /// When to look.
    pub const fn due(&self) -> Option<Moment> {
        self.due
    }

    /// The interfaces are looked at now.
    fn take(&mut self) {
        netlink::forget_changes(self.socket.get_ref());
        self.due = None;
    }
}

/// What is known of the interfaces, beside where the networks are.
#[derive(Debug, Default)]
pub struct Seen {
    /// What is wrong: where, and what.
    pub troubles: BTreeMap<String, String>,
    /// Those that have lost the name by which they were served, by index. What comes in there is not for us.
    pub strayed: BTreeSet<u32>,
    /// Those that are up and have no carrier.
    silent: BTreeSet<String>,
}

impl Core {
    /// Looks at the interfaces, if the kernel said that it is time to.
    pub(super) fn follow_news(&mut self) {
        if self.news.due().is_some_and(|due| due <= Now::read().moment) {
            self.follow();
        }
    }

    /// Serves the interfaces as they are now, keeps our addresses on them, and says what is wrong.
    pub(super) fn follow(&mut self) {
        self.news.take();
        let before: Vec<Place> = self.engine.served().iter().map(|served| served.place).collect();
        let Followed { places, mut troubles, strayed, silent } = places::follow(&self.config, &before);
        self.see_carriers(silent);
        self.seen.strayed = strayed;
        if places != before {
            match self.change_over(Prepared { config: self.config.clone(), places }) {
                Ok(()) => info!("the interfaces have changed, and are served as they are now"),
                Err(fault) if self.quiet.may_say("follow", "") => {
                    warn!("the interfaces have changed: {fault:#}");
                }
                Err(_) => {}
            }
        }
        let without = match self.for_addresses(&self.config) {
            Cow::Owned(config) => Some(config),
            Cow::Borrowed(_) => None,
        };
        if let Some(addresses) = &mut self.addresses {
            let config = without.as_ref().unwrap_or(&self.config);
            troubles.extend(addresses.keep(config, Now::read().moment));
        }
        self.see_troubles(troubles);
    }

    fn see_carriers(&mut self, silent: BTreeSet<String>) {
        for interface in silent.difference(&self.seen.silent) {
            warn!(interface, "it has no carrier: no client is heard there until it has");
        }
        for interface in self.seen.silent.difference(&silent) {
            info!(interface, "it is no longer without a carrier");
        }
        self.seen.silent = silent;
    }

    fn see_troubles(&mut self, troubles: BTreeMap<String, String>) {
        for (about, trouble) in &troubles {
            if self.quiet.may_say("trouble", &format!("{about}: {trouble}")) {
                warn!("{about}: {trouble}");
            }
        }
        for about in self.seen.troubles.keys().filter(|about| !troubles.contains_key(*about)) {
            info!("{about}: all is as it should be again");
        }
        self.seen.troubles = troubles;
    }
}
