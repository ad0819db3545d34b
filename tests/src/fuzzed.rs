//! What strangers' bytes go through, and what holds whatever they are. Each function takes any bytes and
//! panics only where a promise is broken: fuzzing looks for such bytes, and the tests replay those that
//! are known.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::LazyLock;

use xdhcpd::clock::{Moment, Now};
use xdhcpd::config::{self, Config};
use xdhcpd::engine::ignored::Ignored;
use xdhcpd::engine::served::Place;
use xdhcpd::engine::templates::Templates;
use xdhcpd::engine::{Engine, Outcome};
use xdhcpd::lease::{Disk, DiskFile, Journal, Lease, Loaded, Table};
use xdhcpd::server::gate::{UdpChecksum, gate};
use xdhcpd_common::gate::{self as shared, Arrival};
use xdhcpd_common::maps::{Server, Wire};

use crate::frames::{FrameBuilder, OURS, Reply};
use crate::scene::{ADDRESS, SERVER, discover, selecting, wire};

/// Noon of some day, an hour after boot.
const NOW: Now = Now { moment: Moment(3_600_000_000_000), wall: 1_795_262_400_000_000_000 };

/// The server of [`crate::scene`], with all that its configuration can make of a request.
const CONFIG: &str = r#"
networks:
  - name: a
    interface: lo
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.103, {range: 10.9.0.110-10.9.0.111, class: x}]
    gateway: 10.9.0.1
    probe: false
    bootp: true
    relays: [10.8.0.1]
    options: {dns: [10.9.0.53], domainName: example.org, custom: [{code: 108, hex: "00000708"}]}
    reservations: [{circuitId: "0909", ip: 10.9.0.5, hostName: five}, {clientId: "0102", ip: 10.9.0.6}]
    classes: [{name: x, match: {userClass: iPXE, arch: [7]}, boot: {file: "http://10.9.0.2/x"}}]
"#;

static PARSED: LazyLock<Config> =
    LazyLock::new(|| config::parse_yaml(CONFIG).unwrap_or_else(|problems| panic!("{problems}")));

/// A server on one wire: gate, engine, table and journal, as the agent puts them together.
pub struct SlowPath {
    engine: Engine,
    /// The leases.
    pub table: Table,
    disk: Memory,
    journal: Journal<Memory>,
}

impl SlowPath {
    /// One that knows no client.
    ///
    /// # Panics
    ///
    /// If there is no such server.
    pub fn new() -> Self {
        let place = Place { wire: wire(), mac: OURS, server: SERVER.into(), on_link: true };
        let disk = Memory::default();
        let (journal, _) = open(&disk);
        let engine = Engine::new(&PARSED, &[place], 7, Templates::new(8));
        Self { engine, table: Table::new(&PARSED), disk, journal }
    }

    /// One that [`crate::frames::CLIENT`] has its address from.
    ///
    /// # Panics
    ///
    /// If the client does not get it.
    pub fn with_client() -> Self {
        let mut server = Self::new();
        for frame in [discover(), selecting()] {
            server.take(&frame.build()).expect("it is served");
        }
        assert!(server.table.get(ADDRESS.into()).is_some(), "it has its address");
        server
    }

    /// Takes a frame as it came in; what was to be written is written then.
    ///
    /// # Errors
    ///
    /// Why it got no answer.
    ///
    /// # Panics
    ///
    /// If a promise is broken.
    pub fn take(&mut self, frame: &[u8]) -> Result<Outcome, Ignored> {
        let request = gate(frame, UdpChecksum::Trusted)?;
        let wire = Wire { vlan: request.vlan, ..wire() };
        let outcome = self.engine.handle(&mut self.table, &request, wire, NOW.moment)?;
        if let Some(write) = outcome.write {
            let lease = self.table.get(write.ip).expect("what is written is known").clone();
            let synced = self.journal.append(&[(&lease, write.until)], NOW).expect("memory takes it");
            self.table.mark_durable(&synced);
        }
        if let Some(reply) = &outcome.reply {
            let reply = Reply::read(&reply.frame);
            assert_eq!(reply.field(xdhcpd_common::frame::bootp::XID, 4), request.xid, "xid");
        }
        if let Some(ip) = outcome.granted {
            let lease = self.table.get(ip).expect("what is granted is known");
            assert!(lease.durable_until >= lease.expires, "promised before it is durable: {lease:?}");
        }
        Ok(outcome)
    }

