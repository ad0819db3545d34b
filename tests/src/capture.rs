//! Captures an interface while a test goes on, and has tshark judge the replies.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::netns::{NetNs, succeed};
use crate::tap::{Frame, Tap};

/// How often a capture looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Replies of a server in which tshark finds something to warn of, or checksums that are wrong. A host
/// that was not waiting for a reply may quote it in an ICMP message: that is not the server's.
const FAULTS: &str = "dhcp.type == 2 && !icmp && (_ws.malformed || _ws.expert.severity >= 0x600000 \
    || ip.checksum.status == 0 || udp.checksum.status == 0)";

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Capture {
    /// Starts it: every frame from here on is kept.
    ///
    /// On the client's side of a veth pair it sees what the kernel answers as well, which on the
    /// server's side never comes past a packet socket.
    pub fn start(namespace: &NetNs, interface: &str) -> Result<Self> {
        let tap = Tap::open(namespace, interface)?;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (Arc::clone(&frames), Arc::clone(&end));
        let thread = std::thread::Builder::new().name("capture".into()).spawn(move || {
            // All that is there is read before the end is looked at: what came before it is kept.
            loop {
                match tap.receive(LOOK)? {
                    Some(frame) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(frame),
                    None if ended.load(Ordering::Acquire) => return Ok(()),
                    None => {}
                }
            }
        })?;
        Ok(Self { frames, end, thread: Some(thread) })
    }

    /// The frames so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The frames since this was last asked; they are kept no longer.
    pub fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it, and gives what it saw.
    pub fn finish(mut self) -> Result<Captured> {
        self.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(Captured { frames: self.frames() })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
    }
}

/// What a capture saw.
#[derive(Debug)]
pub struct Captured {
    /// The frames, in their order.
    pub frames: Vec<Frame>,
}

impl Captured {
    /// Has tshark look at every reply; an error shows the faulty ones as tshark would. Gives how
    /// many replies there are.
    pub fn judge(&self) -> Result<usize> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("capture.pcap");
        fs::write(&file, pcap(&self.frames)).context("writing the capture")?;
        judge(&file)
    }
}

/// Has tshark look at every reply in a file; an error shows the faulty ones as tshark would. Gives
/// how many replies there are.
pub fn judge(pcap: &Path) -> Result<usize> {
    let faulty = tshark(pcap, &["-V", "-Y", FAULTS])?;
    if !faulty.trim().is_empty() {
        bail!("tshark finds fault with these replies:\n{faulty}");
    }
    let replies = tshark(pcap, &["-Y", "dhcp.type == 2 && !icmp", "-T", "fields", "-e", "frame.number"])?;
    Ok(replies.lines().count())
}

/// What tshark prints of a file, with checksums verified.
pub fn tshark(pcap: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(pcap).arg("-n");
    command.args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    let output = succeed(command.args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A pcap file of Ethernet frames with times in nanoseconds
/// (draft-ietf-opsawg-pcap, magic number 0xa1b23c4d).
pub fn pcap(frames: &[Frame]) -> Vec<u8> {
    const LONGEST: u32 = 65_535;
    const ETHERNET: u32 = 1;
    let mut file = Vec::new();
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        for word in words {
            file.extend(word.to_le_bytes());
        }
    };
    words(&mut file, &[0xa1b2_3c4d, 0x0004_0002, 0, 0, LONGEST, ETHERNET]);
    for frame in frames {
        let at = frame.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.bytes.len()).unwrap_or(LONGEST);
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        words(&mut file, &[seconds, at.subsec_nanos(), length, length]);
        file.extend(&frame.bytes);
    }
    file
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::frames::FrameBuilder;
    use crate::skip;

    fn offer() -> FrameBuilder {
        FrameBuilder::message(2).option(54, &[10, 9, 0, 2]).option(51, &[0, 0, 14, 16]).with(|frame| {
            frame.kind[0] = 2;
            (frame.from_port, frame.to_port) = (67, 68);
        })
    }

    fn judged(bytes: Vec<u8>) -> Result<usize> {
        Captured { frames: vec![Frame { at: SystemTime::now(), bytes }] }.judge()
    }

    #[test]
    fn tshark_finds_fault_with_what_is_wrong_and_with_nothing_else() {
        if !skip::is_there(&skip::this_test(), "tshark", "tshark") {
            return;
        }
        assert_eq!(judged(offer().build()).unwrap(), 1);
        let mut checksum = offer().build();
        *checksum.last_mut().unwrap() ^= 1;
        // An option that says it is longer than what is left.
        let cut = offer().raw_options(&[15, 200, b'x']).with(|frame| frame.end = false).build();
        let length = offer().option(3, &[10, 9, 0]).build();
        for (what, frame) in [("checksum", checksum), ("cut", cut), ("length", length)] {
            let error = judged(frame).expect_err(what).to_string();
            assert!(error.contains("Dynamic Host Configuration Protocol"), "{what}: {error}");
        }
    }

    #[test]
    fn requests_are_not_judged() {
        if skip::is_there(&skip::this_test(), "tshark", "tshark") {
            let mut frame = FrameBuilder::message(1).build();
            *frame.last_mut().unwrap() ^= 1;
            assert_eq!(judged(frame).unwrap(), 0);
        }
    }
}
