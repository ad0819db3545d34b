//! Attaching the program to interfaces, and keeping it there.
//!
//! A link that is already pinned for the same interface and mode gets the new program in place, so
//! that there is no moment without one. Otherwise the old link goes first. Links that nothing
//! in the configuration asks for are removed: a program that nobody tends must not answer.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::device::{self, Driver};
use super::error::FastPathError;
use super::link;
use super::netlink::{self, Hook};
use super::pins::Pins;
use super::strangers::Strangers;
use crate::config::FastPathMode;

/// Why the program is not on an interface.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    /// Somebody else was there first.
    #[error("another XDP program is attached: {0}")]
    Occupied(String),
    /// Nobody could find what the program answers by.
    #[error(
        "`xdhcpd detach --force` has taken program and maps away: they are back when the agent is restarted, or \
         reloads its configuration"
    )]
    TakenAway,
    /// Another interface's pin would have the same path.
    #[error("its pin would be that of another interface: their names differ only in `.` and `_`")]
    SameName,
    /// The driver has no XDP of its own.
    #[error("its driver {driver} takes no XDP program ({reason}); the mode `auto` or `generic` does without")]
    NoNative { driver: String, reason: String },
    /// The kernel has no links for XDP.
    #[error("this kernel cannot pin an XDP program's link; Linux 5.9 or later can")]
    NoLinks,
    /// The kernel says that we may not.
    #[error(
        "the kernel does not let this process attach XDP programs: it needs the capabilities CAP_BPF and CAP_NET_ADMIN"
    )]
    Capability,
    /// The interface is not there.
    #[error("there is no such interface")]
    NoInterface,
    /// Anything else.
    #[error("the kernel refuses the program here: {0}")]
    Refused(String),
    /// A pin is in the way.
    #[error(transparent)]
    Pin(#[from] FastPathError),
}

impl AttachError {
    /// Whether trying again is of no use while the interface stays the same.
    const fn is_lasting(&self) -> bool {
        matches!(self, Self::NoNative { .. } | Self::NoLinks)
    }
}

/// An interface, and what became of the program there.
#[derive(Debug)]
pub(super) struct Attachment {
    /// The interface's name.
    pub name: String,
    /// Its index when the program was last attached.
    pub index: u32,
    /// What the operator wants.
    wanted: FastPathMode,
    /// Where the program is, if anywhere.
    pub state: Result<Place, AttachError>,
}

/// Where the program sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// Nowhere, as the operator wants it.
    Nowhere,
}

impl Place {
    /// The name in statistics and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Nowhere => "off",
        }
    }

    /// The place that an attached program has.
    pub fn of(hook: Hook) -> Option<Self> {
        match hook {
            Hook::Native => Some(Self::Native),
            Hook::Generic => Some(Self::Generic),
            Hook::Other => None,
        }
    }

    /// What the kernel is asked for.
    const fn mode(self) -> Option<XdpMode> {
        match self {
            Self::Native => Some(XdpMode::Driver),
            Self::Generic => Some(XdpMode::Skb),
            Self::Nowhere => None,
        }
    }
}

impl Attachment {
    /// Puts the program on an interface.
    pub fn make(
        program: &mut Xdp,
        pins: &Pins,
        name: &str,
        wanted: FastPathMode,
        strangers: &Strangers,
    ) -> Self {
        let index = interface_index(name).unwrap_or(0);
        let state = attach(program, pins, name, index, wanted, strangers);
        match &state {
            Ok(place) => tracing::info!(interface = name, mode = place.name(), "XDP program in place"),
            Err(error) => tracing::warn!(interface = name, %error, "the agent alone answers here"),
        }
        Self { name: name.to_owned(), index, wanted, state }
    }

    /// An interface that cannot have a pin of its own.
    pub fn same_name(name: &str, wanted: FastPathMode) -> Self {
        Self { name: name.to_owned(), index: 0, wanted, state: Err(AttachError::SameName) }
    }

