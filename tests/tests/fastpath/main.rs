//! The agent's handle on the kernel, against a real kernel: a namespace of its own for each test,
//! with a veth pair `server`–`client`.

mod maps;
mod moves;
mod scene;

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use xdhcpd::config::{FastPathMode, KernelLog};
use xdhcpd::fastpath::{self, Pinned};
use xdhcpd_common::maps::Server;
use xdhcpd_tests::exchange::SILENCE;
use xdhcpd_tests::wait::{SOON, until};

use scene::*;

#[test]
fn on_a_veth_auto_means_generic_and_frames_go_through_the_program() {
    Scene::play("auto", |scene| {
        let fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
        assert!(!fastpath::checks_udp("server"));
    });
}

#[test]
fn native_is_native_and_a_change_of_mode_is_followed() {
    Scene::play("native", |scene| {
        let native = scene.start(FastPathMode::Native);
        assert_eq!(native.status(), [status("server", "native")]);
        let generic = scene.start(FastPathMode::Auto);
        assert_eq!(generic.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| generic.counters().unwrap()));
    });
}

#[test]
fn a_dropped_handle_changes_nothing_and_the_next_start_adopts_it_all() {
    Scene::play("adopt", |scene| {
        let mut first = scene.start(FastPathMode::Auto);
        let server = Server { generation: 3, address: [10, 9, 0, 1], ..Server::default() };
        first.put_lease(key(1), &lease(1)).unwrap();
        first.put_server(wire(), &server).unwrap();
        first.put_template(4, &template(0x55)).unwrap();
        assert!(frames_are_counted(|| first.counters().unwrap()));
        drop(first);
        let link = scene.link();

        let pinned = Pinned::open(&scene.agent).unwrap().expect("it is pinned");
        assert!(frames_are_counted(|| pinned.counters().unwrap()), "the program runs without an agent");
        assert_eq!(pinned.leases().unwrap(), [(key(1), lease(1))]);
        assert_eq!(pinned.servers().unwrap(), [(wire(), server)]);
        assert_eq!(pinned.templates().unwrap().len(), 5);
        assert_eq!(pinned.interfaces().unwrap(), [status("server", "generic")]);
        let counted = passed(&pinned.counters().unwrap());

        let second = scene.start(FastPathMode::Auto);
        assert_eq!(second.lease(key(1)).unwrap(), Some(lease(1)));
        assert_eq!(second.server(wire()).unwrap(), Some(server));
        assert_eq!(second.template(4).unwrap(), template(0x55));
        assert!(passed(&second.counters().unwrap()) >= counted, "counters go on");
        let link_now = scene.link();
        assert_eq!(link["id"], link_now["id"], "the link stays, so there is no gap");
        assert_ne!(link["prog_id"], link_now["prog_id"], "the program is the new one");
        assert_eq!(
            bpftool(&format!("prog show pinned {}/program", scene.pins().display()))["id"],
            link_now["prog_id"],
        );
        assert!(frames_are_counted(|| second.counters().unwrap()));
    });
}

#[test]
fn another_program_is_named_with_what_removes_it() {
    Scene::play("occupied", |scene| {
        let other = scene.other_agent();
        let first = Both::start(&other, KernelLog::Off, 1, &[("server", FastPathMode::Auto)]).unwrap();
        assert!(first.status()[0].attached);

        let pin = format!("/sys/fs/bpf/xdhcpd/{}/link-server", other.replace('.', "_"));
        let link = bpftool(&format!("link show pinned {pin}"));
        let second = scene.start(FastPathMode::Auto);
        let status = &second.status()[0];
        assert_eq!((status.attached, status.mode), (false, "off"));
        let problem = status.problem.as_deref().unwrap();
        assert!(problem.contains(&format!("xdhcpd (id {})", link["prog_id"])), "{problem}");
        assert!(problem.contains(&format!("`bpftool link detach id {}`", link["id"])), "{problem}");
    });
}

