//! What the claims allow, in the engine's words.

use std::net::Ipv4Addr;

use super::clock::{Offset, seconds};
use crate::claims::{At, Claims};
use crate::engine::permit::{Permits, Promise, Refused};
use crate::lease::ClientKey;

/// The claims at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    /// What is known and agreed on.
    pub claims: &'a Claims,
    /// From its times to ours.
    pub offset: Offset,
    /// Read after the message that is answered came in.
    pub now: At,
}

impl Permits for Permit<'_> {
    fn promise(&self, ip: Ipv4Addr, client: &ClientKey) -> Result<Promise, Refused> {
        if let Some(allowance) = self.claims.allowance(self.now, ip, client) {
            let longest = seconds(allowance.longest);
            return Ok(Promise { until: self.offset.moment(allowance.until), longest });
        }
        let is_its = || {
            let binding = self.claims.slot(ip).and_then(crate::claims::Slot::binding);
            binding.is_some_and(|binding| binding.client == *client)
        };
        // What is being published for a client is its own in a moment.
        let is_ours = || self.claims.is_promised(ip, client);
        if self.claims.until(self.now).is_none() || is_its() || is_ours() {
            return Err(Refused::NotNow);
        }
        Err(Refused::NotIts)
    }

    fn is_free(&self, ip: Ipv4Addr) -> bool {
        self.claims.is_free(self.now, ip)
    }

    fn may_refuse(&self, ip: Ipv4Addr, client: &ClientKey) -> bool {
        self.claims.may_refuse(self.now, ip, client)
    }
}
