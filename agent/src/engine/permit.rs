//! What may be promised at all, where several agents share their addresses.
//!
//! The engine decides what a client should have. Whether it may be promised that is another's word
//! ([`Permits`]), asked anew for each message: what agents of one cluster agreed on ([`crate::claims`]). Where
//! there is no word, the client gets silence and asks again. An agent of its own ([`Alone`]) may promise all
//! there is.

use std::net::Ipv4Addr;

use xdhcpd_common::maps::Template;
use xdhcpd_common::times;

use crate::clock::Moment;
use crate::lease::ClientKey;

/// Who knows what may be promised at this moment.
pub trait Permits {
    /// Whether an address may be promised to a client, and how.
    fn promise(&self, ip: Ipv4Addr, client: &ClientKey) -> Result<Promise, Refused>;

    /// Whether an address may be given to a client that has none.
    fn is_free(&self, ip: Ipv4Addr) -> bool;

    /// Whether a client may be told that an address is not its own.
    fn may_refuse(&self, ip: Ipv4Addr, client: &ClientKey) -> bool;
}

/// How an address may be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The kernel may answer alone up to then.
    pub until: Moment,
    /// No lease is longer: seconds, or [`times::INFINITE`].
    pub longest: u32,
}

impl Promise {
    /// One without bounds.
    pub const WHOLE: Self = Self { until: Moment::FOREVER, longest: times::INFINITE };

    /// The terms of a lease, if they are to be others under this promise.
    pub(super) fn limited(self, terms: &Template) -> Option<Template> {
        (self.longest < terms.lease_max).then(|| Template {
            lease_max: self.longest,
            lease_min: terms.lease_min.min(self.longest),
            lease_default: terms.lease_default.min(self.longest),
            ..*terms
        })
    }
}

/// Why an address may not be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is the client's, or nothing may be promised: it is to ask again.
    NotNow,
    /// It is not known to be the client's: another may be.
    NotIts,
}

/// An agent whose addresses are its alone.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Permits for Alone {
    fn promise(&self, _: Ipv4Addr, _: &ClientKey) -> Result<Promise, Refused> {
        Ok(Promise::WHOLE)
    }

    fn is_free(&self, _: Ipv4Addr) -> bool {
        true
    }

    fn may_refuse(&self, _: Ipv4Addr, _: &ClientKey) -> bool {
        true
    }
}

/// The moment in which a message is answered, and what may be promised then.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// Read after the message came in.
    pub now: Moment,
    /// Whom to ask.
    pub permits: &'a dyn Permits,
}

impl From<Moment> for Turn<'static> {
    fn from(now: Moment) -> Self {
        Self { now, permits: &Alone }
    }
}
