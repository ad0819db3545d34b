//! The templates the kernel answers from: one slot for each distinct rendering.
//!
//! A slot is written once and read by the kernel at any time after, so it is never changed while an
//! entry may point at it: slots are handed out afresh, and [`Templates::recycle`] gives back those
//! that no entry uses any more.

use std::collections::HashMap;

use xdhcpd_common::maps::{TEMPLATE_OPTIONS, Template, TemplateFlags};

use crate::config::Network;

use super::render::Rendered;

/// Which template is in which slot.
#[derive(Debug, Default)]
pub struct Templates {
    slots: HashMap<Box<[u8]>, u32>,
    free: Vec<u32>,
    next: u32,
    capacity: u32,
}

impl Templates {
    /// No templates yet, room for `capacity`.
    pub fn new(capacity: u32) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Takes note of a template that the kernel's map already holds.
    pub fn adopt(&mut self, slot: u32, template: &Template) {
        self.slots.insert(fingerprint(template), slot);
        self.free.retain(|free| *free != slot);
        self.free.extend(self.next..slot);
        self.next = self.next.max(slot.saturating_add(1));
    }

    /// The slot of this template, and whether it has to be written first; none: all are taken.
    pub fn slot(&mut self, template: &Template) -> Option<(u32, bool)> {
        let key = fingerprint(template);
        if let Some(slot) = self.slots.get(&key) {
            return Some((*slot, false));
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.next < self.capacity => {
                self.next = self.next.saturating_add(1);
                self.next.saturating_sub(1)
            }
            None => return None,
        };
        self.slots.insert(key, slot);
        Some((slot, true))
    }

    /// Whether a new template would find no slot.
    pub fn is_full(&self) -> bool {
        self.free.is_empty() && self.next >= self.capacity
    }

    /// Gives back the slots that `in_use` does not hold. The caller makes sure that no program run
    /// is still reading them.
    pub fn recycle(&mut self, in_use: &std::collections::HashSet<u32>) {
        let free = &mut self.free;
        self.slots.retain(|_, slot| {
            let keep = in_use.contains(slot);
            if !keep {
                free.push(*slot);
            }
            keep
        });
    }
}

/// All that makes two templates the same, as bytes.
fn fingerprint(template: &Template) -> Box<[u8]> {
    let used = usize::try_from(template.options_len).unwrap_or(usize::MAX).min(TEMPLATE_OPTIONS);
    let mut key = Vec::with_capacity(used.saturating_add(256));
    for word in [
        template.generation,
        template.flags,
        template.lease_default,
        template.lease_min,
        template.lease_max,
        template.renew,
        template.rebind,
    ] {
        key.extend(word.to_ne_bytes());
    }
    for address in [template.server, template.network, template.mask, template.next_server] {
        key.extend(address);
    }
    key.extend(template.server_name);
    key.extend(template.file);
    key.extend(template.options.iter().take(used));
    key.into_boxed_slice()
}

/// The terms of a network, with what was rendered for the client; none where that is too long for
/// the kernel, whose clients the agent then answers.
pub fn template(
    network: &Network,
    server: [u8; 4],
    generation: u32,
    rendered: &Rendered,
) -> Option<Template> {
    let mut template = terms(network, server, generation);
    let room = template.options.get_mut(..rendered.options.len())?;
    room.copy_from_slice(&rendered.options);
    template.options_len = u32::try_from(rendered.options.len()).ok()?;
    template.next_server = rendered.boot.next_server;
    template.server_name = rendered.boot.server_name;
    template.file = rendered.boot.file;
    template.seal();
    Some(template)
}

/// The terms alone: enough for the decision, not for a reply.
pub fn terms(network: &Network, server: [u8; 4], generation: u32) -> Template {
    let times = &network.times;
    Template {
        generation,
        flags: if network.always_broadcast { TemplateFlags::ALWAYS_BROADCAST } else { 0 },
        server,
        network: network.subnet.network().octets(),
        mask: network.subnet.netmask().octets(),
        next_server: [0; 4],
        lease_default: times.default,
        lease_min: times.min,
        lease_max: times.max,
        renew: times.renew.unwrap_or(0),
        rebind: times.rebind.unwrap_or(0),
        options_len: 0,
        sum: 0,
        zero: 0,
        server_name: [0; 64],
        file: [0; 128],
        options: [0; TEMPLATE_OPTIONS],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    /// Templates that differ in a lease time.
    fn numbered(time: u32) -> Template {
        let yaml = "networks: [{name: a, interface: eth1, subnet: 10.9.0.0/24, ranges: [10.9.0.9-10.9.0.9]}]";
        let config = parse_yaml(yaml).unwrap();
        Template { lease_default: time, ..terms(&config.networks[0], [10, 9, 0, 2], 1) }
    }

    #[test]
    fn what_was_adopted_keeps_its_slot_and_the_gaps_are_used() {
        let mut templates = Templates::new(4);
        for slot in [3, 1] {
            templates.adopt(slot, &numbered(slot));
        }
        assert_eq!(templates.slot(&numbered(3)), Some((3, false)));
        assert_eq!(templates.slot(&numbered(1)), Some((1, false)));
        let mut fresh: Vec<_> = [10, 11].map(|time| templates.slot(&numbered(time)).unwrap()).to_vec();
        fresh.sort_unstable();
        assert_eq!(fresh, [(0, true), (2, true)]);
        assert!(templates.is_full());
        assert_eq!(templates.slot(&numbered(12)), None);
    }

    #[test]
    fn a_slot_that_no_entry_uses_is_used_again() {
        let mut templates = Templates::new(2);
        assert_eq!(templates.slot(&numbered(1)), Some((0, true)));
        assert_eq!(templates.slot(&numbered(2)), Some((1, true)));
        templates.recycle(&[1].into());
        assert_eq!(templates.slot(&numbered(3)), Some((0, true)));
        assert_eq!(templates.slot(&numbered(2)), Some((1, false)));
    }
}