#[test]
fn another_program_without_a_link_is_removed_by_ip() {
    Scene::play("linkless", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let borrowed = format!("{}/program", scene.pins().display());
        let path = Path::new("/sys/fs/bpf").join(&scene.namespace);
        std::fs::hard_link(&borrowed, &path).unwrap();
        fastpath::detach(&scene.agent).unwrap();
        let attached = Command::new("bpftool")
            .args(["net", "attach", "xdpgeneric", "pinned"])
            .arg(&path)
            .args(["dev", "server"])
            .status();
        std::fs::remove_file(&path).unwrap();
        assert!(attached.unwrap().success());

        let mut fast_path = scene.start(FastPathMode::Auto);
        let problem = fast_path.status()[0].problem.clone().unwrap();
        assert!(problem.ends_with("`ip link set dev server xdpgeneric off` removes it"), "{problem}");
        scene.ip("link set dev server xdpgeneric off");
        assert_eq!(fast_path.check().unwrap().len(), 1);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
    });
}

#[test]
fn one_interface_that_fails_does_not_stop_the_others() {
    Scene::play("partial", |scene| {
        let fast_path =
            scene.try_start(1, &[("nosuch", FastPathMode::Auto), ("server", FastPathMode::Auto)]).unwrap();
        let [missing, there] = &fast_path.status()[..] else { panic!("two interfaces") };
        assert_eq!(missing.problem.as_deref(), Some("there is no such interface"));
        assert_eq!(there, &status("server", "generic"));
    });
}

#[test]
fn native_where_the_driver_has_none_says_so_and_auto_does_without() {
    Scene::play("nonative", |scene| {
        let native = scene.try_start(1, &[("lo", FastPathMode::Native)]).unwrap();
        let problem = native.status()[0].problem.clone().expect("lo has no XDP of its own");
        assert!(problem.contains("takes no XDP program") && problem.contains("`generic`"), "{problem}");
        let auto = scene.try_start(1, &[("lo", FastPathMode::Auto)]).unwrap();
        assert_eq!(auto.status(), [status("lo", "generic")]);
    });
}

#[test]
fn a_start_without_its_capabilities_names_them() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    Scene::play("unable", |scene| {
        let all = capabilities(None).unwrap();
        let mut few = all;
        few.effective.remove(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN);
        // Of this thread alone.
        set_capabilities(None, few).unwrap();
        let result = scene.try_start(1, &[("server", FastPathMode::Auto)]);
        set_capabilities(None, all).unwrap();
        let error = result.err().expect("nothing may be loaded").to_string();
        assert!(error.contains("CAP_BPF and CAP_NET_ADMIN"), "{error}");
    });
}

#[test]
fn the_programs_log_is_read_where_it_is_wanted() {
    Scene::play("log", |scene| {
        let start =
            |log| Both::start(&scene.agent, log, 1, &[("server", FastPathMode::Auto)]).unwrap().program;
        assert!(start(KernelLog::Off).log_fd().is_none());
        let mut fast_path = start(KernelLog::Trace);
        assert!(!becomes_readable(fast_path.log_fd().unwrap(), SILENCE));
        // Of what is not DHCP the program says nothing.
        let client = UdpSocket::bind("10.9.0.2:68").unwrap();
        client.set_broadcast(true).unwrap();
        client.send_to(&[0; 300], "10.9.0.255:67").unwrap();
        assert!(becomes_readable(fast_path.log_fd().unwrap(), SOON));
        fast_path.drain_log();
        assert!(!becomes_readable(fast_path.log_fd().unwrap(), SILENCE));
    });
}

#[test]
fn of_two_interfaces_whose_pins_would_be_one_the_second_goes_without() {
    Scene::play("same", |scene| {
        scene.ip("link add se_ver type veth peer name se.ver");
        let both = [("se_ver", FastPathMode::Auto), ("se.ver", FastPathMode::Auto)];
        let mut fast_path = scene.try_start(1, &both).unwrap();
        let [first, second] = &fast_path.status()[..] else { panic!("two interfaces") };
        assert_eq!(first, &status("se_ver", "generic"));
        assert!(second.problem.as_deref().unwrap().contains("differ only in `.` and `_`"), "{second:?}");
        assert_eq!(fast_path.check().unwrap(), [""; 0]);
        let pinned = Pinned::open(&scene.agent).unwrap().unwrap();
        assert_eq!(pinned.interfaces().unwrap(), [status("se_ver", "generic")]);
    });
}

