//! Printing data: once, or again each second while it is watched.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::failure::{Failure, note};

/// How often a watched report is asked for.
const EACH: Duration = Duration::from_secs(1);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Where a report comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The agent.
    Agent,
    /// The pinned maps: the agent is not running.
    Pins,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// As JSON, an object a line.
    pub json: bool,
    /// Again each second, until it is interrupted.
    pub watch: bool,
}

/// Asks for a report and prints it, in the way that is asked for.
pub async fn report<T: Serialize + PartialEq>(
    style: Style,
    ask: impl AsyncFn() -> Result<(T, Origin), Failure>,
    show: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    if style.watch {
        return tokio::select! {
            ended = watch(style.json, ask, show) => ended,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Failure::failed("cannot wait for an interrupt", error))
            }
        };
    }
    let (report, origin) = ask().await?;
    tell(origin);
    let text = if style.json { line_of(&report)? } else { show(&report) };
    print(&text).map(drop)
}

async fn watch<T: Serialize + PartialEq>(
    json: bool,
    ask: impl AsyncFn() -> Result<(T, Origin), Failure>,
    show: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let mut seconds = interval(EACH);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let redraw = io::stdout().is_terminal();
    let mut last: Option<(T, Origin)> = None;
    loop {
        seconds.tick().await;
        let (report, origin) = ask().await?;
        let changed_origin = last.as_ref().is_none_or(|(_, before)| *before != origin);
        let changed = last.as_ref().is_none_or(|(before, _)| *before != report);
        let text = match (json, redraw) {
            (true, _) if !changed => String::new(),
            (true, _) => line_of(&report)?,
            (false, true) => format!("{CLEAR}{}", show(&report)),
            (false, false) => format!("{}\n", show(&report)),
        };
        if print(&text)? == Reader::Gone {
            return Ok(());
        }
        // After the table, which would wipe it away.
        if changed_origin || (redraw && !json) {
            tell(origin);
        }
        last = Some((report, origin));
    }
}

fn tell(origin: Origin) {
    if origin == Origin::Pins {
        note("the agent is not running; this is what it left pinned in the kernel");
    }
}

fn line_of(report: &impl Serialize) -> Result<String, Failure> {
    let mut line =
        serde_json::to_string(report).map_err(|error| Failure::failed("cannot write JSON", error))?;
    line.push('\n');
    Ok(line)
}

/// Whether anybody reads our output still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody does.
    There,
    /// Nobody: `| head` has seen enough, which is no failure.
    Gone,
}

/// Writes to stdout.
pub fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::failed("cannot write to stdout", error)),
    }
}

/// Prints JSON on one line.
pub fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    print(&line_of(report)?).map(drop)
}

/// Lines up columns; the last is not padded. Control characters, which a client may have put into a
/// name, become `?`: a terminal would obey them.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let clean: String = cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            line.extend([format!("{clean:<width$}  ")]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows =
            [vec!["A".into(), "LONG".into(), "Z".into()], vec!["ccc".into(), "é".into(), String::new()]];
        assert_eq!(table(&rows), "A    LONG  Z\nccc  é\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(table(&[vec!["a\x1b[2Jb\n".into()]]), "a?[2Jb?\n");
    }
}
