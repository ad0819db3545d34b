//! systemd-networkd as a DHCP client of one interface.
//!
//! It has no script to tell of events, and no bus here to ask it by. What it does is in its log, and
//! what it got in the file that it keeps for itself; we take that file away once it is read, so that
//! the next one is the next event's.
//!
//! It runs in a mount namespace with a configuration of its own, and with a `/sys` that cannot be
//! written: from that it concludes that no udev is there to be waited for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;

use super::program::Care;

/// The program.
pub(super) const PROGRAM: &str = "/lib/systemd/systemd-networkd";

/// How its log tells of an ACK.
const ACK: &str = "DHCPv4 client: ACK";

/// The folders that it insists on, under `/run/systemd/netif`. It gives up root before it writes.
const FOLDERS: [&str; 4] = ["netif", "netif/leases", "netif/links", "netif/lldp"];

/// Writes its configuration, and gives the script that mounts its folders and becomes its arguments.
pub(super) fn shell(folder: &Path, interface: &str, care: Care) -> Result<String> {
    let declines = if care == Care::Probes { "yes" } else { "no" };
    let config = format!(
        "[Match]\nName={interface}\n\
         [Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
         [DHCPv4]\nSendDecline={declines}\n"
    );
    fs::write(folder.join("client.network"), config)?;
    for name in FOLDERS {
        fs::create_dir_all(folder.join(name))?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o777))?;
    }
    Ok(format!(
        "set -e
        mount -t tmpfs run /run
        mkdir -p /run/systemd/network /run/systemd/netif
        cp {folder}/client.network /run/systemd/network/
        mount --bind {folder}/netif /run/systemd/netif
        if [ -d /etc/systemd/network ]; then mount -t tmpfs none /etc/systemd/network; fi
        mount -t sysfs -o ro sysfs /sys
        exec \"$@\"",
        folder = folder.display()
    ))
}

/// The text of the event after `seen` others, in the form of our script's: none, if there is none yet.
pub(super) fn event(folder: &Path, seen: usize) -> Option<String> {
    let log = fs::read_to_string(folder.join("log")).ok()?;
    if log.matches(ACK).count() <= seen {
        return None;
    }
    let mut files = fs::read_dir(folder.join("netif/leases")).ok()?.flatten().map(|entry| entry.path());
    let file = files.find(|path| is_whole(path))?;
    let text = fs::read_to_string(&file).ok()?;
    fs::remove_file(&file).ok()?;
    Some(format!("event=bound\n{text}"))
}

/// Files under way have a name that begins with a dot.
fn is_whole(path: &Path) -> bool {
    path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
}
