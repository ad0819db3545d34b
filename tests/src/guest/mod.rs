//! Virtual machines: qemu with a firmware, an operating system and network cards of one's choice.
//!
//! The processor is emulated, not borrowed from the host (no KVM), so that a guest runs everywhere, if
//! slowly: a Linux of ours is up in two seconds, a boot from the network takes twenty. What the guest
//! says is on its serial console. It is switched off when dropped, as by a power cut.

mod archive;
mod initramfs;
mod linux;
mod shell;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub use self::initramfs::Initramfs;
pub use self::linux::Linux;
pub use self::shell::SHELL;
use crate::netns::NetNs;
use crate::{skip, wait};

/// UEFI firmware, where Debian's package ovmf puts it.
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";
/// The host's end of the line over which a guest takes commands, in the machine's folder.
const SHELL_SOCKET: &str = "shell";
/// The memory of a machine that is given no other, in megabytes.
const MEMORY: u32 = 512;
/// How much of the serial console is shown of a guest that failed.
const LAST_LINES: usize = 40;

/// How a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot<'a> {
    /// From the network, by a BIOS and the card's own boot ROM, which is an iPXE.
    Bios,
    /// From the network, by UEFI's own PXE.
    UefiPxe,
    /// From the network, by UEFI's HTTP boot; it does not try PXE.
    UefiHttp,
    /// Straight into a kernel.
    Kernel {
        /// Its image.
        image: &'a Path,
        /// Its first root file system.
        initramfs: &'a Path,
    },
}

