//! What is pinned, without an agent: looking at it, and taking it away.

use std::path::{Path, PathBuf};

use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::{Lease, LeaseKey, Server, Template, Wire};

use super::InterfaceStatus;
use super::attach::{self, Place};
use super::error::FastPathError;
use super::layout::{self, Found};
use super::link;
use super::maps::Maps;
use super::netlink;
use super::pins::{self, Pins};

/// The maps that an agent left behind, to be read.
pub struct Pinned {
    pins: Pins,
    maps: Maps,
}

impl Pinned {
    /// Opens what the agent of this name pinned; none when it pinned nothing.
    pub fn open(name: &str) -> Result<Option<Self>, FastPathError> {
        let pins = Pins::new(name);
        if pins.files()?.is_empty() {
            return Ok(None);
        }
        if let Found::Former(former) = layout::found(&pins)? {
            let what = format!("layout {} is an earlier one; an agent takes them over", former.layout);
            return Err(layout::unusable(&pins, what));
        }
        let maps = Maps::open(&pins)?;
        Ok(Some(Self { pins, maps }))
    }

    /// Every lease.
    pub fn leases(&self) -> Result<Vec<(LeaseKey, Lease)>, FastPathError> {
        self.maps.leases().all()
    }

    /// Every wire that is served.
    pub fn servers(&self) -> Result<Vec<(Wire, Server)>, FastPathError> {
        self.maps.servers()
    }

    /// Every template, in the order of their indexes, up to the last that was written.
    pub fn templates(&self) -> Result<Vec<Template>, FastPathError> {
        let mut templates = (0..self.maps.template_capacity())
            .map(|index| self.maps.template(index))
            .collect::<Result<Vec<_>, _>>()?;
        let used = templates.iter().rposition(|template| template.server != [0; 4]);
        templates.truncate(used.map_or(0, |last| last.saturating_add(1)));
        Ok(templates)
    }

    /// The counters, summed over all CPUs.
    pub fn counters(&self) -> Result<Counters, FastPathError> {
        self.maps.counters()
    }

    /// The interfaces that have a link.
    pub fn interfaces(&self) -> Result<Vec<InterfaceStatus>, FastPathError> {
        let links = self.pins.links()?;
        Ok(links.into_iter().map(|(path, name)| status(&path, name)).collect())
    }
}

/// What a pinned link says of its interface.
fn status(path: &Path, pinned_name: String) -> InterfaceStatus {
    let off = |name, problem: String| InterfaceStatus {
        name,
        mode: Place::Nowhere.name(),
        attached: false,
        problem: Some(problem),
    };
    let link = match link::pinned(path) {
        Ok(Some(link)) if link.interface != 0 => link,
        Ok(_) => return off(pinned_name, "the interface is gone".to_owned()),
        Err(error) => return off(pinned_name, format!("the link cannot be read: {error}")),
    };
    match netlink::attached(link.interface) {
        Ok(Some(attached)) if attached.program == link.program => InterfaceStatus {
            name: attach::interface_name(link.interface),
            mode: Place::of(attached.hook).unwrap_or(Place::Nowhere).name(),
            attached: true,
            problem: None,
        },
        // The link says that the program is there; where, this process cannot see.
        Ok(_) => InterfaceStatus {
            name: pinned_name,
            mode: "unknown",
            attached: true,
            problem: Some("the interface is in another network namespace".to_owned()),
        },
        Err(error) => off(pinned_name, format!("the interface cannot be asked: {error}")),
    }
}

/// What [`detach`] took away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detached {
    /// Interfaces, by the names their pins had.
    pub interfaces: Vec<String>,
    /// Every pin that was removed, links first.
    pub pins: Vec<PathBuf>,
}

/// Takes links, program and maps of the agent of this name away. Links go first, so that
/// nothing answers from maps that are going.
pub fn detach(name: &str) -> Result<Detached, FastPathError> {
    let pins = Pins::new(name);
    let mut detached = Detached::default();
    remove_links(&pins, &mut detached)?;
    let mut rest = pins.files()?;
    rest.sort();
    for path in rest {
        if pins::remove(&path)? {
            detached.pins.push(path);
        }
    }
    // A loader that runs may have put its program back meanwhile; without maps it does not.
    remove_links(&pins, &mut detached)?;
    pins.remove_folder()?;
    Ok(detached)
}

fn remove_links(pins: &Pins, detached: &mut Detached) -> Result<(), FastPathError> {
    for (path, interface) in pins.links()? {
        link::remove(&path)?;
        if !detached.pins.contains(&path) {
            detached.interfaces.push(interface);
            detached.pins.push(path);
        }
    }
    Ok(())
}
