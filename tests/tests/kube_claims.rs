//! What agents that share networks publish to each other, through a real API server and with exactly the rights that
//! the chart gives them: whatever that server does, and whatever somebody does to the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd::claims::{At, Clock, FOREVER, Slot, Span, Wants};
use xdhcpd::kube::claims::guards;
use xdhcpd::kube::client::Kubernetes;
use xdhcpd_tests::claimants::{AGREED, AHEAD, Claimant, Place, block_id, client, network, until, wants};
use xdhcpd_tests::cluster_agent::{self, ACCOUNT, agent_name, kubeconfig, manifest};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{self, NetNs};
use xdhcpd_tests::rights::Audit;
use xdhcpd_tests::{skip, wait};

/// As long as any test.
const LONG: Duration = Duration::from_mins(5);

/// What agents publish; what else they do has a test of its own.
const PUBLISHED: [&str; 2] = ["addressblocks", "agentterms"];

/// A ClusterAgent without an agent.
fn place(cluster: &Cluster) -> Result<Place> {
    cluster_agent::install_definitions(cluster)?;
    let cluster_agent = agent_name();
    cluster.apply(&manifest(&cluster_agent, "s0", &[]))?;
    Ok(Place { namespace: cluster.home().to_owned(), kubeconfig: kubeconfig(cluster)?, cluster_agent })
}

/// With a cluster that all tests of this process share.
fn shared() -> Result<Option<(Arc<Cluster>, Place)>> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    let place = place(&cluster)?;
    Ok(Some((cluster, place)))
}

/// With one that the test can stop.
fn own(arguments: &[&str]) -> Result<Option<(Cluster, Place)>> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(None);
    }
    let cluster = Cluster::start_with(arguments)?;
    let place = place(&cluster)?;
    Ok(Some((cluster, place)))
}

fn block_name(place: &Place) -> String {
    format!("{}-10-9-0-0", place.cluster_agent)
}

fn block(cluster: &Cluster, place: &Place) -> Result<Value> {
    cluster.get_json("addressblock", &block_name(place))?.context("the block")
}

/// Agents, each with a folder, that have all that they want to have.
fn agents<const N: usize>(place: &Place, folders: &[&Path; N]) -> Result<[Claimant; N]> {
    let started: Result<Vec<Claimant>> =
        folders.iter().map(|folder| Claimant::start(place, folder)).collect();
    let mut all: [Claimant; N] = started?.try_into().map_err(|_| anyhow::anyhow!("as many as folders"))?;
    until("each to have claims", &mut all, |all| Ok(all.iter().all(|one| one.free().len() >= AHEAD)))?;
    Ok(all)
}

fn folders<const N: usize>() -> Result<[tempfile::TempDir; N]> {
    let made: Result<Vec<_>, _> = (0..N).map(|_| tempfile::tempdir()).collect();
    made?.try_into().map_err(|_| anyhow::anyhow!("as many as asked for"))
}

fn bound_to(one: &Claimant, ip: Ipv4Addr, number: u8) -> bool {
    one.slot(ip).is_some_and(|slot| slot.binding().is_some_and(|binding| binding.client == client(number)))
}

