//! The loader's handle on the kernel: the program, on the agent's maps, kept where it belongs.

use std::os::fd::BorrowedFd;

use aya::Ebpf;

use super::InterfaceStatus;
use super::attach::{self, Attachment, Place};
use super::error::FastPathError;
use super::kernel_log;
use super::load;
use super::pins::Pins;
use super::strangers::Strangers;
use crate::config::{FastPathMode, KernelLog};

/// The loaded program, and the interfaces it is meant for.
pub struct Program {
    pins: Pins,
    ebpf: Ebpf,
    log: Option<kernel_log::Reader>,
    attachments: Vec<Attachment>,
    strangers: Strangers,
}

impl Program {
    /// Loads the program on the maps of the agent of this name, which must be pinned, and attaches it to
    /// these interfaces, in the place of an older one where there is one.
    ///
    /// One interface that cannot have the program does not stop the others: see [`Program::status`]. An
    /// interface with the mode `off`, or not named at all, loses the program that it may still have.
    /// `strangers` are other programs, as far as they were seen.
    pub fn load(
        name: &str,
        log: KernelLog,
        interfaces: &[(String, FastPathMode)],
        strangers: Strangers,
    ) -> Result<Self, FastPathError> {
        let pins = Pins::new(name);
        let mut ebpf = load::load(&pins, log)?;
        let log = kernel_log::Reader::of(&mut ebpf, log);
        let program = load::program(&mut ebpf)?;
        load::pin(program, &pins)?;

        let names: Vec<&str> = interfaces.iter().map(|(name, _)| name.as_str()).collect();
        attach::remove_others(&pins, &names)?;
        let mut attachments: Vec<Attachment> = Vec::with_capacity(interfaces.len());
        for (name, mode) in interfaces {
            let path = pins.link(name);
            let taken = attachments.iter().any(|other| pins.link(&other.name) == path);
            attachments.push(if taken {
                Attachment::same_name(name, *mode)
            } else {
                Attachment::make(program, &pins, name, *mode, &strangers)
            });
        }
        Ok(Self { pins, ebpf, log, attachments, strangers })
    }

    /// What became of the program on each interface, in the order they were given.
    pub fn status(&self) -> Vec<InterfaceStatus> {
        self.attachments.iter().map(InterfaceStatus::of).collect()
    }

    /// Puts the program back on interfaces that lost it; returns their names.
    pub fn check(&mut self) -> Result<Vec<String>, FastPathError> {
        let program = load::program(&mut self.ebpf)?;
        let mut changed = Vec::new();
        for attachment in &mut self.attachments {
            if attachment.check(program, &self.pins, &self.strangers) {
                changed.push(attachment.name.clone());
            }
        }
        Ok(changed)
    }

    /// Readable when the program's own log has records; none where it logs nothing.
    pub fn log_fd(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(kernel_log::Reader::fd)
    }

    /// Forwards the program's own log to ours (target `xdhcpd::kernel`).
    pub fn drain_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.drain();
        }
    }
}

impl InterfaceStatus {
    fn of(attachment: &Attachment) -> Self {
        let (place, problem) = match &attachment.state {
            Ok(place) => (*place, None),
            Err(error) => (Place::Nowhere, Some(error.to_string())),
        };
        Self { name: attachment.name.clone(), mode: place.name(), attached: place != Place::Nowhere, problem }
    }
}
