//! How long replies took, from the frames of a capture.

use std::time::Duration;

use xdhcpd_tests::tap::Frame;

/// Where the BOOTP message begins in an untagged frame.
const MESSAGE: usize = 14 + 20 + 8;
/// Where its transaction number is.
const XID: usize = MESSAGE + 4;
/// Where its options begin.
const OPTIONS: usize = MESSAGE + 240;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// One client's way to its lease: how long after its messages the replies came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From DISCOVER to OFFER.
    pub offer: Duration,
    /// From REQUEST to ACK.
    pub ack: Duration,
}

/// The times of the last exchange that frames from `from` on show; `None` if it is not complete.
pub fn times(frames: &[Frame]) -> Option<Times> {
    Some(Times { offer: between(frames, DISCOVER, OFFER)?, ack: between(frames, REQUEST, ACK)? })
}

/// The time from the last message of one kind to the reply of the other with its number.
fn between(frames: &[Frame], kind: u8, reply: u8) -> Option<Duration> {
    let sent = frames.iter().rfind(|frame| is(frame, kind))?;
    let answer = frames.iter().rfind(|frame| is(frame, reply) && xid(frame) == xid(sent))?;
    answer.at.duration_since(sent.at).ok()
}

fn xid(frame: &Frame) -> Option<&[u8]> {
    frame.bytes.get(XID..XID + 4)
}

/// Whether a frame is a DHCP message of this type. Clients and server alike put option 53 first.
fn is(frame: &Frame, kind: u8) -> bool {
    let is_dhcp = frame.bytes.get(OPTIONS - 4..OPTIONS) == Some(&[0x63, 0x82, 0x53, 0x63]);
    is_dhcp && frame.bytes.get(OPTIONS..OPTIONS + 3) == Some(&[53, 1, kind])
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn frame(microseconds: u64, kind: u8, xid: u8) -> Frame {
        let mut bytes = vec![0; OPTIONS];
        bytes[XID] = xid;
        bytes[OPTIONS - 4..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        bytes.extend([53, 1, kind, 255]);
        Frame { at: SystemTime::UNIX_EPOCH + Duration::from_micros(microseconds), bytes }
    }

    #[test]
    fn each_reply_is_timed_from_its_own_message() {
        let frames = [
            frame(0, DISCOVER, 1),
            frame(100, DISCOVER, 2),
            frame(150, OFFER, 2),
            frame(400, REQUEST, 2),
            frame(430, ACK, 2),
        ];
        let expected = Times { offer: Duration::from_micros(50), ack: Duration::from_micros(30) };
        assert_eq!(times(&frames), Some(expected));
        assert_eq!(times(&frames[..4]), None);
        assert_eq!(times(&[frame(0, DISCOVER, 1), frame(1, OFFER, 2)]), None);
    }
}