#[test]
fn three_agents_claim_bind_mark_and_free_with_exactly_the_rights_they_have() -> Result<()> {
    let audit = Audit::new()?;
    let arguments = audit.arguments();
    let Some((cluster, place)) = own(&arguments.each_ref().map(String::as_str))? else { return Ok(()) };
    let on_disk = folders::<3>()?;
    let mut all = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;

    // Disjoint, and each write had a serial of its own.
    let free: Vec<Ipv4Addr> = all.iter().flat_map(Claimant::free).collect();
    assert_eq!(free.iter().collect::<BTreeSet<_>>().len(), free.len(), "{free:?}");
    let serial = block(&cluster, &place)?["spec"]["serial"].as_u64().context("a serial")?;
    let won: usize = all.iter().map(|one| one.won).sum();
    assert_eq!(u64::try_from(won)?, serial);

    // Of writes that are made from one serial, one takes effect.
    let lost = |all: &[Claimant]| all.iter().map(|one| one.lost).sum::<usize>();
    let before = lost(&all);
    cluster.pause_api()?;
    let mut given = Vec::new();
    for (number, one) in (10..).zip(&mut all) {
        given.push((one.give(&client(number), LONG)?, number));
        one.step();
    }
    cluster.resume_api()?;
    until("all to know all of these clients", &mut all, |all| {
        Ok(all.iter().all(|one| given.iter().all(|(ip, number)| bound_to(one, *ip, *number))))
    })?;
    assert!(lost(&all) > before + 1, "nobody was too late: no swap was refused");

    // A client's address is every agent's to answer for.
    let ip = all[0].give(&client(1), LONG)?;
    let short = all[1].give(&client(2), Duration::from_millis(200))?;
    until("all to know the first client", &mut all, |all| Ok(all.iter().all(|one| bound_to(one, ip, 1))))?;
    for one in &mut all {
        one.answer(ip, &client(1), LONG)?;
        assert!(one.claims.allowance(one.now(), ip, &client(2)).is_none(), "another's");
    }
    let said = block(&cluster, &place)?["spec"]["bound"].clone();
    let said = said.as_array().context("bindings")?.iter().find(|bound| bound["ip"] == ip.to_string());
    assert_eq!(said.context("the binding")?["mac"], "02:00:00:00:00:01");
    let shown = cluster.kubectl(&["get", "addressblocks,agentterms"])?;
    println!("{shown}");
    assert!(shown.contains("a-node"), "{shown}");

    // One lease ends by itself.
    until("the second client's address to be nobody's", &mut all, |all| {
        let is_gone = |one: &Claimant| {
            !bound_to(one, short, 2)
                && one
                    .history
                    .iter()
                    .any(|block| block.slots.get(&short).is_some_and(|slot| slot.mark().is_some()))
        };
        Ok(all.iter().all(is_gone))
    })?;
    // Another client gives its address up, to each agent that has answered it: so that none objects.
    std::thread::sleep(Duration::from_millis(2));
    for one in &mut all {
        let now = one.now();
        one.claims.given_up(now, ip, &client(1), At::NEVER);
    }
    until("the first client's address to be nobody's", &mut all, |all| {
        Ok(all.iter().all(|one| !bound_to(one, ip, 1)))
    })?;
    // A term that says more is written before more is promised; a lease without an end is one client's alone.
    let bootp = Ipv4Addr::new(10, 9, 0, 7);
    let longer = Wants {
        longest: network(700_000),
        reserved: BTreeMap::from([(bootp, client(9))]),
        without_end: BTreeSet::from([bootp]),
        ..wants()
    };
    for one in &mut all {
        one.claims.want(longer.clone());
    }
    until("every term to say so", &mut all, |_| {
        let terms = cluster.list_json("agentterms")?;
        Ok(terms.len() == 3 && terms.iter().all(|term| term["spec"]["longest"] == "11m40s"))
    })?;
    let longest = |one: &Claimant| -> BTreeSet<(bool, Span)> {
        let slots = one.claims.copies().blocks.get(&block_id()).map(|known| known.copy.slots.clone());
        let bound = slots.into_iter().flatten().filter_map(|(ip, slot)| Some((ip, slot.binding()?.longest)));
        bound.map(|(ip, longest)| (ip == bootp, longest)).collect()
    };
    until("every binding to say so", &mut all, |all| {
        Ok(all.iter().all(|one| longest(one) == BTreeSet::from([(false, 700_000), (true, FOREVER)])))
    })?;
    audit.each_is_used(&cluster, ACCOUNT, |right| PUBLISHED.contains(&right.resource.as_str()))
}

