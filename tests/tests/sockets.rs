//! The slow path's sockets on real interfaces: a veth pair in a network namespace of its own.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use xdhcpd::engine::ignored::Ignored;
use xdhcpd::engine::request::Request;
use xdhcpd::server::batch::Batch;
use xdhcpd::server::gate::gate;
use xdhcpd::server::port::{PortError, ServerPort};
use xdhcpd::server::socket::{Link, LinkError, Stopped};
use xdhcpd_common::checksum::Sum;
use xdhcpd_tests::skip::{is_root, this_test};

/// How long a frame may take from one end of the pair to the other.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing must come for it to count as nothing.
const SILENCE: Duration = Duration::from_millis(50);

/// Moves this test's thread to a namespace of its own, with `server` and `client` joined there.
fn enter_lab() {
    // SAFETY: touches this thread alone, and no file descriptors.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
    ip("link add server type veth peer name client");
    for end in ["server", "client"] {
        // Nothing but the test's own frames.
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
    wait_until_both_are_up();
}

/// A device that has just been switched on throws away what it is to send until the kernel has
/// noticed that its cable is in.
fn wait_until_both_are_up() {
    let start = Instant::now();
    while ["server", "client"].iter().any(|end| !ip(&format!("-o link show {end}")).contains("state UP")) {
        assert!(start.elapsed() < PATIENCE, "the pair of interfaces does not come up");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a command of iproute2; what it printed.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const PLAIN: &[[u8; 4]] = &[];

/// A DISCOVER with this xid, of at least `length` bytes of DHCP.
fn discover(tags: &[[u8; 4]], xid: u32, length: usize) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0];
    message.extend(xid.to_be_bytes());
    message.resize(28, 0);
    message.extend([2, 0, 0, 0, 0, 1]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    message.resize(message.len().max(length), 0);
    datagram(tags, 67, &message)
}

/// A broadcast datagram from port 68, with no UDP checksum.
fn datagram(tags: &[[u8; 4]], port: u16, message: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(message.len() + 8).unwrap().to_be_bytes();
    let total = u16::try_from(message.len() + 28).unwrap().to_be_bytes();
    let mut header =
        vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    let sum = header.chunks(2).fold(Sum::default(), |sum, pair| sum.pair([pair[0], pair[1]]));
    header[10..12].copy_from_slice(&sum.bytes());
    [
        &[0xff; 6][..],
        &[2, 0, 0, 0, 0, 1],
        tags.as_flattened(),
        &[8, 0],
        &header,
        &68_u16.to_be_bytes(),
        &port.to_be_bytes(),
        &udp,
        &[0, 0],
        message,
    ]
    .concat()
}

/// Sends frames as the client does.
fn send(link: &Link, frames: &[Vec<u8>]) {
    let outcome = link.send(frames).unwrap();
    assert_eq!((outcome.sent, outcome.refused, outcome.stopped), (frames.len(), 0, None));
}

/// Waits for `count` frames, then for silence; what the gate makes of each.
fn receive(link: &mut Link, count: usize) -> Vec<Result<Request, Ignored>> {
    let mut batch = Batch::new();
    let mut requests = Vec::new();
    let start = Instant::now();
    let mut last = start;
    while (requests.len() < count && start.elapsed() < PATIENCE) || last.elapsed() < SILENCE {
        match link.receive(&mut batch) {
            Ok(received) => {
                let before = requests.len();
                requests.extend(batch.frames().map(|frame| gate(frame.bytes, frame.checksum)));
                assert_eq!(requests.len() - before, received);
                last = Instant::now();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    requests
}

fn xids(requests: &[Result<Request, Ignored>]) -> Vec<u32> {
    requests.iter().map(|request| u32::from_be_bytes(request.as_ref().unwrap().xid)).collect()
}

#[test]
fn g01_a_request_arrives_with_its_tags() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    let tags = [[0x88, 0xa8, 0x60, 7], [0x81, 0, 0, 8]];
    let one = [[0x81, 0, 0x20, 5]];
    send(&client, &[discover(PLAIN, 1, 0), discover(&one, 2, 0), discover(&tags, 3, 0)]);
    let requests = receive(&mut server, 3);
    assert_eq!(xids(&requests), [1, 2, 3]);
    let of = |place: usize| requests[place].as_ref().unwrap();
    assert_eq!((of(0).vlan, &of(0).tags[..]), ([0, 0], PLAIN));
    assert_eq!((of(1).vlan, &of(1).tags[..]), ([5, 0], &one[..]));
    assert_eq!((of(2).vlan, &of(2).tags[..]), ([7, 8], &tags[..]));
}

#[test]
fn what_is_no_request_or_not_for_us_does_not_arrive() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    let mut elsewhere = discover(PLAIN, 1, 0);
    elsewhere[..6].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    let mut here = discover(PLAIN, 2, 0);
    here[..6].copy_from_slice(&server.mac().unwrap());
    let mut arp = discover(PLAIN, 3, 0);
    arp[13] = 6;
    send(&client, &[elsewhere, here, arp, datagram(PLAIN, 68, &[2; 300]), datagram(PLAIN, 53, &[1; 300])]);
    assert_eq!(xids(&receive(&mut server, 1)), [2]);
}

#[test]
fn what_we_send_does_not_come_back() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    send(&server, &[discover(PLAIN, 1, 0)]);
    send(&client, &[discover(PLAIN, 2, 0)]);
    assert_eq!(xids(&receive(&mut server, 1)), [2]);
}

#[test]
fn five_hundred_frames_at_once_arrive_whole() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    let frames: Vec<_> = (0..500).map(|xid| discover(&[[0x81, 0, 0, 5]], xid, 548)).collect();
    send(&client, &frames);
    let requests = receive(&mut server, frames.len());
    assert_eq!(xids(&requests), (0..500).collect::<Vec<_>>());
    assert!(requests.iter().all(|request| request.as_ref().unwrap().vlan == [5, 0]));
    assert_eq!(server.losses().unwrap().queue_full, 0);
}

#[test]
fn a_reply_reaches_a_client_without_an_address() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let server = Link::open("server").unwrap();
    let ip_frames = Protocol::from(i32::from(u16::try_from(libc::ETH_P_ALL).unwrap().to_be()));
    let mut client = Socket::new(Domain::PACKET, Type::RAW, Some(ip_frames)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let reply = datagram(PLAIN, 68, &[2; 300]);
    send(&server, std::slice::from_ref(&reply));
    let mut buffer = [0; 2048];
    let length = client.read(&mut buffer).unwrap();
    assert_eq!(buffer[..length], reply);
}

#[test]
fn a_frame_too_long_to_send_does_not_hold_up_the_others() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    let frames = [discover(PLAIN, 1, 0), discover(PLAIN, 2, 4000), discover(PLAIN, 3, 0)];
    let outcome = client.send(&frames).unwrap();
    assert_eq!((outcome.sent, outcome.refused, outcome.stopped), (2, 1, None));
    assert_eq!(xids(&receive(&mut server, 2)), [1, 3]);
}

