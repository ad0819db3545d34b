//! What a process must not forget of the one before it, whatever of that is on disk.

use super::super::rules::Rule;
use super::staged::{A, C, needs};
use super::world::{Without, World};

#[test]
fn what_is_promised_again_does_not_end_what_an_earlier_process_promised() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.crash(A, false);
        world.start(A, true);
        // Its next answer is for a short while, and is lost.
        let reply = world.asks_for(C, A, true, 1, false).unwrap();
        world.reply(A, reply);
        world.frames.clear();
        Ok(())
    };
    needs(Without::Rule(Rule::FormerAnswers), story, 80);
}
