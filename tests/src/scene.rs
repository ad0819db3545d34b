//! The scene that most tests of the program play in: one served wire, one client with a bound lease.

use rustix::time::{ClockId, clock_gettime};
use xdhcpd_common::counters::Counter;
use xdhcpd_common::frame::bootp;
use xdhcpd_common::maps::{Lease, LeaseKey, LeaseState, Server, TEMPLATE_OPTIONS, Template, Wire};
use xdhcpd_common::times::SECOND;

use crate::frames::{CLIENT, FrameBuilder, OURS, Reply};
use crate::program::{INTERFACE, Outcome, PASS, Program, TX};

/// Our address.
pub const SERVER: [u8; 4] = [10, 9, 0, 2];
/// The client's.
pub const ADDRESS: [u8; 4] = [10, 9, 0, 100];
/// A relay's.
pub const RELAY_ADDRESS: [u8; 4] = [10, 8, 0, 1];
/// Where machines boot from.
pub const NEXT_SERVER: [u8; 4] = [10, 9, 0, 3];
/// The scene's configuration.
pub const GENERATION: u32 = 7;
/// Lease time.
pub const LEASE_TIME: u32 = 3600;
/// What the template brings: mask, router, DNS server.
pub const OPTIONS: &[u8] = &[1, 4, 255, 255, 255, 0, 3, 4, 10, 9, 0, 1, 6, 4, 10, 9, 0, 53];

/// The wire of the scene.
pub fn wire() -> Wire {
    Wire { interface: INTERFACE, vlan: [0, 0] }
}

/// The client's key.
pub fn key() -> LeaseKey {
    LeaseKey { wire: wire(), mac: CLIENT, zero: [0; 2] }
}

/// Nanoseconds since boot.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).expect("after boot") * SECOND
        + u64::try_from(time.tv_nsec).expect("nanoseconds")
}

/// How the wire is served.
pub fn server() -> Server {
    Server { generation: GENERATION, flags: 0, config: 1, address: SERVER, mac: OURS, ..Server::default() }
}

/// What replies say.
pub fn template() -> Template {
    template_with(OPTIONS)
}

/// A template with these options.
pub fn template_with(encoded: &[u8]) -> Template {
    let mut options = [0; TEMPLATE_OPTIONS];
    options[..encoded.len()].copy_from_slice(encoded);
    let mut server_name = [0; 64];
    server_name[..4].copy_from_slice(b"boot");
    let mut file = [0; 128];
    file[..13].copy_from_slice(b"undionly.kpxe");
    Template {
        generation: GENERATION,
        flags: 0,
        server: SERVER,
        network: [10, 9, 0, 0],
        mask: [255, 255, 255, 0],
        next_server: NEXT_SERVER,
        lease_default: LEASE_TIME,
        lease_min: 60,
        lease_max: 7200,
        renew: 0,
        rebind: 0,
        options_len: u32::try_from(encoded.len()).expect("fits"),
        sum: 0,
        zero: 0,
        server_name,
        file,
        options,
    }
}

/// The client's lease: bound, half an hour to run, durable for four hours.
pub fn lease() -> Lease {
    Lease {
        generation: GENERATION,
        expires: now() + 1800 * SECOND,
        horizon: now() + 4 * 3600 * SECOND,
        ip: ADDRESS,
        state: LeaseState::BOUND,
        ..Lease::default()
    }
}

/// The lease of a client behind the relay.
pub fn relayed_lease() -> Lease {
    Lease { giaddr: RELAY_ADDRESS, relay: RELAY_ADDRESS, ..lease() }
}

/// The scene, loaded.
pub struct Scene(pub Program);

impl Scene {
    /// Loads the program and sets the scene; `None` where the program cannot be loaded.
    pub fn set() -> Option<Self> {
        Self::set_with(server(), template(), lease())
    }

    /// The scene with changes.
    pub fn set_with(server: Server, template: Template, lease: Lease) -> Option<Self> {
        let mut program = Program::load()?;
        program.serve(wire(), server);
        program.set_template(0, template);
        program.set_lease(key(), lease);
        Some(Self(program))
    }

    /// Runs the program on a frame.
    pub fn run(&mut self, frame: &FrameBuilder) -> Outcome {
        self.0.run(&frame.build())
    }

    /// Runs the program on a frame that it answers.
    ///
    /// # Panics
    ///
    /// If it does not, or the reply is not well-formed, or does not belong to the request.
    pub fn answer(&mut self, frame: &FrameBuilder) -> Reply {
        let before = self.0.counters();
        let outcome = self.run(frame);
        if outcome.action != TX {
            let after = self.0.counters();
            let why: Vec<_> = Counter::ALL.iter().filter(|c| after.get(**c) != before.get(**c)).collect();
            panic!("not answered: action {}, {why:?}", outcome.action);
        }
        let reply = Reply::read(&outcome.frame);
        assert!(reply.message.len() <= 548, "payload of {}", reply.message.len());
        assert_eq!(reply.field(bootp::OP, 4), [2, 1, 6, 0], "op, htype, hlen, hops");
        assert_eq!(reply.field(bootp::XID, 4), frame.xid.to_be_bytes(), "xid");
        assert_eq!(reply.field(bootp::SECS, 2), [0, 0], "secs");
        assert_eq!(reply.field(bootp::FLAGS, 2), frame.flags.to_be_bytes(), "flags");
        assert_eq!(reply.field(bootp::GIADDR, 4), frame.giaddr, "giaddr");
        assert_eq!(reply.field(bootp::CHADDR, 16), frame.chaddr, "chaddr");
        assert_eq!(reply.tags, frame.tags, "VLAN tags");
        assert!(reply.padding.iter().all(|byte| *byte == 0), "zeros after END");
        reply
    }

    /// Runs the program on a frame that must go up unchanged, for this reason.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn passes(&mut self, frame: &[u8], reason: Counter) {
        let before = self.0.count(reason);
        let outcome = self.0.run(frame);
        assert_eq!(outcome.action, PASS, "goes up for {}", reason.name());
        assert_eq!(outcome.frame, frame, "byte for byte, for {}", reason.name());
        let counters = self.0.counters();
        let all: Vec<_> = Counter::ALL.iter().filter(|c| counters.get(**c) != 0).collect();
        assert_eq!(counters.get(reason), before + 1, "counted as {}, but: {all:?}", reason.name());
    }

    /// [`Scene::passes`] for a frame to be built.
    pub fn passes_built(&mut self, frame: &FrameBuilder, reason: Counter) {
        self.passes(&frame.build(), reason);
    }
}

/// A DISCOVER.
pub fn discover() -> FrameBuilder {
    FrameBuilder::message(1)
}

/// A REQUEST of the lease's address in SELECTING.
pub fn selecting() -> FrameBuilder {
    FrameBuilder::message(3).option(54, &SERVER).option(50, &ADDRESS)
}

/// A REQUEST in INIT-REBOOT.
pub fn reboot() -> FrameBuilder {
    FrameBuilder::message(3).option(50, &ADDRESS)
}

/// A REQUEST in RENEWING.
pub fn renewing() -> FrameBuilder {
    FrameBuilder::message(3).unicast(ADDRESS, SERVER)
}

/// A REQUEST in REBINDING.
pub fn rebinding() -> FrameBuilder {
    FrameBuilder::message(3).with(|frame| {
        frame.from = ADDRESS;
        frame.ciaddr = ADDRESS;
    })
}
