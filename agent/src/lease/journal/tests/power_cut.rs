//! The power is cut at every point of a journal's life; whatever was acknowledged by then is kept.
//!
//! A life with all that leases go through is led on a disk that notes what is done to it. Every state
//! that a cut could leave is then put on a real file system, where the journal is opened as after a
//! reboot: the file's last 64 KiB cut at every byte, with and without what was not synced, names as
//! they were or as the folder's last sync left them. What counts as acknowledged is what had left
//! before that point, and not been given up since.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::bad_disk::{BadDisk, Step};
use super::*;
use crate::config::{Config, parse_yaml};
use crate::lease::journal::JournalError;
use crate::lease::{ClientKey, NetworkId, Table};

/// The file's end that is cut at every byte.
const SWEPT: usize = 64 << 10;
/// In a file that is not in its place yet, and that nobody reads, one byte in so many is cut at.
const STRIDE: usize = 101;
/// One state in so many is also gone on with.
const GONE_ON_WITH: usize = 29;
/// How long a lease is, and how far the horizon is ahead.
const LEASE: u64 = 600 * SECOND;
const HORIZON: u64 = 4 * LEASE;
/// From the cut to the next start.
const OUTAGE: u64 = 20 * SECOND;
const CLIENTS: u64 = 40;

/// Up to when an address was promised to whom, in nanoseconds of wall time; none: given up.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    /// How much was done to the disk before.
    steps: usize,
    ip: Ipv4Addr,
    to: Option<([u8; 6], i128)>,
}

/// An agent's leases, as the core keeps them: table, disk, then the answer.
struct Life {
    now: Now,
    random: Random,
    table: Table,
    disk: BadDisk,
    journal: Journal<BadDisk>,
    acknowledged: Vec<Acknowledged>,
    /// When each step was taken.
    wall: Vec<i128>,
}

fn config() -> Config {
    let network = "name: a, interface: eth0, subnet: 10.0.0.0/24, ranges: [10.0.0.10-10.0.0.79]";
    parse_yaml(&format!("networks: [{{{network}}}]")).unwrap()
}

fn key(mac: [u8; 6]) -> ClientKey {
    ClientKey::Mac(mac)
}

impl Life {
    fn begin() -> Self {
        let disk = BadDisk::default();
        let (journal, loaded) = Journal::open_on(disk.clone(), path(), boot(), NOW).unwrap();
        let table = Table::load(&config(), loaded);
        let mut life = Self {
            now: NOW,
            random: Random(64),
            table,
            disk,
            journal,
            acknowledged: Vec::new(),
            wall: Vec::new(),
        };
        life.pass(1);
        life
    }

    fn pass(&mut self, seconds: u64) {
        self.wall.resize(self.disk.step_count(), self.now.wall);
        self.now.moment.0 += seconds * SECOND;
        self.now.wall += i128::from(seconds * SECOND);
    }

    fn after(&self, time: u64) -> Moment {
        Moment(self.now.moment.0 + time)
    }

    /// Some bound lease.
    fn any_bound(&mut self) -> Option<Lease> {
        let bound: Vec<&Lease> =
            self.table.leases_after(None, None).filter(|lease| lease.state == State::Bound).collect();
        let which = self.random.below(bound.len().max(1) as u64);
        bound.get(usize::try_from(which).unwrap()).map(|lease| (*lease).clone())
    }

    fn tell(&mut self, ip: Ipv4Addr, to: Option<([u8; 6], Moment)>) {
        let wall = |until: Moment| self.now.wall + i128::from(until.0) - i128::from(self.now.moment.0);
        let to = to.map(|(mac, until)| (mac, wall(until)));
        self.acknowledged.push(Acknowledged { steps: self.disk.step_count(), ip, to });
    }

    /// One turn: some messages, one write, their answers.
    fn turn(&mut self) {
        let mut writes: HashMap<Ipv4Addr, Moment> = HashMap::new();
        let mut answers = Vec::new();
        for _ in 0..=self.random.below(3) {
            match self.random.below(10) {
                0..=4 => {
                    let last = u8::try_from(self.random.below(CLIENTS)).unwrap();
                    answers.extend(self.come(last, &mut writes));
                }
                5 | 6 => answers.extend(self.renew(&mut writes)),
                7 => self.renew_in_the_kernel(),
                8 => self.release(&mut writes),
                _ => self.decline(&mut writes),
            }
        }
        for ip in self.table.due(self.now.moment) {
            self.table.expire(ip, self.now.moment);
            self.tell(ip, None);
            writes.insert(ip, self.now.moment);
        }
        let leases: Vec<_> =
            writes.iter().filter_map(|(ip, until)| Some((self.table.get(*ip)?, *until))).collect();
        let synced = self.journal.append(&leases, self.now).unwrap();
        self.table.mark_durable(&synced);
        for ip in answers {
            let Some(lease) = self.table.get(ip).cloned() else { continue };
            let holds = matches!(lease.state, State::Offered | State::Bound);
            if holds && lease.durable_until >= lease.expires {
                self.tell(ip, Some((lease.mac, lease.expires)));
            }
        }
        let pause = self.random.below(12);
        self.pass(pause);
    }

