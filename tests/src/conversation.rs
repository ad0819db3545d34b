//! What was said on a wire: the DHCP messages of a capture, in their order.

use xdhcpd::engine::request::Request;
use xdhcpd::server::gate::{UdpChecksum, gate};
use xdhcpd_common::frame::bootp;

use crate::exchange;
use crate::frames::{BROADCAST, EVERYBODY, Reply};
use crate::tap::Frame;

/// A message of a client, or of the server.
#[derive(Debug, Clone)]
pub enum Said {
    /// A client's, or its relay's.
    Asked(Box<Request>),
    /// The server's.
    Answered(Box<Reply>),
}

/// What a message is, in the words of RFC 2131: a REQUEST by the state that its client is in
/// (§4.3.2), everything else by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// DISCOVER.
    Discover,
    /// REQUEST of an offer.
    Selecting,
    /// REQUEST by a client that comes back to its lease.
    InitReboot,
    /// REQUEST to the server alone.
    Renewing,
    /// REQUEST to whoever hears it.
    Rebinding,
    /// DECLINE.
    Decline,
    /// RELEASE.
    Release,
    /// OFFER.
    Offer,
    /// ACK.
    Ack,
    /// NAK.
    Nak,
    /// Something else.
    Other,
}

impl Said {
    /// What it is.
    pub fn form(&self) -> Form {
        match self {
            Self::Asked(request) => form(request),
            Self::Answered(reply) => match reply.option(53) {
                Some([2]) => Form::Offer,
                Some([5]) => Form::Ack,
                Some([6]) => Form::Nak,
                _ => Form::Other,
            },
        }
    }

    /// Whether the client has an address, which it renews or gives up.
    pub fn is_of_an_address(&self) -> bool {
        match self {
            Self::Asked(request) => request.facts.ciaddr != [0; 4],
            Self::Answered(reply) => reply.field(bootp::CIADDR, 4) != [0; 4],
        }
    }
}

fn form(request: &Request) -> Form {
    let facts = &request.facts;
    let names = |address: [u8; 4]| address != [0; 4];
    match facts.kind {
        1 => Form::Discover,
        3 if names(facts.server) => Form::Selecting,
        3 if names(facts.requested) => Form::InitReboot,
        3 if facts.destination == BROADCAST || request.destination_mac == EVERYBODY => Form::Rebinding,
        3 => Form::Renewing,
        4 => Form::Decline,
        7 => Form::Release,
        _ => Form::Other,
    }
}

/// The DHCP messages among these frames.
pub fn of(frames: &[Frame]) -> Vec<Said> {
    let said = |frame: &Frame| {
        if exchange::is_reply(&frame.bytes) {
            return Some(Said::Answered(Box::new(Reply::read(&frame.bytes))));
        }
        // Checksums of what this host sends itself are not finished yet.
        gate(&frame.bytes, UdpChecksum::Trusted).ok().map(|request| Said::Asked(Box::new(request)))
    };
    frames.iter().filter_map(said).collect()
}

/// Their forms alone.
pub fn forms(frames: &[Frame]) -> Vec<Form> {
    of(frames).iter().map(Said::form).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::frames::FrameBuilder;
    use crate::scene;

    fn form_of(frame: &FrameBuilder) -> Vec<Form> {
        forms(&[Frame { at: SystemTime::now(), bytes: frame.build() }])
    }

    #[test]
    fn a_request_is_known_by_the_state_of_its_client() {
        assert_eq!(form_of(&FrameBuilder::message(1)), [Form::Discover]);
        assert_eq!(form_of(&scene::selecting()), [Form::Selecting]);
        assert_eq!(form_of(&scene::reboot()), [Form::InitReboot]);
        assert_eq!(form_of(&scene::renewing()), [Form::Renewing]);
        assert_eq!(form_of(&scene::rebinding()), [Form::Rebinding]);
        let other = FrameBuilder::message(1).with(|frame| frame.to_port = 53);
        assert_eq!(form_of(&other), []);
    }
}