#[test]
fn a_frame_too_long_to_receive_is_counted() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    for end in ["server", "client"] {
        ip(&format!("link set {end} mtu 9000"));
    }
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    send(&client, &[discover(PLAIN, 1, 0), discover(PLAIN, 2, 4000), discover(PLAIN, 3, 0)]);
    assert_eq!(xids(&receive(&mut server, 2)), [1, 3]);
    assert_eq!(server.losses().unwrap().too_long, 1);
}

#[test]
fn frames_that_nobody_takes_are_counted_when_the_buffer_is_full() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    rustix::net::sockopt::set_socket_recv_buffer_size(&server, 16 << 10).unwrap();
    let frames: Vec<_> = (0..500).map(|xid| discover(PLAIN, xid, 0)).collect();
    send(&client, &frames);
    let arrived: BTreeSet<_> = xids(&receive(&mut server, 1)).into_iter().collect();
    let lost = usize::try_from(server.losses().unwrap().queue_full).unwrap();
    assert!(lost > 0);
    assert_eq!(arrived.len() + lost, frames.len());
    assert_eq!(server.losses().unwrap().queue_full, u64::try_from(lost).unwrap(), "the count stays");
}

#[test]
fn a_link_that_goes_down_says_so_and_works_again_when_it_is_up() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let (mut server, client) = (Link::open("server").unwrap(), Link::open("client").unwrap());
    ip("link set server down");
    let outcome = server.send(&[discover(PLAIN, 1, 0)]).unwrap();
    assert_eq!((outcome.sent, outcome.stopped), (0, Some(Stopped::LinkDown)));
    ip("link set server up");
    ip("link set server down");
    let error = server.receive(&mut Batch::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    ip("link set server up");
    wait_until_both_are_up();
    send(&client, &[discover(PLAIN, 2, 0)]);
    assert_eq!(xids(&receive(&mut server, 1)), [2]);
}

#[test]
fn a_link_that_is_deleted_says_so() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let mut server = Link::open("server").unwrap();
    ip("link del server");
    assert_eq!(server.receive(&mut Batch::new()).unwrap_err().kind(), ErrorKind::NetworkDown);
    let outcome = server.send(&[discover(PLAIN, 1, 0)]).unwrap();
    assert_eq!((outcome.sent, outcome.stopped), (0, Some(Stopped::LinkGone)));
    assert!(server.mac().is_err());
    assert!(matches!(Link::open("server"), Err(LinkError::NoInterface { .. })));
}

#[test]
fn another_server_on_port_67_is_a_clear_error() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    let ours = ServerPort::claim("server").unwrap();
    let other_interface = ServerPort::claim("client").unwrap();
    let error = ServerPort::claim("server").unwrap_err();
    assert!(matches!(error, PortError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("UDP port 67 on server"), "{error}");
    assert!(error.to_string().contains("ss -ulpn sport = :67"), "{error}");
    drop((ours, other_interface));
}

#[test]
fn a_server_that_would_share_port_67_is_noticed() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    // As most servers bind: to no interface.
    let theirs = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    theirs.set_reuse_address(true).unwrap();
    theirs.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], 67)).into()).unwrap();
    assert!(matches!(ServerPort::claim("server"), Err(PortError::InUse { .. })));
}

#[test]
fn c35_a_unicast_renewal_is_not_answered_with_port_unreachable() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    ip("link set lo up");
    let client = UdpSocket::bind("127.0.0.1:68").unwrap();
    client.connect("127.0.0.1:67").unwrap();
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let answer = || {
        client.send(&[1; 300]).unwrap();
        client.recv(&mut [0; 8]).unwrap_err().kind()
    };
    assert_eq!(answer(), ErrorKind::ConnectionRefused, "nobody has the port yet");
    let _port = ServerPort::claim("lo").unwrap();
    assert_eq!(answer(), ErrorKind::WouldBlock);
}

#[test]
fn a_missing_capability_is_named() {
    if !is_root(&this_test()) {
        return;
    }
    enter_lab();
    // SAFETY: changes this thread's ids alone (the raw call, unlike libc's function).
    assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
    let error = Link::open("server").unwrap_err();
    assert!(matches!(error, LinkError::NotPermitted { .. }), "{error}");
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
    let error = ServerPort::claim("server").unwrap_err();
    assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
}
