//! README's commands, to be run as they stand there.

use anyhow::{Context as _, Result};

const README: &str = include_str!("../../README.md");

/// The commands of a section's numbered steps, a script; the section has this heading.
pub fn steps(heading: &str) -> Result<String> {
    commands(heading, "   ```")
}

/// The commands of a section that belong to no step.
pub fn asides(heading: &str) -> Result<String> {
    commands(heading, "```")
}

/// What stands under a heading, up to the next.
pub fn section(heading: &str) -> Result<&'static str> {
    let (_, section) =
        README.split_once(&format!("\n{heading}\n")).with_context(|| format!("README has no {heading}"))?;
    Ok(section.split("\n#").next().unwrap_or_default())
}

/// What stands between fences that are indented so.
fn commands(heading: &str, fence: &str) -> Result<String> {
    let section = section(heading)?;
    let mut commands = String::new();
    let mut inside = false;
    for line in section.lines() {
        if inside && line == fence {
            inside = false;
        } else if inside {
            commands.push_str(line);
            commands.push('\n');
        } else {
            inside = line.strip_prefix(fence) == Some("sh");
        }
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_steps_and_those_beside_them_are_told_apart() {
        let heading = "#### Moving over from the BMC operator";
        let (steps, asides) = (steps(heading).unwrap(), asides(heading).unwrap());
        assert!(steps.contains("helm install") && !steps.contains("kubectl patch pv"), "{steps}");
        assert!(asides.contains("kubectl patch pv") && !asides.contains("helm"), "{asides}");
        assert!(super::steps("#### No such thing").is_err());
    }
}