impl Boot<'_> {
    /// Whether what it takes is installed; else the test `name` is noted as skipped.
    pub fn is_there(self, name: &str) -> bool {
        let (file, package) = match self {
            Self::Bios => ("/usr/lib/ipxe/qemu/efi-virtio.rom", "ipxe-qemu"),
            Self::UefiPxe | Self::UefiHttp => (OVMF, "ovmf"),
            Self::Kernel { .. } => ("", "qemu-system-x86"),
        };
        // Joining an absolute path gives that path, and nothing the folder itself.
        skip::is_there(name, "qemu-system-x86_64", "qemu-system-x86")
            && (file.is_empty() || skip::is_there(name, file, package))
    }

    fn arguments(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Bios => &["-boot", "n"],
            Self::UefiPxe => &["-boot", "n", "-bios", OVMF],
            Self::UefiHttp => &[
                "-boot",
                "n",
                "-bios",
                OVMF,
                "-fw_cfg",
                "name=opt/org.tianocore/IPv4PXESupport,string=n",
                "-fw_cfg",
                "name=opt/org.tianocore/IPv6PXESupport,string=n",
            ],
            Self::Kernel { image, initramfs } => {
                let [image, initramfs] = [image, initramfs].map(|path| path.display().to_string());
                // The kernel counts ticks for some milliseconds to see that the timer works, and panics without
                // them: an emulated one can be late on a busy machine.
                let words = "console=ttyS0 quiet no_timer_check";
                return ["-kernel", &image, "-initrd", &initramfs, "-append", words]
                    .map(str::to_owned)
                    .into();
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// A machine to be started.
#[derive(Debug)]
pub struct Machine<'a> {
    boot: Boot<'a>,
    arguments: Vec<String>,
    cards: usize,
    megabytes: u32,
    has_shell: bool,
}

impl<'a> Machine<'a> {
    /// A machine without anything but a processor, memory and a serial console.
    pub fn new(boot: Boot<'a>) -> Self {
        Self { boot, arguments: boot.arguments(), cards: 0, megabytes: MEMORY, has_shell: false }
    }

    /// Gives it this much memory, in megabytes.
    #[must_use]
    pub fn memory(mut self, megabytes: u32) -> Self {
        self.megabytes = megabytes;
        self
    }

    /// Gives it an argument of qemu's, such as a disk.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Has it take commands ([`Guest::run`]), with [`SHELL`] for its script.
    #[must_use]
    pub fn shell(mut self) -> Self {
        self.has_shell = true;
        self
    }

    /// Gives it a network card with this hardware address, whose cable is the interface `tap`.
    #[must_use]
    pub fn card(self, tap: &str, mac: &str) -> Self {
        self.card_with_queues(tap, mac, 1)
    }

    /// The same with more than one pair of queues, which a tap has that was made with `multi_queue`.
    #[must_use]
    pub fn card_with_queues(mut self, tap: &str, mac: &str, queues: u32) -> Self {
        let card = format!("card{}", self.cards);
        self.cards += 1;
        // UEFI has a driver of its own, and the ROM would come before that.
        let rom = if self.boot == Boot::Bios { "" } else { ",romfile=" };
        // An interrupt for each queue, and two for the card itself.
        let (multi, vectors) = if queues == 1 { ("off", 4) } else { ("on", 2 * queues + 2) };
        self.with("-netdev", &format!("tap,id={card},ifname={tap},queues={queues},script=no,downscript=no"))
            .with(
                "-device",
                &format!("virtio-net-pci,netdev={card},mac={mac},mq={multi},vectors={vectors}{rom}"),
            )
    }

    /// Starts it in a namespace, where the taps are.
    pub fn start(self, namespace: &NetNs) -> Result<Guest> {
        let folder = tempfile::tempdir()?;
        let serial = format!("file:{}", folder.path().join("serial").display());
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = namespace.command("qemu-system-x86_64");
        command.args([
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            &serial,
        ]);
        command.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max"]);
        if self.has_shell {
            let socket = folder.path().join(SHELL_SOCKET);
            let socket = format!("socket,id=shell,path={},server=on,wait=off", socket.display());
            command.args(["-chardev", &socket, "-serial", "chardev:shell"]);
        }
        command.args(["-m", &self.megabytes.to_string()]).args(self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("starting qemu")?;
        Ok(Guest { child, folder, shell: None })
    }
}

/// A machine that runs.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    folder: tempfile::TempDir,
    /// The line for commands, once one was given.
    shell: Option<shell::Shell>,
}

impl Guest {
    /// What it said on its serial console so far, without the control sequences of a terminal.
    pub fn serial(&self) -> String {
        let bytes = fs::read(self.folder.path().join("serial")).unwrap_or_default();
        plain(&String::from_utf8_lossy(&bytes))
    }

    /// Waits until a line of its console begins with `start`, and gives the rest of that line.
    pub fn line(&mut self, start: &str, limit: Duration) -> Result<String> {
        let line = wait::until(&format!("the guest to say {start:?}"), limit, || {
            // Looked at first: what it said before it ended is all there.
            let ended = self.child.try_wait()?;
            let serial = self.serial();
            // Only whole lines.
            let whole = serial.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let found = whole.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
            match ended {
                Some(status) if found.is_none() => {
                    bail!("the guest ended ({status}) and never said {start:?}")
                }
                _ => Ok(found),
            }
        });
        line.with_context(|| self.last_words())
    }

    /// Waits until it has turned itself off.
    pub fn end(&mut self, limit: Duration) -> Result<()> {
        let child = &mut self.child;
        let ended = wait::until("the guest to turn itself off", limit, || Ok(child.try_wait()?));
        let status = ended.with_context(|| self.last_words())?;
        if !status.success() {
            bail!("qemu: {status}\n{}", self.last_words());
        }
        Ok(())
    }

    /// The end of what it said, and what qemu had to say.
    fn last_words(&self) -> String {
        let serial = self.serial();
        let lines: Vec<_> = serial.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        format!("its serial console, at the end:\n{last}\nqemu: {log}")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Shown if the test fails.
        eprintln!("--- the guest ---\n{}", self.last_words());
    }
}

/// The text without escape sequences, and with one kind of line end.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence ends with its first letter (ECMA-48 §5.4); `ESC c` is one by itself.
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |letter| letter + 1);
        plain.push_str(&part[end..]);
    }
    plain.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_a_terminal_alone_is_taken_out() {
        let said = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\n\x1b[01;00Hmachine\rhalf";
        assert_eq!(plain(said), "SeaBIOS\nmachine\nhalf");
        assert_eq!(plain("a\x1b"), "a");
    }
}
