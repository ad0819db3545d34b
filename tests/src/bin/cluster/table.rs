//! What was done, how long it took, and what was seen: said as it happens, and once more as a table.

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How often a step that goes on says so.
const BEAT: Duration = Duration::from_secs(5);

/// The steps so far.
#[derive(Debug)]
pub struct Steps {
    began: Instant,
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    what: &'static str,
    took: Duration,
    seen: String,
}

impl Steps {
    /// None yet.
    pub fn start() -> Self {
        Self { began: Instant::now(), done: Vec::new() }
    }

    /// Does a step, which says what was seen of it.
    pub fn take<T>(&mut self, what: &'static str, step: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        let all_began = self.began;
        self.say(&format!("{what} …"));
        let began = Instant::now();
        let (value, seen) = thread::scope(|scope| {
            let (_over, over) = mpsc::channel::<()>();
            scope.spawn(move || {
                while over.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                    say(all_began, &format!("{what} …"));
                }
            });
            step()
        })?;
        let took = began.elapsed();
        self.say(&format!("{what}: {seen}"));
        self.done.push(Step { what, took, seen });
        Ok(value)
    }

    /// A line on the screen.
    pub fn say(&self, line: &str) {
        say(self.began, line);
    }
}

fn say(began: Instant, line: &str) {
    println!("[{:6.1}s] {line}", began.elapsed().as_secs_f32());
}

/// Shows what a command prints, below the command.
pub fn show(command: &str, output: &str) {
    println!("\n    $ {command}");
    output.lines().for_each(|line| println!("    {line}"));
    println!();
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>9}    seen", "step", "took")?;
        for Step { what, took, seen } in &self.done {
            writeln!(f, "{what:<24}{:>7.1} s    {seen}", took.as_secs_f32())?;
        }
        write!(f, "{:<24}{:>7.1} s", "all of it", self.began.elapsed().as_secs_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_step_that_was_done() {
        let mut steps = Steps::start();
        let value = steps.take("a node", || Ok((7, "it is ready".into()))).unwrap();
        assert_eq!(value, 7);
        assert!(steps.take("more", || Err::<((), String), _>(anyhow::anyhow!("no"))).is_err());
        let table = steps.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[1].starts_with("a node ") && lines[1].ends_with("    it is ready"), "{table}");
    }
}
