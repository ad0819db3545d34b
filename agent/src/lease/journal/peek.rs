//! Looking into a lease file that is, or may be, another process's: no lock, no repair, no trace.

use std::io;
use std::path::Path;

use super::load::{self, OnDisk};
use super::{BootId, Disk as _, OsDisk, path_in};
use crate::clock::Now;
use crate::lease::Lease;

/// What the lease file of the agent of this name says, each address once; nothing where there is none.
///
/// For showing to people alone: the file may change at any moment, and nothing is promised of what
/// it said. Entries that cannot be read are left out.
pub fn peek(folder: &Path, name: &str, now: Now) -> io::Result<Vec<Lease>> {
    let bytes = OsDisk.read(&path_in(folder, name))?.unwrap_or_default();
    Ok(load::read(&bytes, now, BootId::read().as_ref(), OnDisk::All).leases)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::Journal;
    use super::*;
    use crate::clock::Moment;
    use crate::lease::{AnsweredBy, State};

    fn lease() -> Lease {
        Lease {
            ip: Ipv4Addr::new(10, 9, 0, 100),
            mac: [2, 0, 0, 0, 0, 1],
            client_id: None,
            host_name: Some("node1".into()),
            state: State::Bound,
            starts: Moment(1_000_000_000),
            expires: Moment::FOREVER,
            durable_until: Moment::NEVER,
            answered_by: AnsweredBy::Agent,
            taken: true,
        }
    }

    #[test]
    fn a_file_that_an_agent_has_open_is_read_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let now = Now::read();
        let (mut journal, _loaded) = Journal::open(folder.path(), "lab", now).unwrap();
        let _synced = journal.append(&[(&lease(), Moment::FOREVER)], now).unwrap();
        let torn = b"lease 10.9.0.101 {\n  starts";
        let mut bytes = std::fs::read(journal.path()).unwrap();
        bytes.extend_from_slice(torn);
        std::fs::write(journal.path(), &bytes).unwrap();

        let leases = peek(folder.path(), "lab", now).unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].host_name.as_deref(), Some("node1"));
        assert_eq!(std::fs::read(journal.path()).unwrap(), bytes);
    }

    #[test]
    fn without_a_file_there_is_nothing_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(peek(folder.path(), "lab", Now::read()).unwrap().is_empty());
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
