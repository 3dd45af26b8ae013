use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::sockopt;

use super::super::testing::*;
use super::*;

#[test]
fn port_0_takes_a_free_one() {
    for text in [V4, V6, "0.0.0.0:0", "[::]:0"] {
        let asked: SocketAddr = text.parse().unwrap();
        let (_socket, got) = ours(text, &Options::default());
        assert_eq!(got.ip(), asked.ip());
        assert_ne!(got.port(), 0);
    }
}

#[test]
fn an_address_is_taken_once_or_shared_by_agreement() {
    let alone = Options::default();
    let shared = Options { reuse_port: true, ..alone };
    let (_socket, address) = ours(V4, &alone);
    for options in [alone, shared] {
        assert_eq!(Socket::bind(address, &options).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
    let (_socket, address) = ours(V4, &shared);
    assert_eq!(Socket::bind(address, &alone).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    Socket::bind(address, &shared).unwrap();
}

#[test]
fn an_address_of_another_host_is_refused() {
    let elsewhere = "192.0.2.77:0".parse().unwrap();
    let error = Socket::bind(elsewhere, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn both_families_can_have_the_same_port() {
    let shared = (0..20).any(|_| {
        let (_v6, v6) = ours("[::]:0", &Options::default());
        // Fails at times, when another process has the port; always, if the
        // IPv6 socket took IPv4 too.
        Socket::bind((Ipv4Addr::UNSPECIFIED, v6.port()).into(), &Options::default()).is_ok()
    });
    assert!(shared);
}

#[test]
fn it_is_closed_on_exec() {
    let (socket, _) = ours(V4, &Options::default());
    assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn buffers_are_what_was_asked_as_far_as_granted() {
    // The least that any Linux allows is above 2,048.
    let (socket, _) = ours(V4, &Options { buffer: 65_536, ..Options::default() });
    assert_eq!(socket.buffers().unwrap(), (65_536, 65_536));

    // Absurd sizes are cut by the kernel, and don't wrap around.
    let (socket, _) = ours(V6, &Options { buffer: usize::MAX, ..Options::default() });
    let (receive, send) = socket.buffers().unwrap();
    assert!(receive >= 65_536 && send >= 65_536, "{receive} {send}");

    let (left_alone, _) = ours(V4, &Options::default());
    let (theirs, _) = theirs(V4);
    assert_eq!(left_alone.buffers().unwrap().0, sockopt::socket_recv_buffer_size(&theirs).unwrap() / 2);
}

#[test]
fn df_is_left_to_those_who_ask_for_it() {
    let (socket, _) = ours(V4, &Options::default());
    assert_eq!(sockopt::ip_mtu_discover(&socket).unwrap(), sockopt::Ipv4PathMtuDiscovery::OMIT);
    let (socket, _) = ours(V6, &Options::default());
    assert_eq!(sockopt::ipv6_mtu_discover(&socket).unwrap(), sockopt::Ipv6PathMtuDiscovery::DONT);
}
