//! Two agents of one ClusterAgent, as on two nodes of one network: whatever becomes of the one that answers, no
//! address is two clients' at one time, and no client that has one waits for long.
//!
//! All is judged at the clients' end of the wire, where known clients ask without a break and others come, stay
//! for a while and go.
//!
//! - [`scene`]: the nodes, and what may befall them
//! - [`clients`]: who asks

mod clients;
mod scene;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xdhcpd_tests::cluster_agent::CONVERGED;
use xdhcpd_tests::exchange::{from_client, message};
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

use crate::clients::{Renewing, lease};
use crate::scene::{LONGEST_GAP, Node, SELF_IP, Scene, scene, scene_with};

/// A server that is none of ours.
const STRANGER: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 1, 0x66], [10, 9, 0, 66]);

/// How long peers hear each other: enough for one that is none to be told of.
const PEERS: Duration = Duration::from_secs(20);

/// For how long the leader is stopped.
const STOPPED: Duration = Duration::from_mins(1);

#[test]
fn the_death_of_the_agent_that_answers_costs_seconds_and_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.nodes[0].agent.stop("KILL")?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(20));
        let Node { agent, namespace } = &mut scene.nodes[0];
        agent.restart(namespace)?;
        thread::sleep(Duration::from_secs(10));
        ensure!(!scene.nodes[0].leads()?, "who comes back stands by");
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn a_stranger_is_told_of_beside_a_peer_that_answers() -> Result<()> {
    let Some(scene) = scene()? else { return Ok(()) };
    let (clients, stranger) = (Tap::open(&scene.clients, "c0")?, Tap::open(&scene.clients, "c0")?);
    let mut macs = (0..16).cycle().map(|number| [2, 7, 0, 0, 1, number]);
    let mut one_is_answered = || -> Result<()> {
        lease(&clients, macs.next().context("without end")?)?;
        thread::sleep(Duration::from_millis(50));
        Ok(())
    };
    let begun = Instant::now();
    while begun.elapsed() < PEERS {
        one_is_answered()?;
    }
    scene.check_that_none_is_a_stranger()?;
    let offer = from_client(message::OFFER, [2, 7, 0, 0, 0, 1]).with(|frame| {
        (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
        (frame.source, frame.from) = STRANGER;
    });
    wait::until_true("both to tell of the stranger", CONVERGED, || {
        stranger.send(&offer.build())?;
        one_is_answered()?;
        let told = |node: &Node| node.strangers().map(|(count, lines)| count > 0 && !lines.is_empty());
        Ok(told(&scene.nodes[0])? && told(&scene.nodes[1])?)
    })?;
    for node in &scene.nodes {
        let (_, lines) = node.strangers()?;
        ensure!(lines.iter().all(|line| line.contains("10.9.0.66 (02:00:00:00:01:66)")), "{lines:?}");
    }
    Ok(())
}

#[test]
fn a_node_that_is_lost_and_comes_back_breaks_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.lose(0)?;
        scene.wait_until_one_leads(1)?;
        scene.new_client_gets_one([2, 7, 0, 0, 0, 2])?;
        thread::sleep(Duration::from_secs(30));
        scene.find_again(0)?;
        wait::until_true("who comes back to stand by", CONVERGED, || Ok(!scene.nodes[0].leads()?))?;
        scene.new_client_gets_one([2, 7, 0, 0, 0, 3])?;
        thread::sleep(Duration::from_secs(15));
        ensure!(scene.nodes[1].leads()? && !scene.nodes[0].leads()?, "who comes back stands by");
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn the_address_of_who_answers_moves_with_that_and_clients_find_it() -> Result<()> {
    let line = format!("selfIp: {SELF_IP}/16");
    // Who asks hosts how they are tells them by that where the address is.
    let Some(mut scene) = scene_with(&[&line, "enableDhcpDiscovery: false"])? else { return Ok(()) };
    let one_has_it = |scene: &Scene, number: usize| -> Result<()> {
        wait::until_true("one alone to have the address", CONVERGED, || {
            let has = [scene.nodes[0].has_self_ip()?, scene.nodes[1].has_self_ip()?];
            Ok(has[number] && !has[1 - number])
        })
    };
    one_has_it(&scene, 0)?;
    scene.while_clients_ask(|scene| {
        let renewing = Renewing::begin(&scene.clients)?;
        let end = AtomicBool::new(false);
        let longest = thread::scope(|scope| -> Result<Duration> {
            let longest = scope.spawn(|| renewing.renew_until(&end));
            let worked = (|| {
                thread::sleep(Duration::from_secs(5));
                scene.lose(0)?;
                scene.wait_until_one_leads(1)?;
                ensure!(scene.nodes[1].has_self_ip()?, "it comes with the part");
                thread::sleep(Duration::from_secs(20));
                scene.find_again(0)?;
                one_has_it(scene, 1)?;
                thread::sleep(Duration::from_secs(20));
                one_has_it(scene, 1)?;
                ensure!(scene.nodes[1].leads()?, "who comes back stands by");
                // The other way round, and by a crash.
                scene.nodes[1].agent.stop("KILL")?;
                scene.wait_until_one_leads(0)?;
                thread::sleep(Duration::from_secs(20));
                let Node { agent, namespace } = &mut scene.nodes[1];
                agent.restart(namespace)?;
                one_has_it(scene, 0)?;
                thread::sleep(Duration::from_secs(10));
                one_has_it(scene, 0)
            })();
            end.store(true, Ordering::Release);
            let longest = longest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked.and(longest)
        })?;
        println!("a client that renews by unicast waited for {longest:?} at the longest");
        assert!(longest < LONGEST_GAP, "a client that renews by unicast waited for {longest:?}");
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn whom_nobody_answers_one_does_that_cannot_see_who_leads() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        for node in &scene.nodes {
            scene.cluster.cut_off(&node.namespace)?;
        }
        scene.nodes[1].agent.wait_for_log("whom nobody answers this one does")?;
        ensure!(scene.nodes[0].leads()?, "who has lost the API server answers on");
        scene.nodes[0].agent.stop("KILL")?;
        scene.nodes[0].agent.run(&["detach"])?;
        let mut given = Vec::new();
        for number in 10..13 {
            given.push(scene.new_client_gets_one([2, 7, 0, 0, 0, number])?);
        }
        thread::sleep(Duration::from_secs(20));
        ensure!(!scene.nodes[1].leads()?, "it does not know");
        scene.cluster.reconnect(&scene.nodes[1].namespace)?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(10));
        println!("{given:?}");
        Ok(())
    })
}

#[test]
fn an_agent_that_the_api_server_is_away_from_and_its_follower_break_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.cluster.cut_off(&scene.nodes[0].namespace)?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(30));
        scene.cluster.reconnect(&scene.nodes[0].namespace)?;
        wait::until_true("one agent to answer", CONVERGED, || {
            Ok(scene.nodes[0].leads()? != scene.nodes[1].leads()?)
        })?;
        thread::sleep(Duration::from_secs(10));
        Ok(())
    })
}

#[test]
fn an_agent_that_is_stopped_for_a_minute_goes_on_without_breaking_a_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.nodes[0].signal("STOP")?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(STOPPED);
        scene.nodes[0].signal("CONT")?;
        thread::sleep(Duration::from_secs(15));
        ensure!(scene.nodes[0].leads()? != scene.nodes[1].leads()?, "one alone leads in the end");
        scene.check_that_none_is_a_stranger()
    })
}
