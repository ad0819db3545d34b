//! Which core runs what, and how long it took there.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::EbpfLoader;
use aya::programs::{ProgramInfo, TestRun as _, TestRunOptions, Xdp};
use rustix::thread::{CpuSet, sched_setaffinity};
use xdhcpd_tests::built;
use xdhcpd_tests::netns::NetNs;

/// Where servers run.
pub const SERVER: usize = 0;
/// Where who asks them runs; on a machine of one core that is the same one.
pub const CLIENT: usize = 1;

/// Runs `work` on a core; what it starts stays there. Then this thread goes to the client's.
pub fn on<T>(core: usize, work: impl FnOnce() -> T) -> Result<T> {
    stay_on(core)?;
    let done = work();
    stay_on(CLIENT)?;
    Ok(done)
}

/// Keeps this thread on a core.
fn stay_on(core: usize) -> Result<()> {
    let cores = fs::read_to_string("/proc/cpuinfo")?.lines().filter(|l| l.starts_with("processor")).count();
    let mut set = CpuSet::new();
    set.set(core.min(cores.saturating_sub(1)));
    sched_setaffinity(None, &set).context("cannot stay on one core")
}

/// How long all processes in a namespace have run so far, on all cores.
pub fn time_of(namespace: &NetNs) -> Duration {
    let tasks = namespace
        .processes()
        .into_iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok());
    let times = tasks.flatten().flatten().filter_map(|task| {
        // Nanoseconds on a core come first (sched-stats.rst); a thread may end meanwhile.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    times.map(Duration::from_nanos).sum()
}

/// How long a pinned program has run so far, while the kernel keeps count, without what the counting takes.
pub fn time_of_program(pin: &Path) -> Result<Duration> {
    let info = ProgramInfo::from_pin(pin).with_context(|| format!("no program at {}", pin.display()))?;
    #[expect(clippy::cast_precision_loss, reason = "some billions of runs")]
    let counting = Duration::from_secs_f64(counting()? * info.run_count() as f64);
    Ok(info.run_time().saturating_sub(counting))
}

/// Seconds that the kernel counts for each run of a program that does nothing: it reads the clock twice.
fn counting() -> Result<f64> {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    if let Some(measured) = MEASURED.get() {
        return Ok(*measured);
    }
    let mut loaded = EbpfLoader::new().load_file(built::target().join("ebpf/bench.o"))?;
    let nothing: &mut Xdp = loaded.program_mut("nothing").context("the program nothing")?.try_into()?;
    nothing.load()?;
    let options = TestRunOptions { data_in: Some(&[0; 64]), repeat: 1 << 20, ..TestRunOptions::default() };
    nothing.test_run(options)?;
    let info = nothing.info()?;
    ensure!(info.run_count() > 0, "the kernel does not count programs' time");
    #[expect(clippy::cast_precision_loss, reason = "a million runs")]
    let measured = info.run_time().as_secs_f64() / info.run_count() as f64;
    Ok(*MEASURED.get_or_init(|| measured))
}

/// The bytes that a pinned map takes in the kernel.
pub fn size_of_map(pin: &Path) -> Result<u64> {
    let map = aya::maps::MapData::from_pin(pin).with_context(|| format!("no map at {}", pin.display()))?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
    let value = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
    Ok(value.trim().parse()?)
}

/// The bytes of memory that all processes in a namespace hold for themselves.
pub fn memory_of(namespace: &NetNs) -> u64 {
    let sizes = namespace.processes().into_iter().filter_map(|process| {
        let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    sizes.sum::<u64>() * 1024
}