#[test]
fn without_api_server_agents_give_what_they_have_and_publish_it_when_it_is_back() -> Result<()> {
    let Some((mut cluster, place)) = own(&[])? else { return Ok(()) };
    let on_disk = folders::<2>()?;
    let [one, other] = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;
    let mut all = [one, other];
    cluster.stop_api();
    let unknown = all[0].unknown;
    let mut given = vec![all[0].give(&client(1), LONG)?];
    until("two writes to come to nothing", &mut all, |all| Ok(all[0].unknown > unknown + 1))?;
    // A process that begins meanwhile goes on where the one before was.
    let [one, other] = all;
    let (me, held) = (Arc::clone(&one.me), one.kill()?);
    let one = Claimant::start_with(&place, on_disk[0].path(), held, Duration::ZERO)?;
    assert_eq!(one.me, me);
    let mut all = [one, other];
    given.push(all[0].give(&client(2), LONG)?);
    assert!(all[0].claims.allowance(all[0].now(), given[0], &client(1)).is_some());
    assert_ne!(given[0], given[1]);
    cluster.start_api()?;
    until("both to know both clients", &mut all, |all| {
        Ok(all.iter().all(|one| bound_to(one, given[0], 1) && bound_to(one, given[1], 2)))
    })
}

#[test]
fn a_write_that_nobody_knows_the_end_of_takes_effect_once() -> Result<()> {
    let Some((cluster, place)) = own(&[])? else { return Ok(()) };
    let on_disk = folders::<1>()?;
    let mut all = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;
    cluster.pause_api()?;
    let unknown = all[0].unknown;
    let ip = all[0].give(&client(1), LONG)?;
    until("its patience to be over", &mut all, |all| Ok(all[0].unknown > unknown))?;
    cluster.resume_api()?;
    until("it to be known", &mut all, |all| Ok(bound_to(&all[0], ip, 1)))?;
    let written = block(&cluster, &place)?;
    let bound = written["spec"]["bound"].as_array().context("bindings")?.len();
    assert_eq!(bound, 1, "{written:#}");
    Ok(())
}

