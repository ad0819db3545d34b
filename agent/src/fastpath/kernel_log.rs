//! The XDP program's own log, forwarded to the agent's.
//!
//! Each loaded program has its own buffer of records, which is not pinned. So what a program logs
//! while no agent runs stays in that buffer until it is full and is lost when the next start
//! replaces the program; the level is that of the start which loaded it. With the level `off` the
//! kernel removes the program's logging altogether, and nothing is read here.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::Ebpf;
use aya_log::EbpfLogger;

use crate::config::KernelLog;

/// The level as the program's global has it: what is above is not logged.
pub(super) const fn threshold(level: KernelLog) -> u8 {
    match level {
        KernelLog::Off => 0,
        KernelLog::Error => 1,
        KernelLog::Warn => 2,
        KernelLog::Info => 3,
        KernelLog::Debug => 4,
        KernelLog::Trace => 5,
    }
}

/// Reads the records of the loaded program.
pub(super) struct Reader(EbpfLogger<ToTracing>);

impl Reader {
    /// Begins to read; none when there is nothing to read.
    pub fn of(ebpf: &mut Ebpf, level: KernelLog) -> Option<Self> {
        if level == KernelLog::Off {
            return None;
        }
        match EbpfLogger::init_with_logger(ebpf, ToTracing) {
            Ok(reader) => Some(Self(reader)),
            Err(error) => {
                tracing::warn!(%error, "the XDP program's log cannot be read");
                None
            }
        }
    }

    /// Readable when there are records.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forwards what is there.
    pub fn drain(&mut self) {
        self.0.flush();
    }
}

/// Hands aya's records to `tracing`, under one target so that they can be filtered as one.
struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (said, line) = (record.args(), record.line());
        match record.level() {
            log::Level::Error => tracing::error!(target: "xdhcpd::kernel", line, "{said}"),
            log::Level::Warn => tracing::warn!(target: "xdhcpd::kernel", line, "{said}"),
            log::Level::Info => tracing::info!(target: "xdhcpd::kernel", line, "{said}"),
            log::Level::Debug => tracing::debug!(target: "xdhcpd::kernel", line, "{said}"),
            log::Level::Trace => tracing::trace!(target: "xdhcpd::kernel", line, "{said}"),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_lets_nothing_through_and_each_level_one_more() {
        let levels = [
            KernelLog::Off,
            KernelLog::Error,
            KernelLog::Warn,
            KernelLog::Info,
            KernelLog::Debug,
            KernelLog::Trace,
        ];
        assert_eq!(levels.map(threshold), [0, 1, 2, 3, 4, 5]);
        assert_eq!(threshold(KernelLog::Warn), aya_log::Level::Warn as u8);
        assert_eq!(threshold(KernelLog::Trace), aya_log::Level::Trace as u8);
    }
}
