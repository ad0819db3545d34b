//! What a child prints, line by line, and what it logs, handed on to the log of this process with the
//! child's name beside it.
//!
//! A line of a child that logs as this binary does (in JSON) keeps its level and its fields; any other
//! line is a child's own way to say something, at the level `info`.

use std::fmt::Write as _;
use std::io;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// Where such lines stand in our log. Who logs for a child lets all of them through: the child has been told
/// what not to log.
pub const TARGET: &str = "xdhcpd::child";

/// The longest line that is read.
const LINE: usize = 1 << 16;

/// Lines; those that are too long or no text are left out.
#[derive(Debug)]
pub(super) struct Lines(LinesCodec);

impl Lines {
    pub fn new() -> Self {
        Self(LinesCodec::new_with_max_length(LINE))
    }

    /// The next that can be read. Each error is about one line, which is taken out of what is to
    /// be read.
    fn next(
        &mut self,
        bytes: &mut BytesMut,
        read: impl Fn(&mut LinesCodec, &mut BytesMut) -> Result<Option<String>, LinesCodecError>,
    ) -> Option<String> {
        loop {
            if let Ok(line) = read(&mut self.0, bytes) {
                return line;
            }
        }
    }
}

impl Decoder for Lines {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<String>> {
        Ok(self.next(bytes, LinesCodec::decode))
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<String>> {
        Ok(self.next(bytes, LinesCodec::decode_eof))
    }
}

/// A line of the log, as `tracing` writes it in JSON.
#[derive(Debug, Deserialize)]
struct Record {
    level: String,
    fields: Map<String, Value>,
}

/// Hands a line on.
pub(super) fn forward(child: &str, line: &str) {
    let Ok(Record { level, fields }) = serde_json::from_str(line) else {
        tracing::info!(target: TARGET, child, "{line}");
        return;
    };
    let said = text(&fields);
    match level.as_str() {
        "ERROR" => tracing::error!(target: TARGET, child, "{said}"),
        "WARN" => tracing::warn!(target: TARGET, child, "{said}"),
        "DEBUG" => tracing::debug!(target: TARGET, child, "{said}"),
        "TRACE" => tracing::trace!(target: TARGET, child, "{said}"),
        _ => tracing::info!(target: TARGET, child, "{said}"),
    }
}

/// The message, and the fields behind it, as a line for people has them.
fn text(fields: &Map<String, Value>) -> String {
    let mut text = fields.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        // Writing to a string does not fail.
        let _ = write!(text, " {name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_left_out() {
        let long = "x".repeat(LINE);
        let mut bytes = BytesMut::from(format!("{long}x\n{long}\nbetween\n").as_bytes());
        bytes.extend_from_slice(b"\xff\xfe\nlast");
        let mut lines = Lines::new();
        assert_eq!(lines.decode(&mut bytes).unwrap(), Some(long));
        assert_eq!(lines.decode(&mut bytes).unwrap().as_deref(), Some("between"));
        assert_eq!(lines.decode(&mut bytes).unwrap(), None);
        assert_eq!(lines.decode_eof(&mut bytes).unwrap().as_deref(), Some("last"));
        assert_eq!(lines.decode_eof(&mut bytes).unwrap(), None);
    }

    #[test]
    fn a_record_reads_as_its_own_log_would_show_it() {
        let line =
            r#"{"level":"WARN","fields":{"message":"put back","interface":"eth1","tries":2},"target":"x"}"#;
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(record.level, "WARN");
        assert_eq!(text(&record.fields), r#"put back interface="eth1" tries=2"#);
    }
}
