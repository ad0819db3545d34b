//! Children made of shell scripts, started, killed and stopped for real.

use std::time::Duration;

use super::*;

const RULE: Rule =
    Rule { min_interval: Duration::from_millis(400), window: Duration::from_mins(1), max_failures: 2 };

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

fn job(order: &str) -> Job {
    Job { order: order.to_owned(), rule: RULE, limits: Limits::default() }
}

fn child(script: &str) -> Child {
    let arguments = ["-c".into(), script.into()];
    let spec = Spec { name: "test", program: "/bin/sh".into(), arguments: arguments.to_vec() };
    Child::new(spec, watch::Sender::default()).unwrap()
}

/// Waits until its status is so.
async fn becomes(child: &Child, what: &str, so: impl FnMut(&Status) -> bool) -> Status {
    let mut status = child.status();
    let found = tokio::time::timeout(LONG, status.wait_for(so)).await;
    found
        .unwrap_or_else(|_| panic!("{what}, in vain: {:?}", child.status().borrow().clone()))
        .unwrap()
        .clone()
}

/// Waits until it has said this.
async fn says(child: &Child, line: &str) -> Status {
    becomes(child, line, |status| status.said.as_deref() == Some(line)).await
}

fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn each_order_reaches_the_child_and_its_last_word_is_known() {
    let child = child("while read order; do echo heard $order; done");
    assert_eq!(child.status().borrow().state, State::Stopped);
    child.want(Some(job("one")));
    assert_eq!(says(&child, "heard one").await.state, State::Running);
    child.want(Some(job("two")));
    assert_eq!(says(&child, "heard two").await.restarts, 0, "it is the same process");
}

#[tokio::test]
async fn a_child_that_is_killed_is_started_again_at_once_with_its_order() {
    let child = child("read order; echo $order $$; exec sleep 100");
    child.want(Some(job("go")));
    let first = becomes(&child, "its number", |status| status.said.is_some()).await.said.unwrap();
    let process = first.strip_prefix("go ").unwrap();
    assert!(std::process::Command::new("kill").args(["-KILL", process]).status().unwrap().success());
    let again =
        becomes(&child, "another", |status| status.said.as_ref().is_some_and(|said| **said != *first));
    let again = again.await;
    assert_eq!((again.state, again.restarts), (State::Running, 1));
    assert!(again.said.unwrap().starts_with("go "));
}

#[tokio::test]
async fn who_fails_in_a_row_is_given_up_until_there_is_another_job() {
    let child = child("read order; test $order = good || exit 7; echo $order; exec sleep 100");
    child.want(Some(job("bad")));
    let begun = std::time::Instant::now();
    let fatal = becomes(&child, "the end", |status| status.state == State::Fatal).await;
    assert_eq!(fatal.restarts, 2);
    assert!(begun.elapsed() >= RULE.min_interval, "the second restart is not at once");
    child.want(Some(job("good")));
    assert_eq!(says(&child, "good").await.state, State::Running);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failure_as_any_other() {
    let spec = Spec { name: "test", program: "/nowhere".into(), arguments: Vec::new() };
    let child = Child::new(spec, watch::Sender::default()).unwrap();
    let rule = Rule { max_failures: 0, ..RULE };
    child.want(Some(Job { rule, ..job("") }));
    becomes(&child, "the end", |status| status.state == State::Fatal).await;
}

#[tokio::test]
async fn between_its_end_and_its_next_start_a_killed_one_is_told_from_one_that_left() {
    let rule = Rule { min_interval: LONG, ..RULE };
    for (script, state) in [("kill -KILL $$", State::Killed), ("exit 0", State::Stopped)] {
        let child = child(script);
        child.want(Some(Job { rule, ..job("") }));
        becomes(&child, "a pause", |status| status.restarts == 1 && status.state == state).await;
    }
}

#[tokio::test]
async fn what_is_not_wanted_any_more_ends_also_where_it_ignores_being_asked() {
    for script in ["echo $$; exec sleep 100", "trap '' TERM; echo $$; while :; do sleep 1; done"] {
        let child = child(script);
        child.want(Some(job("")));
        let process = becomes(&child, "its number", |status| status.said.is_some()).await.said.unwrap();
        assert!(is_alive(&process));
        child.want(None);
        tokio::time::timeout(LONG, async {
            while is_alive(&process) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        becomes(&child, "its end", |status| status.state == State::Stopped).await;
    }
}

#[tokio::test]
async fn dropping_the_handle_waits_for_the_end() {
    let child = child("echo $$; exec sleep 100");
    child.want(Some(job("")));
    let process = becomes(&child, "its number", |status| status.said.is_some()).await.said.unwrap();
    drop(child);
    assert!(!is_alive(&process));
}

#[test]
fn a_child_of_who_ends_without_a_word_is_killed_by_the_kernel() {
    // It reads nothing, so that the end of its stdin tells it nothing.
    let arguments = ["-c".into(), "echo $$; exec sleep 100".into()];
    let spec = Spec { name: "test", program: "/bin/sh".into(), arguments: arguments.to_vec() };
    let (sender, receiver) = std::sync::mpsc::channel();
    // The kernel counts the thread that started a child as its parent.
    let parent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut process = runtime.block_on(process::Process::start(&spec, &job(""))).unwrap();
        let number = runtime.block_on(process.next_line()).unwrap();
        assert!(is_alive(&number));
        sender.send(number).unwrap();
        // Nothing of ours ends it.
        std::mem::forget((process, runtime));
    });
    let process = receiver.recv().unwrap();
    parent.join().unwrap();
    let begun = std::time::Instant::now();
    while is_alive(&process) {
        assert!(begun.elapsed() < LONG, "it lives on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_left_out() {
    let child = child("head -c 100000 /dev/zero | tr '\\0' x; echo; echo after; exec sleep 100");
    child.want(Some(job("")));
    says(&child, "after").await;
}

#[tokio::test]
async fn where_nothing_can_be_limited_the_child_runs_all_the_same() {
    let child = child("read order; echo $order; exec sleep 100");
    let limits = Limits { cpu: Some(500), memory: Some(64 << 20) };
    child.want(Some(Job { limits, ..job("limited") }));
    says(&child, "limited").await;
}