#[test]
fn an_interface_that_is_off_or_no_longer_named_loses_the_program() {
    Scene::play("off", |scene| {
        let both = [("server", FastPathMode::Auto), ("client", FastPathMode::Auto)];
        drop(scene.try_start(1, &both).unwrap());
        assert!(scene.pins().join("link-client").exists());
        let fast_path = scene.try_start(1, &[("server", FastPathMode::Off)]).unwrap();
        assert_eq!(fast_path.status(), [status("server", "off")]);
        assert!(!scene.pins().join("link-client").exists());
        assert!(!scene.pins().join("link-server").exists());
    });
}

#[test]
fn detach_leaves_nothing_behind() {
    Scene::play("detach", |scene| {
        drop(scene.start(FastPathMode::Auto));
        assert!(run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        let detached = fastpath::detach(&scene.agent).unwrap();
        assert_eq!(detached.interfaces, ["server"]);
        assert!(detached.pins.contains(&scene.pins().join("LEASES")), "{detached:?}");
        assert!(!run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        assert!(!scene.pins().exists());
        assert!(Pinned::open(&scene.agent).unwrap().is_none());
        assert_eq!(fastpath::detach(&scene.agent).unwrap(), fastpath::Detached::default());
    });
}

#[test]
fn an_interface_that_comes_back_gets_the_program_again() {
    Scene::play("return", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.check().unwrap(), [""; 0]);
        scene.ip("link del server");
        let [gone] = &Pinned::open(&scene.agent).unwrap().unwrap().interfaces().unwrap()[..] else {
            panic!("one link is pinned")
        };
        assert_eq!((gone.attached, gone.problem.as_deref()), (false, Some("the interface is gone")));
        assert_eq!(fast_path.check().unwrap(), [""; 0]);
        assert_eq!(fast_path.status()[0].problem.as_deref(), Some("there is no such interface"));

        scene.add_pair();
        assert_eq!(fast_path.check().unwrap(), ["server"]);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn a_link_in_another_namespace_is_not_taken_for_ours() {
    Scene::play("moved", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let there = index("server");
        let other = Scene {
            agent: format!("{}-elsewhere", scene.agent),
            namespace: format!("{}-elsewhere", scene.namespace),
        };
        run(&format!("ip netns add {}", other.namespace));
        other.add_pair();
        enter(&other.namespace);
        assert_eq!(index("server"), there, "the test needs the same index in both");
        let interfaces = [("server", FastPathMode::Auto)];
        let stranger = Both::start(&other.agent, KernelLog::Off, 1, &interfaces).unwrap();
        assert!(stranger.status()[0].attached);
        let seen = Pinned::open(&scene.agent).unwrap().unwrap().interfaces().unwrap();
        assert_eq!(
            (seen[0].attached, seen[0].mode),
            (true, "unknown"),
            "attached where we cannot see: {seen:?}"
        );

        let mut fast_path = scene.start(FastPathMode::Auto);
        assert!(!fast_path.status()[0].attached, "the stranger's program is not ours");
        fastpath::detach(&other.agent).unwrap();
        assert_eq!(fast_path.check().unwrap(), ["server"]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn a_link_that_somebody_else_holds_open_ends_all_the_same() {
    Scene::play("held", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let held = aya::programs::links::PinnedLink::from_pin(scene.pins().join("link-server")).unwrap();
        fastpath::detach(&scene.agent).unwrap();
        assert!(!run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        drop(held);
    });
}

#[test]
fn a_pin_that_somebody_removed_is_put_back() {
    Scene::play("unpinned", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        std::fs::remove_file(scene.pins().join("link-server")).unwrap();
        // The kernel ends the link some time later, and has room for a new one only then.
        let put_back = until("the link to be put back", SOON, || {
            Ok(Some(fast_path.check()?).filter(|put_back| !put_back.is_empty()))
        });
        assert_eq!(put_back.unwrap(), ["server"]);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn vlan_tags_are_left_in_the_frame() {
    Scene::play("vlan", |scene| {
        let offload = || run(&format!("ip netns exec {} ethtool -k server", scene.namespace));
        assert!(offload().contains("rx-vlan-offload: on"));
        let _fast_path = scene.start(FastPathMode::Auto);
        assert!(offload().contains("rx-vlan-offload: off"));
    });
}
