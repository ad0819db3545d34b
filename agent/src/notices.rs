//! What the core notices, and somebody who watches a cluster should see beside the agent it concerns.
//!
//! Each is in the log and counted too: a notice that finds no room is left out.

use std::fmt;

use tokio::sync::mpsc;

/// Notices that may wait to be shown.
pub const WAITING: usize = 64;

/// Something that an operator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What kind of thing it is.
    pub what: What,
    /// The sentence.
    pub text: String,
}

/// What kind of thing a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A client asked, and no address was free.
    NoFreeAddress,
    /// A message came through a relay that is not listed.
    UnknownRelay,
    /// A client found its address in use.
    AddressDeclined,
    /// Another DHCP server answered on one of our wires.
    OtherServer,
    /// The loader is not started again.
    LoaderGaveUp,
    /// Our clock is not one that other agents can rely on.
    ClockOff,
    /// What agents publish to each other cannot be kept, written or read; or was removed.
    ClaimsFault,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where notices go; to nobody, where nobody shows them.
#[derive(Debug, Clone, Default)]
pub struct Notices(Option<mpsc::Sender<Notice>>);

impl Notices {
    /// To whoever has the other end.
    pub fn to(sender: mpsc::Sender<Notice>) -> Self {
        Self(Some(sender))
    }

    /// Tells, without waiting.
    pub fn tell(&self, notice: Notice) {
        if let Some(sender) = &self.0 {
            // One that finds no room is in the log all the same.
            let _left_out = sender.try_send(notice);
        }
    }
}
