//! A small Linux to run in a guest: a kernel of Debian's, the modules it needs, and busybox.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::initramfs::{Initramfs, read};
use crate::{built, skip};

/// A kernel and what else an initramfs is made of.
#[derive(Debug)]
pub struct Linux {
    kernel: PathBuf,
    /// As `uname -r` prints it.
    release: String,
    modules: PathBuf,
    busybox: PathBuf,
}

impl Linux {
    /// That with the kernel of Debian's `suite`; where it was not fetched, the test `name` is noted
    /// as skipped.
    pub fn find(name: &str, suite: &str) -> Option<Self> {
        let found = Self::look(suite);
        if found.is_none() {
            skip::skipped(name, &format!("there is no Linux of {suite} here: cargo xtask real kernels"));
        }
        found
    }

    fn look(suite: &str) -> Option<Self> {
        let kernels = built::real().join("kernels").join(suite);
        let entry = fs::read_dir(kernels.join("lib/modules")).ok()?.next()?.ok()?;
        let release = entry.file_name().into_string().ok()?;
        let kernel = kernels.join(format!("boot/vmlinuz-{release}"));
        let busybox = built::real().join("busybox/bin/busybox");
        [&kernel, &busybox].iter().all(|file| file.is_file()).then_some(Self {
            kernel,
            release,
            modules: entry.path(),
            busybox,
        })
    }

    /// The kernel's release, as `uname -r` prints it.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The kernel's image.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// An initramfs that loads these modules, and those they need, then runs `script` and turns the
    /// machine off.
    pub fn initramfs(&self, modules: &[&str], script: &str) -> Result<Initramfs> {
        let of_kernel = |file: &str| read(&self.modules.join(file));
        let text = |file: &str| of_kernel(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (index, built_in) = (text("modules.dep")?, text("modules.builtin")?);
        let mut initramfs = Initramfs::new(&self.busybox, script)?;
        let root = format!("lib/modules/{}", self.release);
        let mut files = BTreeSet::new();
        let mut loaded = Vec::new();
        for module in modules.iter().filter(|module| !built_in.lines().any(|file| is_of(file, module))) {
            files.extend(with_what_it_needs(&index, module)?);
            loaded.push(*module);
        }
        for file in files {
            initramfs = initramfs.file(&format!("{root}/{file}"), &of_kernel(file)?);
        }
        let initramfs = initramfs.file("modules", loaded.join(" ").as_bytes());
        Ok(initramfs.file(&format!("{root}/modules.dep"), index.as_bytes()))
    }
}

/// The files of a module and of all that it depends on; each line of `modules.dep` has a file, a
/// colon and the files that it depends on, those of these included.
fn with_what_it_needs<'t>(index: &'t str, module: &str) -> Result<Vec<&'t str>> {
    let (file, needs) = index
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(file, _)| is_of(file, module))
        .with_context(|| format!("the kernel has no module {module}"))?;
    Ok([file].into_iter().chain(needs.split_whitespace()).collect())
}

/// Whether a file, compressed or not, is of this module. Names with `-` and `_` are the same.
fn is_of(file: &str, module: &str) -> bool {
    let name = file.rsplit('/').next().and_then(|name| name.split(".ko").next());
    name.is_some_and(|name| name.replace('-', "_") == module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_with_all_that_it_needs() {
        let index = "kernel/net/core/failover.ko:\nkernel/drivers/net/veth.ko:\n\
            kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko\n\
            kernel/drivers/virtio/virtio.ko:\nkernel/net/sched/sch-netem.ko.xz:\n";
        let needs = ["kernel/net/core/failover.ko", "kernel/drivers/virtio/virtio.ko"];
        let net = [&["kernel/drivers/net/virtio_net.ko"][..], &needs].concat();
        assert_eq!(with_what_it_needs(index, "virtio_net").unwrap(), net);
        assert_eq!(with_what_it_needs(index, "sch_netem").unwrap(), ["kernel/net/sched/sch-netem.ko.xz"]);
        let error = with_what_it_needs(index, "bonding").unwrap_err().to_string();
        assert_eq!(error, "the kernel has no module bonding");
    }
}