#[test]
fn an_agent_whose_clock_is_off_says_so_and_gives_nothing() -> Result<()> {
    let Some((_cluster, place)) = shared()? else { return Ok(()) };
    let on_disk = folders::<2>()?;
    let minute = Duration::from_mins(1);
    let mut all = [
        Claimant::start(&place, on_disk[0].path())?,
        Claimant::start_with(&place, on_disk[1].path(), BTreeMap::new(), minute)?,
    ];
    until("one to have claims, and the other to be known off", &mut all, |all| {
        Ok(all[0].free().len() >= AHEAD && all[1].clock == Clock::Off)
    })?;
    assert!(all[1].free().is_empty());
    let said = all[1].conditions.reasons();
    assert!(said.iter().any(|reason| reason.contains("s ahead of the API server's")), "{said:?}");
    assert_eq!(all[0].conditions.reasons(), Vec::<String>::new());
    // A clock that is set is another one: that takes another process.
    let [one, other] = all;
    let held = other.kill()?;
    let mut all = [one, Claimant::start_with(&place, on_disk[1].path(), held, Duration::ZERO)?];
    until("the other to have claims", &mut all, |all| Ok(all[1].free().len() >= AHEAD))?;
    assert_eq!(all[1].conditions.reasons(), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_somebody_does_to_the_objects_by_hand_stops_nothing() -> Result<()> {
    let Some((cluster, place)) = shared()? else { return Ok(()) };
    let on_disk = folders::<3>()?;
    let mut all = agents(&place, &[on_disk[0].path(), on_disk[1].path()])?;
    let name = block_name(&place);
    let patch = |patch: Value| {
        cluster.kubectl(&["patch", "addressblock", &name, "--type=merge", "-p", &patch.to_string()])
    };

    // An edit as people make it is refused.
    patch(json!({"metadata": {"labels": {"a": "b"}}}))?;
    let refused = patch(json!({"spec": {"claimed": []}})).expect_err("it has no serial of its own");
    assert!(refused.to_string().contains("every write has the next one"), "{refused:#}");

    // A label makes another version of the same serial.
    let ip = all[0].give(&client(1), LONG)?;
    until("both to know the client", &mut all, |all| Ok(all.iter().all(|one| bound_to(one, ip, 1))))?;
    assert_eq!(block(&cluster, &place)?["metadata"]["labels"]["a"], "b");

    // One that is deleted stays, and is written on.
    cluster.kubectl(&["delete", "addressblock", &name, "--wait=false"])?;
    let next = all[1].give(&client(2), LONG)?;
    until("both to know the next client", &mut all, |all| Ok(all.iter().all(|one| bound_to(one, next, 2))))?;

    // One that is taken away by force is there again, as it was.
    let before = block(&cluster, &place)?;
    patch(json!({"metadata": {"finalizers": null}}))?;
    until("the block to be there again", &mut all, |_| {
        let object = cluster.get_json("addressblock", &name)?;
        Ok(object.is_some_and(|object| object["metadata"]["uid"] != before["metadata"]["uid"]))
    })?;
    let third = all[0].give(&client(3), LONG)?;
    until("both to know the third client", &mut all, |all| {
        Ok(all.iter().all(|one| bound_to(one, third, 3) && bound_to(one, ip, 1) && bound_to(one, next, 2)))
    })?;

    // Nonsense that the API server lets through.
    let good = block(&cluster, &place)?["spec"].clone();
    let serial = good["serial"].as_u64().context("a serial")?;
    let elsewhere = json!([{"ip": "10.9.7.7", "mac": "02:00:00:00:00:07", "longest": "12h"}]);
    patch(json!({"spec": {"serial": serial + 1, "bound": elsewhere}}))?;
    let fourth = all[0].give(&client(4), LONG)?;
    let unknown = all[0].unknown;
    let is_told = |one: &Claimant| {
        one.told.iter().any(|told| told.contains("spec.bound[0].ip: 10.9.7.7 is not of 10.9.0.0/24"))
    };
    until("both to say so, and no write to be made of it", &mut all, |all| {
        Ok(all[0].unknown > unknown + 1 && all.iter().all(is_told))
    })?;
    assert_eq!(block(&cluster, &place)?["spec"]["serial"], serial + 1);
    all[1].answer(ip, &client(1), LONG).context("who was there is answered on")?;
    // Who begins now has to have read it, and knows of no address whose it is.
    let mut all = Vec::from(all);
    all.push(Claimant::start(&place, on_disk[2].path())?);
    until("the new one to have tried", &mut all, |all| Ok(all[2].unknown > 1))?;
    assert_eq!(block(&cluster, &place)?["spec"]["serial"], serial + 1);
    assert_eq!(all[2].free(), Vec::<Ipv4Addr>::new());
    let mut mended = good;
    mended["serial"] = json!(serial + 2);
    patch(json!({"spec": mended}))?;
    until("all to know the fourth client", &mut all, |all| {
        Ok(all.iter().all(|one| bound_to(one, fourth, 4) && bound_to(one, ip, 1)))
    })?;
    until("the new one to have claims", &mut all, |all| Ok(all[2].free().len() >= AHEAD))
}

#[test]
fn nothing_is_published_that_the_disk_has_not_taken() -> Result<()> {
    let Some((_cluster, place)) = shared()? else { return Ok(()) };
    let on_disk = folders::<2>()?;
    let mut all = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;
    // Nothing can be written there.
    let inside = on_disk[0].path().join(format!("{}-claims", place.cluster_agent));
    let wall = inside.join("10.9.0.0.json.new");
    std::fs::create_dir_all(wall.join("wall"))?;
    let (here, there) = (all[0].give(&client(1), LONG)?, all[1].give(&client(2), LONG)?);
    until("the disk's fault to be told, and the other to go on", &mut all, |all| {
        let is_told = all[0].told.iter().any(|told| told.contains("cannot keep the claims"));
        Ok(is_told && bound_to(&all[0], there, 2))
    })?;
    assert!(!bound_to(&all[1], here, 1));
    std::fs::remove_dir_all(wall)?;
    until("it to be published", &mut all, |all| Ok(all.iter().all(|one| bound_to(one, here, 1))))
}

#[test]
fn an_agent_that_begins_with_nothing_but_its_folder_lost_is_another_one() -> Result<()> {
    let Some((cluster, place)) = shared()? else { return Ok(()) };
    let on_disk = folders::<2>()?;
    let mut all = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;
    let ip = all[0].give(&client(1), LONG)?;
    until("both to know the client", &mut all, |all| Ok(all.iter().all(|one| bound_to(one, ip, 1))))?;
    let [one, other] = all;
    let (me, taken) = (Arc::clone(&one.me), one.free());
    one.kill()?;
    let inside = on_disk[0].path().join(format!("{}-claims", place.cluster_agent));
    std::fs::write(inside.join("10.9.0.0.json"), "{")?;
    let mut all = [Claimant::start(&place, on_disk[0].path())?, other];
    assert_ne!(all[0].me, me);
    until("the new one to have claims", &mut all, |all| Ok(all[0].free().len() >= AHEAD))?;
    let free: BTreeSet<Ipv4Addr> = all.iter().flat_map(Claimant::free).collect();
    assert!(taken.iter().all(|ip| !free.contains(ip)), "its former claims are not its own");
    all[0].answer(ip, &client(1), LONG).context("a client's address is every agent's to answer for")?;
    assert_eq!(
        cluster
            .list_json("agentterms")?
            .iter()
            .filter(|term| { term["spec"]["clusterAgent"] == place.cluster_agent.as_str() })
            .count(),
        3
    );
    Ok(())
}

#[test]
fn an_agent_that_is_cut_off_loses_nothing_and_the_others_go_on() -> Result<()> {
    let Some((cluster, place)) = shared()? else { return Ok(()) };
    let away = NetNs::new("claims")?;
    cluster.connect(&away)?;
    let on_disk = folders::<2>()?;
    let far = Place { namespace: away.name().to_owned(), ..place.clone() };
    let mut all = [Claimant::start(&place, on_disk[0].path())?, Claimant::start(&far, on_disk[1].path())?];
    until("each to have claims", &mut all, |all| Ok(all.iter().all(|one| one.free().len() >= AHEAD)))?;
    cluster.cut_off(&away)?;
    let unknown = all[1].unknown;
    let here = all[0].give(&client(1), LONG)?;
    let there = all[1].give(&client(2), LONG)?;
    until("one to go on, and the other to know of nothing", &mut all, |all| {
        Ok(bound_to(&all[0], here, 1) && all[1].unknown > unknown)
    })?;
    assert!(matches!(all[0].slot(there), Some(Slot::Claimed { .. })), "nobody takes it");
    cluster.reconnect(&away)?;
    until("both to know both", &mut all, |all| {
        Ok(all.iter().all(|one| bound_to(one, here, 1) && bound_to(one, there, 2)))
    })
}

#[test]
fn what_agents_have_published_goes_with_their_cluster_agent_once_somebody_says_that_they_are_gone()
-> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    let place = place(&cluster)?;
    cluster.start_controllers()?;
    let on_disk = folders::<1>()?;
    let mut all = agents(&place, &on_disk.each_ref().map(tempfile::TempDir::path))?;
    cluster.kubectl(&["delete", "clusteragent", &place.cluster_agent])?;
    let name = block_name(&place);
    until("the block to be on its way out", &mut all, |_| {
        let object = cluster.get_json("addressblock", &name)?;
        Ok(object.context("its guard keeps it")?["metadata"]["deletionTimestamp"].is_string())
    })?;
    // The agent that is still there goes on.
    let ip = all[0].give(&client(1), LONG)?;
    until("it to be written", &mut all, |all| Ok(bound_to(&all[0], ip, 1)))?;
    for one in all {
        one.kill()?;
    }
    let admin = cluster.admin_kubeconfig().to_owned();
    let released = netns::inside(cluster.home(), || -> Result<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let kubernetes = Kubernetes::connect_by(&place.cluster_agent, &admin).await?;
            Ok(guards::release(&kubernetes.client, &place.cluster_agent).await?)
        })
    })??;
    assert_eq!(released, 2);
    wait::until_true("all of it to be gone", AGREED, || {
        let left = ["addressblocks", "agentterms"].map(|kind| cluster.list_json(kind));
        Ok(left.into_iter().all(|left| left.is_ok_and(|left| left.is_empty())))
    })?;
    Ok(())
}