    /// A client boots: what it has or had, else a new address, offered and then bound.
    fn come(&mut self, last: u8, writes: &mut HashMap<Ipv4Addr, Moment>) -> Option<Ipv4Addr> {
        let mac = [2, 0, 0, 0, 1, last];
        let known = self.table.of_client(NetworkId(0), &key(mac)).map(|lease| (lease.ip, lease.state));
        let ip = match known {
            Some((ip, State::Declined)) => {
                self.table.next_free(NetworkId(0), |_| false, |free| free == ip)?
            }
            Some((ip, _)) => ip,
            None => self.table.next_free(NetworkId(0), |_| false, |_| false)?,
        };
        // Every client comes twice: the first time it is offered an address.
        let offered = known.is_some_and(|(_, state)| state.occupies());
        let (state, expires) = if offered {
            (State::Bound, self.after(LEASE))
        } else {
            (State::Offered, self.after(60 * SECOND))
        };
        let lease = Lease {
            ip,
            mac,
            client_id: last.is_multiple_of(3).then(|| [1, 2, 0, b'"', b'\\', b'\n', last].into()),
            host_name: last.is_multiple_of(2).then(|| "node; with } and \" in {it".into()),
            state,
            starts: self.now.moment,
            expires,
            ..bound(0)
        };
        self.table.put(lease);
        writes.insert(ip, self.after(HORIZON));
        Some(ip)
    }

    /// Written only if it goes past half of the horizon, as the engine does.
    fn renew(&mut self, writes: &mut HashMap<Ipv4Addr, Moment>) -> Option<Ipv4Addr> {
        let lease = self.any_bound()?;
        let expires = self.after(LEASE);
        let ip = lease.ip;
        self.table.put(Lease { expires, ..lease.clone() });
        if lease.durable_until.0 < expires.0 + HORIZON / 2 {
            writes.insert(ip, self.after(HORIZON));
        }
        Some(ip)
    }

    /// Acknowledged at once, with nothing written, up to the horizon.
    fn renew_in_the_kernel(&mut self) {
        let Some(lease) = self.any_bound() else { return };
        let expires = self.after(LEASE).min(lease.durable_until);
        if self.table.renewed(lease.ip, lease.mac, self.now.moment, expires, AnsweredBy::Kernel) {
            self.tell(lease.ip, Some((lease.mac, expires)));
        }
    }

    fn release(&mut self, writes: &mut HashMap<Ipv4Addr, Moment>) {
        let Some(lease) = self.any_bound() else { return };
        self.table.release(lease.ip, self.now.moment);
        self.tell(lease.ip, None);
        writes.insert(lease.ip, self.now.moment);
    }

    fn decline(&mut self, writes: &mut HashMap<Ipv4Addr, Moment>) {
        let Some(lease) = self.any_bound() else { return };
        let until = self.after(2 * LEASE);
        self.table.decline(lease.ip, self.now.moment, until);
        self.tell(lease.ip, None);
        writes.insert(lease.ip, until);
    }

    /// A new file is written in parts, and the old one appended to between them; how long that was at last.
    fn compact(&mut self) -> u64 {
        self.journal.part = 2_000;
        loop {
            let length = self.journal.length();
            if self.journal.rewrite(|after| self.table.all_leases_after(after), self.now).unwrap() {
                self.pass(1);
                return length;
            }
            self.turn();
        }
    }
}

/// A life that is over, to be cut anywhere.
struct Record {
    steps: Vec<Step>,
    wall: Vec<i128>,
    acknowledged: Vec<Acknowledged>,
    /// The file that is swept, and from which length on.
    swept: usize,
    from: usize,
}

/// Two files one after the other, the second longer than what is swept, and a third.
fn lead() -> Record {
    let mut life = Life::begin();
    (0..4).for_each(|_| life.turn());
    life.compact();
    let second = life.journal.length();
    while life.journal.length() < second + SWEPT as u64 {
        life.turn();
    }
    let swept = life.disk.file(&path()).unwrap();
    let from = usize::try_from(life.compact()).unwrap() - SWEPT;
    (0..3).for_each(|_| life.turn());
    Record { steps: life.disk.steps(), wall: life.wall, acknowledged: life.acknowledged, swept, from }
}

/// Where the states are put.
struct Place {
    folder: tempfile::TempDir,
    states: usize,
}

impl Place {
    fn new() -> Self {
        // In memory, where there is such a file system: 64 KiB are cut 65 536 times.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.unwrap(), states: 0 }
    }