    /// What the next start would read.
    ///
    /// # Panics
    ///
    /// If the lease file is damaged.
    pub fn restart(&self) -> Vec<Lease> {
        let (_, loaded) = open(&self.disk);
        assert!(loaded.notes.is_empty(), "the lease file is damaged: {:?}", loaded.notes);
        loaded.leases().to_vec()
    }
}

impl Default for SlowPath {
    fn default() -> Self {
        Self::new()
    }
}

/// Any frame: both gates agree where both take it, the reply is well-formed, what it promises is durable,
/// and the next start reads it all.
///
/// # Panics
///
/// If that does not hold.
pub fn frame(bytes: &[u8]) {
    let mut server = SlowPath::with_client();
    let _ignored = server.take(bytes);
    let read = server.restart();
    assert!(read.iter().any(|lease| lease.ip == Ipv4Addr::from(ADDRESS)), "what was promised is on disk");
    for lease in read {
        let known = server.table.get(lease.ip).expect("what is on disk is known");
        assert!(known.same_client(&lease), "on disk {lease:?}, known {known:?}");
    }
    let Arrival::Request(link) = shared::arrival(bytes, wire().interface) else { return };
    let anybody = Server { mac: link.destination, ..Server::default() };
    if let (Ok(parsed), Ok(request)) =
        (shared::gate(bytes, link, &anybody), gate(bytes, UdpChecksum::Trusted))
    {
        assert_eq!(parsed.header.facts, request.facts, "both gates");
    }
}

/// Any options, in a frame that is else in order.
///
/// # Panics
///
/// As [`frame`] does.
pub fn options(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(1200)];
    let bare = FrameBuilder::message(1).without_options().with(|frame| frame.end = false);
    frame(&bare.clone().raw_options(bytes).build());
    frame(&bare.relayed([10, 8, 0, 1], SERVER).raw_options(bytes).build());
}

/// Any lease file: it is read, and what the repair leaves is read again without a complaint, and is the
/// same.
///
/// # Panics
///
/// If that does not hold.
pub fn journal(bytes: &[u8]) {
    let disk = Memory::default();
    disk.0.borrow_mut().insert(path(), Rc::new(RefCell::new(bytes.to_vec())));
    let sorted = |leases: &[Lease]| {
        let mut leases = leases.to_vec();
        leases.sort_by_key(|lease| lease.ip);
        leases
    };
    let (_, first) = open(&disk);
    let (_, second) = open(&disk);
    assert!(second.notes.is_empty(), "the repair left {:?}", second.notes);
    assert_eq!(sorted(first.leases()), sorted(second.leases()));
}

/// Any configuration: it is taken, or each complaint names its place.
///
/// # Panics
///
/// If that does not hold.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match config::parse_yaml(text) {
        Ok(config) => assert!(!config.networks.is_empty()),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from("/leases/default-dhcpd.leases")
}

fn open(disk: &Memory) -> (Journal<Memory>, Loaded) {
    Journal::open_on(disk.clone(), path(), None, NOW).expect("memory is a good disk")
}

/// What is in a file, however it is called meanwhile.
type Content = Rc<RefCell<Vec<u8>>>;

/// A disk that never fails.
#[derive(Debug, Clone, Default)]
pub struct Memory(Rc<RefCell<HashMap<PathBuf, Content>>>);

/// A file on it.
#[derive(Debug)]
pub struct MemoryFile(Content);

impl Disk for Memory {
    type File = MemoryFile;

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().get(path).map(|content| content.borrow().clone()))
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        Ok(MemoryFile(self.0.borrow_mut().entry(path.to_owned()).or_default().clone()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.borrow_mut().remove(path);
        Ok(())
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.borrow_mut().truncate(usize::try_from(length).map_err(io::Error::other)?);
        Ok(())
    }
}
