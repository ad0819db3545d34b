//! Tells one reader elsewhere which leases changed, without ever waiting for it.
//!
//! The core adds addresses to a set, which a reader takes away when it has time: a slow reader
//! finds one set of more addresses, not a longer queue, and one that never comes costs a bounded
//! set ([`Changes::MOST`]). What a lease is now the reader asks the core
//! ([`crate::control::Handle::leases_of`]): so it never shows an older state after a newer one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::lease::Changes;

/// Changed leases, on their way to one reader.
#[derive(Debug, Default)]
pub struct LeaseFeed {
    changes: Mutex<Changes>,
    told: Notify,
}

impl LeaseFeed {
    /// Adds what changed; never waits for longer than another set takes to be merged.
    pub fn tell(&self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        self.changes().merge(changes);
        self.told.notify_one();
    }

    /// Returns when there is something to take. To be awaited by one reader; one that gives up
    /// waiting loses nothing.
    pub async fn changed(&self) {
        loop {
            // A permit is kept for whoever comes late.
            let told = self.told.notified();
            if !self.changes().is_empty() {
                return;
            }
            told.await;
        }
    }

    /// What changed since the last time.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes())
    }

    /// A set is whole after every step on it, whoever panicked.
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn of(hosts: &[u8]) -> Changes {
        Changes::Of(hosts.iter().map(|host| Ipv4Addr::new(10, 9, 0, *host)).collect())
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_and_finds_what_changed() {
        let feed = Arc::new(LeaseFeed::default());
        let reader = Arc::clone(&feed);
        let reading = tokio::spawn(async move {
            reader.changed().await;
            reader.take()
        });
        tokio::task::yield_now().await;
        feed.tell(of(&[1]));
        assert_eq!(tokio::time::timeout(SOON, reading).await.unwrap().unwrap(), of(&[1]));
        assert!(feed.take().is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_comes_late_finds_everything_at_once_and_then_nothing() {
        let feed = LeaseFeed::default();
        for changes in [of(&[2]), of(&[1, 3]), of(&[2])] {
            feed.tell(changes);
        }
        tokio::time::timeout(SOON, feed.changed()).await.unwrap();
        assert_eq!(feed.take(), of(&[1, 2, 3]));
        let again = tokio::time::timeout(Duration::from_millis(50), feed.changed()).await;
        assert!(again.is_err(), "there is nothing more");
    }

    #[tokio::test]
    async fn a_reader_that_gave_up_waiting_loses_nothing() {
        let feed = LeaseFeed::default();
        assert!(tokio::time::timeout(Duration::from_millis(10), feed.changed()).await.is_err());
        feed.tell(Changes::All);
        tokio::time::timeout(SOON, feed.changed()).await.unwrap();
        assert_eq!(feed.take(), Changes::All);
    }
}
