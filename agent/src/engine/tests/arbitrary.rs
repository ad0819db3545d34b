//! Any messages of a few clients over a small pool: no address is two clients' at once, and what
//! the kernel answers the agent would answer in the same bytes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::lab::WIRE;
use super::*;
use crate::clock::Moment;
use crate::engine::probes::WITHIN;
use crate::engine::reply::ReplyKind;
use crate::lease::State;

#[derive(Debug, Clone, Copy)]
enum Act {
    Discover,
    Selecting,
    SelectingAnother,
    InitReboot,
    Renewing,
    Rebinding,
    Release,
    Decline,
    Inform,
    Wait,
    TakeBack,
    Disk,
    /// The time of a probe passes.
    Listen,
    /// A stranger says that it has an address.
    Claim,
}

#[derive(Debug, Clone)]
struct Step {
    act: Act,
    client: u8,
    address: u8,
    /// Which client-id is sent; 0: none.
    id: u8,
    relayed: bool,
    by_kernel: bool,
    seconds: u32,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        4 => Just(Act::Discover),
        4 => Just(Act::Selecting),
        1 => Just(Act::SelectingAnother),
        2 => Just(Act::InitReboot),
        3 => Just(Act::Renewing),
        1 => Just(Act::Rebinding),
        2 => Just(Act::Release),
        1 => Just(Act::Decline),
        1 => Just(Act::Inform),
        2 => Just(Act::Wait),
        2 => Just(Act::TakeBack),
        1 => Just(Act::Disk),
        4 => Just(Act::Listen),
        1 => Just(Act::Claim),
    ];
    (act, 1..=4_u8, 99..=103_u8, 0..=2_u8, prop::bool::weighted(0.2), any::<bool>(), 0..=4000_u32).prop_map(
        |(act, client, address, id, relayed, by_kernel, seconds)| Step {
            act,
            client,
            address,
            id,
            relayed,
            by_kernel,
            seconds,
        },
    )
}

impl Step {
    fn frame(&self) -> Option<Builder> {
        let (client, address) = (self.client, ip(self.address));
        let frame = match self.act {
            Act::Discover => discover(client).option(50, &address.octets()),
            Act::Selecting => selecting(client, address),
            Act::SelectingAnother => selecting_from(client, address, [10, 9, 0, 77]),
            Act::InitReboot => init_reboot(client, address),
            Act::Renewing => renewing(client, address),
            Act::Rebinding => rebinding(client, address),
            Act::Release => release(client, address),
            Act::Decline => decline(client, address),
            Act::Inform => unicast(message(client, MessageType::INFORM), address),
            Act::Wait | Act::TakeBack | Act::Disk | Act::Listen | Act::Claim => return None,
        };
        let frame = frame.option(51, &self.seconds.to_be_bytes());
        let frame = if self.id == 0 { frame } else { frame.option(61, &[0, self.id]) };
        Some(if self.relayed { relayed(frame, [10, 9, 0, 9], &[1, 1, 5]) } else { frame })
    }

    /// Who this is: by the MAC, or by the client-id too.
    fn who(&self, by_id: bool) -> (u8, u8) {
        match (by_id, self.id) {
            (false, _) | (true, 0) => (self.client, 0),
            (true, id) => (0, id),
        }
    }
}

/// Whom an offer is for.
fn whose(got: &Got, by_id: bool) -> (u8, u8) {
    match got.option(61) {
        Some(id) if by_id => (0, id[1]),
        _ => (got.decoded.chaddr()[5], 0),
    }
}

/// What was promised: an address, to whom, and until when.
#[derive(Default)]
struct Promises(HashMap<Ipv4Addr, ((u8, u8), Moment)>);

impl Promises {
    fn check(&mut self, lab: &Lab, got: &Got, who: (u8, u8)) {
        if got.kind == ReplyKind::Nak || got.yiaddr.is_unspecified() {
            return;
        }
        if let Some((holder, until)) = self.0.get(&got.yiaddr) {
            assert!(*holder == who || *until <= lab.now, "{} is {holder:?}'s, not {who:?}'s", got.yiaddr);
        }
        if got.kind == ReplyKind::Ack {
            let time = std::time::Duration::from_secs(got.number(51).unwrap().into());
            self.0.insert(got.yiaddr, (who, lab.now.after(time)));
        }
    }
}

fn run(steps: &[Step], by_id: bool, probe: bool) {
    let identity = if by_id { "identity: client-id" } else { "identity: mac" };
    let probe = if probe { "probe: true" } else { "probe: false" };
    let lines =
        ["ranges: [10.9.0.100-10.9.0.102]", "minLeaseTime: 1s", "relays: [10.9.0.9]", identity, probe];
    let mut lab = Lab::new(&rack(&lines));
    let mut promises = Promises::default();
    for step in steps {
        match step.act {
            Act::Wait => lab.wait(step.seconds.into()),
            Act::Disk => lab.disk_fails = !lab.disk_fails,
            Act::TakeBack => drop(lab.take_back()),
            Act::Listen => {
                lab.now = lab.now.after(WITHIN);
                for reply in lab.probed().into_iter().flatten().filter_map(|outcome| outcome.reply) {
                    let got = Got::of(&reply.frame, reply.kind);
                    promises.check(&lab, &got, whose(&got, by_id));
                }
            }
            Act::Claim => {
                let address = ip(step.address);
                if !lab.claimed(WIRE, address, [2, 0, 0, 0, 7, 7]).is_empty() {
                    assert_eq!(lab.lease(address).state, State::Declined);
                }
            }
            _ => {}
        }
        let Some(frame) = step.frame() else { continue };
        let from_kernel = if step.by_kernel { lab.kernel(&frame) } else { None };
        if let Some(reply) = &from_kernel {
            let kind = if reply_kind(reply) == 2 { ReplyKind::Offer } else { ReplyKind::Ack };
            promises.check(&lab, &Got::of(reply, kind), step.who(by_id));
        }
        // What the kernel takes away from the agent, the agent answers the same.
        let given_up = matches!(step.act, Act::Release | Act::Decline);
        let from_agent = lab.got(&frame);
        if let (Some(kernel), false) = (&from_kernel, lab.disk_fails) {
            assert_eq!(Some(kernel), from_agent.as_ref().map(|got| &got.frame), "kernel and agent differ");
        }
        if let Some(got) = &from_agent {
            promises.check(&lab, got, step.who(by_id));
        }
        if given_up && lab.leaving.contains_key(&ip(step.address)) {
            promises.0.remove(&ip(step.address));
        }
    }
}

/// Option 53 of a frame without tags.
fn reply_kind(frame: &[u8]) -> u8 {
    frame[42 + 242]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn c28_no_address_is_two_clients_at_once(
        steps in prop::collection::vec(step(), 1..60),
        by_id in any::<bool>(),
        probe in any::<bool>(),
    ) {
        run(&steps, by_id, probe);
    }
}