    /// Puts the program back where it went missing: the interface came back, perhaps with another
    /// index, or somebody removed the pin. Whether anything was changed.
    pub fn check(&mut self, program: &mut Xdp, pins: &Pins, strangers: &Strangers) -> bool {
        if self.wanted == FastPathMode::Off || matches!(self.state, Err(AttachError::SameName)) {
            return false;
        }
        let index = interface_index(&self.name).unwrap_or(0);
        let is_new = index != self.index;
        let needs_nothing = match &self.state {
            Ok(_) => held(pins, &self.name).is_some(),
            // Asking again would only make the driver stop and start.
            Err(error) => error.is_lasting() && !is_new,
        };
        if needs_nothing {
            return false;
        }
        let problem = self.state.as_ref().err().map(ToString::to_string);
        self.state = attach(program, pins, &self.name, index, self.wanted, strangers);
        self.index = index;
        match &self.state {
            Ok(place) => {
                tracing::warn!(interface = self.name, mode = place.name(), "XDP program put back in place");
                true
            }
            Err(error) => {
                let error = error.to_string();
                // What keeps failing for one reason is said once.
                if problem.as_deref() != Some(error.as_str()) {
                    tracing::warn!(interface = self.name, error, "the XDP program cannot be put back");
                }
                false
            }
        }
    }
}

/// Where the program is that the pinned link of this interface attaches to it; none: it does not.
///
/// The interface is asked too, because a link of another network namespace may have the same index.
pub(super) fn held(pins: &Pins, name: &str) -> Option<Place> {
    let index = interface_index(name).ok()?;
    let link = link::pinned(&pins.link(name)).ok()??;
    if link.interface != index {
        return None;
    }
    let attached = netlink::attached(index).ok()??;
    if attached.program == link.program { Place::of(attached.hook) } else { None }
}

/// Removes every pinned link but those of these interfaces.
pub(super) fn remove_others(pins: &Pins, kept: &[&str]) -> Result<(), FastPathError> {
    let kept: Vec<_> = kept.iter().map(|name| pins.link(name)).collect();
    for (path, interface) in pins.links()? {
        if !kept.contains(&path) {
            link::remove(&path)?;
            tracing::info!(interface, "XDP program taken away");
        }
    }
    Ok(())
}

/// Removes every pinned link that has another program than the pinned one, or any if that has not this
/// map.
pub(super) fn remove_strange(pins: &Pins, map: u32) -> Result<(), FastPathError> {
    let failed = |path: &Path, error| FastPathError::pin("read", path, error);
    let path = pins.program();
    let program = link::program_with(&path, map).map_err(|error| failed(&path, error))?;
    for (path, interface) in pins.links()? {
        let link = link::pinned(&path).map_err(|error| failed(&path, error))?;
        if program.is_none() || link.map(|link| link.program) != program {
            link::remove(&path)?;
            tracing::warn!(interface, "the XDP program on the old maps is taken away");
        }
    }
    Ok(())
}

/// Attaches the program as wanted.
fn attach(
    program: &mut Xdp,
    pins: &Pins,
    name: &str,
    index: u32,
    wanted: FastPathMode,
    strangers: &Strangers,
) -> Result<Place, AttachError> {
    let pin_path = pins.link(name);
    let driver = Driver::of(name);
    let places = places(wanted, driver.as_ref());
    if places.is_empty() {
        link::remove(&pin_path)?;
        return Ok(Place::Nowhere);
    }
    if index == 0 {
        // The link may be on an interface that has another name by now.
        link::remove(&pin_path)?;
        return Err(AttachError::NoInterface);
    }
    if !pins.have_maps() {
        return Err(AttachError::TakenAway);
    }
    leave_vlan_tags(name);
    if let Some(place) = adopt(program, pins, name, places) {
        return Ok(place);
    }
    link::remove(&pin_path)?;
    expect_vacant(index, strangers)?;
    let mut refusals = Vec::new();
    for place in places {
        match create(program, index, *place, strangers).and_then(|link| pin(link, &pin_path)) {
            Ok(()) => {
                if !refusals.is_empty() {
                    tracing::info!(interface = name, ?refusals, "the driver takes no XDP program");
                }
                return Ok(*place);
            }
            Err(AttachError::Refused(reason)) => refusals.push(reason),
            Err(other) => return Err(other),
        }
    }
    let reason = refusals.join(", ");
    if wanted == FastPathMode::Native {
        let driver = driver.map_or_else(|| "(unknown)".to_owned(), |driver| driver.name);
        return Err(AttachError::NoNative { driver, reason });
    }
    Err(AttachError::Refused(reason))
}

/// Where the program may sit, best first.
fn places(wanted: FastPathMode, driver: Option<&Driver>) -> &'static [Place] {
    match wanted {
        FastPathMode::Off => &[],
        FastPathMode::Native => &[Place::Native],
        FastPathMode::Generic => &[Place::Generic],
        FastPathMode::Auto if driver.is_some_and(Driver::loses_native_replies) => &[Place::Generic],
        FastPathMode::Auto => &[Place::Native, Place::Generic],
    }
}

