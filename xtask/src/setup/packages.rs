//! The system packages, as data: what each is for, and how to see that it is there.

use std::borrow::Cow;
use std::env;
use std::path::{Path, PathBuf};

/// A package of Debian and its kin.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name in apt.
    pub name: Cow<'static, str>,
    /// A program, or an absolute path, that is there when the package is.
    pub gives: Cow<'static, str>,
    /// What we do with it.
    pub why: &'static str,
}

/// To lay out a network and look into it.
pub const LAB: &[Package] = &[
    package("iproute2", "ip", "network namespaces and veth pairs"),
    package("isc-dhcp-client", "dhclient", "a client to serve: ISC's"),
    package("udhcpc", "udhcpc", "a client to serve: busybox's"),
    package("bpftool", "bpftool", "shows maps and programs as an operator sees them"),
];

/// For tests, on top of [`LAB`].
pub const TESTS: &[Package] = &[
    package("dhcpcd-base", "dhcpcd", "a client to serve: Roy Marples'"),
    package(
        "systemd",
        "/lib/systemd/systemd-networkd",
        "a client to serve: systemd's, as a process like any other",
    ),
    package("tshark", "tshark", "judges whether a frame is well-formed"),
    package("kea-admin", "perfdhcp", "a peer that asks very often"),
    package("isc-dhcp-relay", "dhcrelay", "a relay agent to serve: ISC's"),
    package("isc-dhcp-server", "dhcpd", "a server that shares our format of leases: ISC's"),
    package("dhcpd-pools", "dhcpd-pools", "a tool that reads files of leases"),
    package(
        "python3-isc-dhcp-leases",
        "/usr/lib/python3/dist-packages/isc_dhcp_leases/__init__.py",
        "a library that reads files of leases",
    ),
    package("dnsmasq-base", "dnsmasq", "a relay agent to serve, and files by TFTP"),
    package("busybox", "busybox", "small programs inside a namespace"),
    package("tcpdump", "tcpdump", "captures what is on the wire"),
    package("openssl", "openssl", "a key for a test's Kubernetes API server"),
    package("ethtool", "ethtool", "turns checksum offload on and off"),
    package("qemu-system-x86", "qemu-system-x86_64", "virtual machines to boot"),
    package("ipxe-qemu", "/usr/lib/ipxe/qemu/efi-virtio.rom", "the boot ROM of a virtual network card"),
    package("ovmf", "/usr/share/ovmf/OVMF.fd", "UEFI firmware, which boots by PXE and HTTP"),
    package("ipxe", "/usr/lib/ipxe/undionly.kpxe", "the boot loader that firmware loads"),
    package("kmod", "depmod", "indexes the modules of a virtual machine's kernel"),
    package("e2fsprogs", "mkfs.ext4", "a file system for a virtual machine's disk"),
    package("prometheus", "promtool", "checks the chart's alerts, and tries them on series that it makes up"),
    package("strace", "strace", "has a disk fail, as a process sees it"),
];

/// To make the image of a container.
pub const IMAGE: &[Package] = &[
    package("musl-tools", "musl-gcc", "a C compiler for what is linked statically"),
    package("buildah", "buildah", "makes an image without a daemon"),
];

/// To be measured beside xdhcpd, on top of [`LAB`].
pub const PEERS: &[Package] = &[
    package("kea-dhcp4-server", "kea-dhcp4", "a peer to measure: Kea"),
    package("isc-dhcp-server", "dhcpd", "a peer to measure: ISC's"),
    package("dnsmasq-base", "dnsmasq", "a peer to measure"),
    package("kea-admin", "perfdhcp", "asks the peers"),
];

/// To make a node of this machine, on top of [`LAB`] and [`IMAGE`].
pub const CLUSTER: &[Package] = &[
    package("containerd", "containerd", "runs the containers of a Kubernetes node"),
    package("runc", "runc", "starts containers for containerd"),
    package("containernetworking-plugins", "/usr/lib/cni/bridge", "the network of a node's pods"),
    package("openssl", "openssl", "a key for a Kubernetes API server"),
];

/// To build bpf-linker against LLVM `major`.
pub fn to_build_the_linker(major: u32) -> Vec<Package> {
    let prefix = linker_prefix(major);
    let in_prefix = |path: &str| prefix.join(path).to_string_lossy().into_owned().into();
    vec![
        package("g++", "g++", "bpf-linker links the C++ standard library"),
        Package {
            name: format!("llvm-{major}-dev").into(),
            gives: in_prefix("bin/llvm-config"),
            why: "bpf-linker links the LLVM that rustc is built on",
        },
        Package {
            name: format!("libpolly-{major}-dev").into(),
            gives: in_prefix("lib/libPolly.a"),
            why: "a part of LLVM that llvm-config names",
        },
    ]
}

/// Where Debian puts LLVM `major`.
pub fn linker_prefix(major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{major}"))
}

impl Package {
    /// Whether what it gives is there, whoever put it there.
    pub fn is_there(&self) -> bool {
        find(&self.gives).is_some()
    }
}

/// The file that `program`, a name or an absolute path, stands for.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where administrators' programs are: on root's PATH, but not on everybody's.
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    // Joining an absolute path gives that path.
    env::split_paths(&path).chain(more).map(|directory| directory.join(program)).find(|file| is_file(file))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file())
}

const fn package(name: &'static str, gives: &'static str, why: &'static str) -> Package {
    Package { name: Cow::Borrowed(name), gives: Cow::Borrowed(gives), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_there_when_its_program_or_its_file_is() {
        assert!(package("any", "sh", "").is_there());
        assert!(package("any", "/bin/sh", "").is_there());
        assert!(!package("any", "no-such-program", "").is_there());
        assert!(!package("any", "/bin/no-such-program", "").is_there());
        assert!(!package("any", "/usr", "").is_there());
    }

    #[test]
    fn the_linker_is_built_against_the_llvm_asked_for() {
        let packages = to_build_the_linker(22);
        assert!(packages.iter().any(|package| package.name == "llvm-22-dev"));
        assert!(packages.iter().any(|package| package.gives == "/usr/lib/llvm-22/bin/llvm-config"));
    }
}