    /// Opens the journal as after a reboot, and looks for whatever was acknowledged.
    fn look(&mut self, disk: &BadDisk, record: &Record, steps: usize, what: &str) {
        self.states += 1;
        for name in [".new", ""] {
            let name = format!("{}{name}", path().display());
            let real = self.folder.path().join(Path::new(&name).file_name().unwrap());
            match disk.file(Path::new(&name)) {
                Some(_) => std::fs::write(real, disk.bytes(Path::new(&name))).unwrap(),
                None => drop(std::fs::remove_file(real)),
            }
        }
        let what = format!("step {steps} of {}, {what}", record.steps.len());
        let wall = record.wall.get(steps.saturating_sub(1)).copied().unwrap_or(NOW.wall) + i128::from(OUTAGE);
        let now = Now { moment: Moment(OUTAGE), wall };
        let promised = record.promised(steps, now);
        let (mut journal, table) = self.open(now);
        check(&table, &promised, now, &what);
        if !self.states.is_multiple_of(GONE_ON_WITH) {
            return;
        }
        let next = table.next_free(NetworkId(0), |_| false, |_| false).unwrap();
        let new =
            Lease { ip: next, mac: [2, 0, 0, 0, 9, 9], expires: Moment(now.moment.0 + LEASE), ..bound(0) };
        let _synced = journal.append(&[(&new, new.expires)], now).unwrap();
        drop(journal);
        let (_, table) = self.open(now);
        check(&table, &promised, now, &what);
        assert_eq!(table.get(next).map(|lease| lease.mac), Some(new.mac), "{what}: what was written since");
    }

    fn open(&self, now: Now) -> (Journal, Table) {
        // Other tests start programs: between fork and exec these hold the lock that was ours.
        let (journal, loaded) = loop {
            match Journal::open(self.folder.path(), "default", now) {
                Err(JournalError::Locked(_)) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        (journal, Table::load(&config(), loaded))
    }
}

/// Every promise that has not run out is known: to the same client, and for as long.
fn check(table: &Table, promised: &BTreeMap<Ipv4Addr, ([u8; 6], i128)>, now: Now, what: &str) {
    for (ip, (mac, until)) in promised {
        let lease = table.get(*ip).unwrap_or_else(|| panic!("{what}: {ip} is lost"));
        assert!(lease.state.occupies() && lease.mac == *mac, "{what}: {ip} was {mac:?}'s: {lease:?}");
        let kept = now.wall + i128::from(lease.expires.max(lease.durable_until).0) - i128::from(now.moment.0);
        assert!(kept >= *until, "{what}: {ip} is kept too short, by {} ns: {lease:?}", until - kept);
        let known = table.of_client(NetworkId(0), &key(*mac)).map(|lease| lease.ip);
        assert_eq!(known, Some(*ip), "{what}: {mac:?} gets its address again");
    }
    let next = table.next_free(NetworkId(0), |_| false, |_| false);
    assert!(next.is_some_and(|ip| !promised.contains_key(&ip)), "{what}: {next:?} is promised");
}

impl Record {
    /// What had been promised before this many steps were over, and has not ended.
    fn promised(&self, steps: usize, now: Now) -> BTreeMap<Ipv4Addr, ([u8; 6], i128)> {
        let mut promised = BTreeMap::new();
        for told in self.acknowledged.iter().take_while(|told| told.steps <= steps) {
            match told.to {
                Some(to) => promised.insert(told.ip, to),
                None => promised.remove(&told.ip),
            };
        }
        promised.retain(|_, (_, until)| *until > now.wall);
        promised
    }

    /// Cuts everywhere; one in `of` states is this one's to look at. How many bytes were swept.
    fn cut_everywhere(&self, part: usize, of: usize) -> usize {
        let (disk, mut place) = (BadDisk::default(), Place::new());
        let (mut state, mut swept) = (0, 0);
        let mut mine = || {
            state += 1;
            state % of == part
        };
        for (number, step) in self.steps.iter().enumerate() {
            for (names_made_it, kept) in [(false, 0), (true, 0), (false, usize::MAX), (true, usize::MAX)] {
                if mine() {
                    let left = disk.crash(|_| kept, names_made_it);
                    place.look(&left, self, number, &format!("{kept} bytes, names made it: {names_made_it}"));
                }
            }
            if let Step::Append(file, bytes) = step {
                let is_swept = *file == self.swept && disk.file(&path()) == Some(*file);
                let first = if is_swept { self.from.saturating_sub(disk.bytes(&path()).len()) } else { 0 };
                let stride = if is_swept { 1 } else { STRIDE };
                // The whole of it is the next step's first state.
                for cut in (first..bytes.len()).step_by(stride) {
                    if mine() {
                        swept += usize::from(is_swept);
                        let torn = disk.copy();
                        torn.repeat(&Step::Append(*file, bytes[..cut].to_vec()));
                        place.look(&torn, self, number, &format!("after {cut} bytes"));
                        // The file system had made room for all of it, and written so much.
                        if cut % STRIDE == 0 {
                            torn.repeat(&Step::Append(*file, vec![0; bytes.len() - cut]));
                            place.look(&torn, self, number, &format!("after {cut} bytes, zeros behind"));
                        }
                    }
                }
            }
            disk.repeat(step);
        }
        swept
    }
}

#[test]
fn a_power_cut_at_every_byte_of_the_last_64_kib_forgets_nothing_that_was_acknowledged() {
    let record = lead();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let swept: usize = std::thread::scope(|scope| {
        let record = &record;
        let parts: Vec<_> =
            (0..threads).map(|part| scope.spawn(move || record.cut_everywhere(part, threads))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    assert_eq!(swept, SWEPT);
}