/// Gives the pinned link the new program, where the link is on this interface and in one of these
/// places; none: it has to be made anew.
fn adopt(program: &mut Xdp, pins: &Pins, name: &str, places: &[Place]) -> Option<Place> {
    let place = held(pins, name).filter(|place| places.contains(place))?;
    match replace(program, pins, name) {
        Ok(()) => Some(place),
        Err(error) => {
            tracing::warn!(interface = name, error, "the pinned link does not take the new program");
            None
        }
    }
}

/// Exchanges the program of a pinned link.
fn replace(program: &mut Xdp, pins: &Pins, name: &str) -> Result<(), String> {
    let text = |error: LinkError| error.to_string();
    let link = FdLink::from(PinnedLink::from_pin(pins.link(name)).map_err(text)?);
    let link = XdpLink::try_from(link).map_err(text)?;
    let id = program.attach_to_link(link).map_err(|error| chain(&error))?;
    program.take_link(id).map(drop).map_err(|error| chain(&error))
}

/// Makes a new link.
fn create(program: &mut Xdp, index: u32, place: Place, strangers: &Strangers) -> Result<FdLink, AttachError> {
    let mode = place.mode().unwrap_or_default();
    let id = program.attach_to_if_index(index, mode).map_err(|error| refusal(index, &error, strangers))?;
    let link = program.take_link(id).map_err(|error| AttachError::Refused(chain(&error)))?;
    // Where the kernel has no links aya attaches without one; that ends with this value.
    FdLink::try_from(link).map_err(|_no_link| AttachError::NoLinks)
}

/// Pins a new link; ours is closed at once: the pin is what keeps it.
fn pin(link: FdLink, path: &Path) -> Result<(), AttachError> {
    link.pin(path).map(drop).map_err(|error| AttachError::Refused(chain(&error)))
}

/// Why attaching failed.
fn refusal(index: u32, error: &ProgramError, strangers: &Strangers) -> AttachError {
    let errno = match error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    };
    match errno {
        Some(libc::EPERM) => AttachError::Capability,
        Some(libc::ENODEV) => AttachError::NoInterface,
        // Somebody came in between.
        Some(libc::EBUSY | libc::EEXIST) => {
            expect_vacant(index, strangers).err().unwrap_or_else(|| AttachError::Refused(chain(error)))
        }
        _ => AttachError::Refused(chain(error)),
    }
}

/// An error with its causes: aya's own text leaves the kernel's answer to them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Checks that no program is on the interface.
fn expect_vacant(index: u32, strangers: &Strangers) -> Result<(), AttachError> {
    match netlink::attached(index) {
        Ok(None) => Ok(()),
        Ok(Some(attached)) => Err(AttachError::Occupied(strangers.describe(index, attached))),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Err(AttachError::NoInterface),
        Err(error) => Err(AttachError::Refused(error.to_string())),
    }
}

/// Leaves VLAN tags where the program can see them, if the interface can.
fn leave_vlan_tags(name: &str) {
    match device::keep_vlan_tags(name) {
        Ok(true) => {
            tracing::info!(interface = name, "switched off rx-vlan-offload, which hides VLAN tags from XDP");
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(
            interface = name,
            %error,
            "rx-vlan-offload cannot be switched off: the XDP program takes tagged requests for untagged ones"
        ),
    }
}

/// The index of an interface in this network namespace.
pub(super) fn interface_index(name: &str) -> io::Result<u32> {
    Ok(netdevice::name_to_index(any_socket()?, name)?)
}

/// The name of an interface in this network namespace, or its index.
pub(super) fn interface_name(index: u32) -> String {
    any_socket()
        .and_then(|socket| Ok(netdevice::index_to_name(socket, index)?))
        .unwrap_or_else(|_gone| format!("if{index}"))
}

/// A socket to ask about interfaces through.
fn any_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_places() {
        assert_eq!(places(FastPathMode::Off, None), []);
        assert_eq!(places(FastPathMode::Auto, None), [Place::Native, Place::Generic]);
        assert_eq!(places(FastPathMode::Native, None), [Place::Native]);
        assert_eq!(places(FastPathMode::Generic, None), [Place::Generic]);
    }

    #[test]
    fn an_interface_that_is_not_there_is_said_to_be_missing() {
        let missing = u32::MAX >> 1;
        assert!(matches!(expect_vacant(missing, &Strangers::default()), Err(AttachError::NoInterface)));
        assert_eq!(interface_name(missing), format!("if{missing}"));
        assert!(interface_index("nosuch0").is_err());
    }
}
