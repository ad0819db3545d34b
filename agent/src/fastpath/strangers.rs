//! The XDP programs of others: what they are called, and what removes them.
//!
//! The kernel shows that only to a process with CAP_SYS_ADMIN, which the loader has not got. So the
//! agent looks before it gives that up, and the loader is told what was seen; of a program that
//! came later it knows the number alone.

use aya::programs::links::LinkInfo;
use aya::programs::{loaded_links, loaded_programs};
use serde::{Deserialize, Serialize};

use super::attach::interface_name;
use super::netlink::{Attached, Hook};

/// `BPF_PROG_TYPE_XDP`.
const XDP: u32 = 6;

/// Programs that are remembered; a machine has an XDP program an interface, and few of them.
const MOST: usize = 256;

/// XDP programs by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Strangers(Vec<Stranger>);

/// An XDP program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stranger {
    id: u32,
    name: String,
    /// The link that attaches it, where one does.
    link: Option<u32>,
}

impl Strangers {
    /// Every XDP program that is loaded now, as far as this process may know.
    pub fn look() -> Self {
        let links: Vec<_> = loaded_links().filter_map(Result::ok).collect();
        let programs = loaded_programs().filter_map(Result::ok);
        let xdp = programs.filter(|program| program.program_type() as u32 == XDP).map(|program| Stranger {
            id: program.id(),
            name: program.name_as_str().unwrap_or("(without a name)").to_owned(),
            link: links.iter().find(|link| link.program_id() == program.id()).map(LinkInfo::id),
        });
        Self(xdp.take(MOST).collect())
    }

    /// Which program is on this interface, and how to remove it.
    pub(super) fn describe(&self, index: u32, attached: Attached) -> String {
        let interface = interface_name(index);
        let id = attached.program;
        let now = Self::look();
        let Some(stranger) = now.find(id).or_else(|| self.find(id)) else {
            return format!(
                "id {id} (`bpftool prog show id {id}` names it); `bpftool net show dev {interface}` shows how it is attached"
            );
        };
        format!("{} (id {id}); {}", stranger.name, stranger.remedy(&interface, attached))
    }

    fn find(&self, id: u32) -> Option<&Stranger> {
        self.0.iter().find(|stranger| stranger.id == id)
    }
}

impl Stranger {
    /// Which command takes it off.
    fn remedy(&self, interface: &str, attached: Attached) -> String {
        if let Some(link) = self.link {
            return format!("`bpftool link detach id {link}` removes it");
        }
        // Without the place, ip takes off only what is where the driver would have it.
        let place = match attached.hook {
            Hook::Native => "xdpdrv",
            Hook::Generic => "xdpgeneric",
            Hook::Other => "xdp",
        };
        format!("`ip link set dev {interface} {place} off` removes it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No program has it.
    const ID: u32 = u32::MAX;
    const ATTACHED: Attached = Attached { program: ID, hook: Hook::Native };

    #[test]
    fn one_that_was_seen_is_named_with_what_removes_it() {
        for (link, remedy) in
            [(None, "`ip link set dev lo xdpdrv off`"), (Some(9), "`bpftool link detach id 9`")]
        {
            let seen = Strangers(vec![Stranger { id: ID, name: "cilium".into(), link }]);
            assert_eq!(seen.describe(1, ATTACHED), format!("cilium (id {ID}); {remedy} removes it"));
        }
    }

    #[test]
    fn one_that_was_not_is_said_by_its_number() {
        let said = Strangers::default().describe(1, ATTACHED);
        assert!(said.starts_with(&format!("id {ID} (`bpftool prog show id {ID}` names it)")), "{said}");
    }
}
