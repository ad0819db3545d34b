//! The plan of a reply: all that is needed of the decision, measured while the frame is as it came.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::decision::{self, Answer};
use xdhcpd_common::frame::{Frame, ethernet, ip, udp};
use xdhcpd_common::maps::{TEMPLATE_OPTIONS, Template};
use xdhcpd_common::reply;

use crate::echoes::{self, Kept, Piece};
use crate::maps::Request;
use crate::packet::{Packet, read_back, whole};
use crate::words;

/// IP and UDP header.
const HEADERS: usize = ip::LENGTH + udp::LENGTH;

/// A reply, decided and measured.
///
/// It lies in scratch memory, and is read back from there: so the verifier sees one way through what
/// follows, not one for each way of deciding.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// When the lease ends.
    pub(crate) expires: u64,
    pub(crate) ciaddr: [u8; 4],
    pub(crate) yiaddr: [u8; 4],
    /// IP destination.
    pub(crate) to: [u8; 4],
    /// Index of the template.
    pub(crate) template: u32,
    pub(crate) lease: u32,
    pub(crate) renewal: u32,
    pub(crate) rebinding: u32,
    /// The VLAN tags with all their bits.
    pub(crate) tags: [u32; 2],
    /// Ethernet destination.
    pub(crate) link: u64,
    pub(crate) port: u16,
    /// Option 53.
    pub(crate) kind: u8,
    pub(crate) has_timers: bool,
    /// Where the IP header starts.
    pub(crate) start: usize,
    pub(crate) client_id: Piece,
    pub(crate) relay_info: Piece,
    /// Bytes of `Template::options` that are used.
    pub(crate) options: usize,
    /// Bytes of BOOTP message up to and with END.
    pub(crate) content: usize,
    /// Bytes of UDP payload.
    pub(crate) payload: usize,
}

impl Plan {
    /// Notes the decision; returns the plan as read back.
    #[inline(always)]
    pub(crate) fn note(
        &mut self,
        packet: &Packet<'_>,
        request: &Request,
        answer: &Answer,
        yiaddr: [u8; 4],
        template: u32,
    ) -> Result<&mut Self, Counter> {
        let header = &request.header;
        let tags = packet.block::<8>(ethernet::TYPE).ok_or(Counter::Length)?;
        let (renewal, rebinding) = answer.times.timers.unwrap_or((0, 0));
        *self = Self {
            expires: answer.expires,
            ciaddr: answer.ciaddr,
            yiaddr,
            to: answer.to.ip,
            template,
            lease: answer.times.lease,
            renewal,
            rebinding,
            tags: [tags.u32::<0>(), tags.u32::<4>()],
            link: match answer.to.link {
                decision::Link::Broadcast => words::EVERYBODY,
                decision::Link::Client => words::of_chaddr(header.chaddr),
                decision::Link::Sender => words::of_mac(&header.link.source),
            },
            port: answer.to.port,
            kind: answer.kind,
            has_timers: answer.times.timers.is_some(),
            start: header.link.length(),
            client_id: Piece::unread(request.echoes.client_id),
            relay_info: Piece::unread(request.echoes.relay_info),
            // Of a zero that the compiler knows it would make a call of `memset`.
            options: whole(0),
            content: whole(0),
            payload: whole(0),
        };
        Ok(read_back(self))
    }

    /// Measures the reply, and keeps the options that it echoes; returns by how much the frame must
    /// grow (negative: shrink).
    #[inline(always)]
    pub(crate) fn measure(
        &mut self,
        packet: &Packet<'_>,
        terms: &Template,
        kept: &mut Kept,
    ) -> Result<i32, Counter> {
        let options = terms.options_len as usize;
        if options > TEMPLATE_OPTIONS {
            return Err(Counter::ReplyLength);
        }
        let echoed = (self.client_id.length, self.relay_info.length);
        let content = reply::content(self.has_timers, options, echoed.0, echoed.1);
        if content > reply::MOST_PAYLOAD {
            return Err(Counter::ReplyLength);
        }
        self.options = options;
        self.content = content;
        self.payload = if content < reply::LEAST_PAYLOAD { reply::LEAST_PAYLOAD } else { content };
        echoes::keep(packet, kept, &mut self.client_id, &mut self.relay_info).ok_or(Counter::Length)?;
        let plan = read_back(self);
        let length = plan.start.wrapping_add(HEADERS).wrapping_add(plan.payload);
        Ok((length as i32).wrapping_sub(packet.length() as i32))
    }
}
