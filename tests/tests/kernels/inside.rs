//! Test binaries of this machine's in a guest: all of them lie where they lie here, and so does what
//! they use.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use xdhcpd_tests::guest::{Guest, Initramfs};
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::{built, corpus, program, skip};

use crate::lab;

/// Programs that tests start, and that busybox has not, or not with all that it takes.
const TOOLS: [&str; 4] = ["ip", "nsenter", "bpftool", "ethtool"];
/// What there is for interfaces that tests make.
const MODULES: [&str; 1] = ["veth"];
/// Room for the archive, for what is unpacked from it, and for what runs.
const MEMORY: u32 = 1024;
/// Where tests of the guest say that they were skipped.
const SKIPS: &str = "/tmp/skips";
/// How long one binary may take: a minute on an idle machine.
const LIMIT: Duration = Duration::from_mins(5);

/// A guest with test binaries.
pub struct Inside {
    guest: Guest,
    release: String,
    binaries: Vec<PathBuf>,
    _lab: lab::Place,
}

impl Inside {
    /// Starts it; none where that cannot be, which is noted.
    pub fn boot(binaries: &[PathBuf]) -> Result<Option<Self>> {
        let Some(place) = lab::Place::find()? else { return Ok(None) };
        let mut initramfs = place.initramfs(&MODULES)?;
        for program in binaries.iter().chain([&Agent::binary()]) {
            initramfs = initramfs.executable(&inside(program)?, program)?;
        }
        for tool in TOOLS {
            if let Some(file) = skip::find(tool) {
                initramfs = initramfs.executable(&format!("bin/{tool}"), &file)?;
            }
        }
        let object = fs::read(program::object()).context("the XDP program: cargo xtask build-ebpf")?;
        initramfs = initramfs.file(&inside(&program::object())?, &object);
        initramfs = with_folder(initramfs, &corpus::folder("frames"))?;
        let guest = place.start(initramfs, |machine| machine.memory(MEMORY))?;
        let release = place.linux.release().to_owned();
        Ok(Some(Self { guest, release, binaries: binaries.to_vec(), _lab: place }))
    }

    /// Runs all of the binaries; an error when a test of any failed, after the last.
    pub fn run_all(&mut self) -> Result<()> {
        let mut failed = Vec::new();
        for binary in self.binaries.clone() {
            let name = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !self.run(&binary).with_context(|| name.clone())? {
                failed.push(name);
            }
        }
        self.tell_skips()?;
        ensure!(failed.is_empty(), "tests failed on Linux {}: {failed:?}; see above", self.release);
        Ok(())
    }

    /// Runs one binary; whether all of its tests passed.
    fn run(&mut self, binary: &Path) -> Result<bool> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).display();
        let target = fs::canonicalize(built::target())?;
        let command = format!(
            "cd {folder} && CARGO_TARGET_DIR={} {}={SKIPS} {} --test-threads=1",
            target.display(),
            skip::SKIPS,
            binary.display()
        );
        let (status, printed) = self.guest.try_run(&command, LIMIT)?;
        // Past what captures the output of tests: it is for whoever counts ours.
        let mut stdout = std::io::stdout().lock();
        write!(stdout, "\n{} on Linux {}:{printed}", binary.display(), self.release)?;
        stdout.flush()?;
        ensure!(printed.contains("\ntest result: "), "it ended early, with exit status {status}");
        Ok(status == 0)
    }

    /// Says again here what was skipped there.
    fn tell_skips(&mut self) -> Result<()> {
        let skips = self.guest.run(&format!("touch {SKIPS}; cat {SKIPS}"), LIMIT)?;
        for line in skips.lines() {
            let (name, reason) = line.split_once('\t').unwrap_or((line, "it gives no reason"));
            skip::skipped(name, &format!("on Linux {}: {reason}", self.release));
        }
        Ok(())
    }
}

/// The test binaries of this package whose names begin so, in their newest builds, by name.
pub fn newest(prefix: &str) -> Result<Vec<PathBuf>> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a binary lies in a folder")?;
    let mut newest: BTreeMap<String, (SystemTime, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(test_name).map(str::to_owned) else { continue };
        if !name.starts_with(prefix) {
            continue;
        }
        let built = entry.metadata()?.modified()?;
        if newest.get(&name).is_none_or(|(other, _)| *other < built) {
            newest.insert(name, (built, entry.path()));
        }
    }
    ensure!(!newest.is_empty(), "no test binary {prefix}… is built: cargo build --workspace --all-targets");
    Ok(newest.into_values().map(|(_, path)| path).collect())
}

/// The name of a test in the name of its binary, which cargo puts a hash behind.
fn test_name(file: &str) -> Option<&str> {
    let (name, hash) = file.rsplit_once('-')?;
    (hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// A path here as a path in the archive.
fn inside(path: &Path) -> Result<String> {
    let real = fs::canonicalize(path).with_context(|| format!("looking for {}", path.display()))?;
    Ok(real.strip_prefix("/")?.to_str().context("a path that is no text")?.to_owned())
}

/// Adds all files of a folder.
fn with_folder(mut initramfs: Initramfs, folder: &Path) -> Result<Initramfs> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        initramfs = initramfs.file(&inside(&path)?, &fs::read(&path)?);
    }
    Ok(initramfs)
}
