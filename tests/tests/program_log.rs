//! The program's log: it loads and answers at every level, and says what the level is for.

use aya::maps::RingBuf;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::maps::{Server, ServerFlags};
use xdhcpd_tests::frames::CLIENT;
use xdhcpd_tests::program::{DROP, Program};
use xdhcpd_tests::scene::*;

/// Both thresholds, as the agent sets them: the program's own, and that of aya's macros.
const THRESHOLDS: [&str; 2] = ["LOG_LEVEL", "AYA_LOG_LEVEL"];

/// aya-log's numbers, from "off" to "trace".
const LEVELS: [u8; 6] = [0, 1, 2, 3, 4, 5];

/// The scene with a level of the log.
fn scene_at(level: u8) -> Scene {
    let mut program = Program::load_object(|loader| {
        for threshold in THRESHOLDS {
            loader.override_global(threshold, &level, true);
        }
    })
    .expect("the kernel takes the program");
    program.serve(wire(), Server { flags: ServerFlags::CHECK_SOURCE, ..server() });
    program.set_template(0, template());
    program.set_lease(key(), lease());
    Scene(program)
}

/// Takes the lines out of the log, as bytes: the client's MAC is in each.
fn lines(scene: &mut Scene) -> usize {
    let logs = scene.0.ebpf().map_mut("AYA_LOGS").expect("AYA_LOGS");
    let mut ring = RingBuf::try_from(logs).expect("a ring");
    let mut lines = 0;
    while let Some(line) = ring.next() {
        assert!(line.windows(CLIENT.len()).any(|part| part == CLIENT), "{line:?}");
        lines += 1;
    }
    lines
}

#[test]
fn it_loads_at_every_level_and_says_what_that_is_for() {
    if Program::load().is_none() {
        return;
    }
    for level in LEVELS {
        let mut scene = scene_at(level);
        scene.answer(&discover());
        scene.answer(&renewing());
        assert_eq!(lines(&mut scene), if level >= 3 { 2 } else { 0 }, "answers at level {level}");
        scene.passes_built(&reboot().option(52, &[1]), Counter::RareOption);
        assert_eq!(lines(&mut scene), usize::from(level >= 4), "what goes up, at level {level}");
        let forged = scene.run(&discover().with(|frame| frame.chaddr[5] ^= 1));
        assert_eq!(forged.action, DROP);
        assert_eq!(lines(&mut scene), usize::from(level >= 3), "what is dropped, at level {level}");
    }
}
