//! STUN and ChannelData on a TCP connection (RFC 8489 §6.2.2, RFC 8656 §12.5).

use std::time::{Duration, Instant};

use crate::support::client::channel_message;
use crate::support::{ALICE, BOB, Client, Peer, Reply, Request, Server};

// A-027 A-029
#[test]
fn a_connection_stays_open_for_more() {
    let server = Server::start(|_| {});
    for mut client in [Client::tcp(&server), Client::tcp6(&server)] {
        for _ in 0..10 {
            assert_eq!(client.ping().mapped(), client.local());
        }
    }
}

//
#[test]
fn a_message_may_come_byte_by_byte() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server);
    let binding = Request::binding().bytes();
    for byte in &binding {
        client.send(&[*byte]);
    }
    Reply::to(&binding, client.receive()).ok();
}

//
#[test]
fn many_messages_may_come_at_once() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server);
    let bindings: Vec<Vec<u8>> = (0..50).map(|_| Request::binding().bytes()).collect();
    let (last, partial) = (Request::binding().bytes(), 7);
    client.send(&[bindings.concat(), last[..partial].to_vec()].concat());
    let mut answered: Vec<Vec<u8>> = (0..50).map(|_| client.receive()[8..20].to_vec()).collect();
    let mut asked: Vec<Vec<u8>> = bindings.iter().map(|binding| binding[8..20].to_vec()).collect();
    answered.sort();
    asked.sort();
    assert_eq!(answered, asked);
    client.send(&last[partial..]);
    Reply::to(&last, client.receive()).ok();
}

// A-030 B-146
#[test]
fn what_is_neither_closes_the_connection() {
    let server = Server::start(|_| {});
    // It has ten seconds for its first message, as all of them have.
    let mut silent = Client::tcp(&server);
    let framed = [[0x00, 0x14].as_slice(), &Request::binding().bytes()].concat();
    let mut classic = Request::binding().bytes();
    classic[4] ^= 1;
    for garbage in
        [framed.as_slice(), &classic, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xFF"]
    {
        let mut client = Client::tcp(&server);
        client.send(garbage);
        client.expect_closed();
    }
    silent.ping();
}

// B-144 B-145
#[test]
fn channel_data_is_padded_and_the_padding_stays_here() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    for length in 0..=32 {
        let mut packet = channel_message(0x4000, &vec![1; length]);
        packet.resize(packet.len().next_multiple_of(4), 0xEE);
        client.send(&packet);
        peer.expect(&vec![1; length], relayed);
    }
    // A few at once; `receive` finds the next frame behind the padding only.
    for length in 0..=32 {
        peer.send(relayed, &vec![2; length]);
    }
    for length in 0..=32 {
        client.expect_channel(0x4000, &vec![2; length]);
    }
}

// B-146
#[test]
fn a_client_that_forgets_its_padding_is_cut_off() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    client.send(&[channel_message(0x4000, b"five!"), Request::binding().bytes()].concat());
    peer.expect(b"five!", relayed);
    client.expect_closed();
}

// B-161
#[test]
fn a_closed_connection_ends_its_allocation() {
    let server = Server::start(|_| {});
    for reset in [false, true] {
        let mut client = Client::tcp(&server).user(ALICE);
        let relayed = client.allocate();
        if reset {
            socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(client);
        server.wait_until("the relay port is free", || std::net::UdpSocket::bind(relayed).is_ok());
    }
    server.expect_metric("floe_allocations", &[], 0.0);
}

// B-162 H-047
#[test]
fn a_client_that_does_not_read_loses_packets_and_nothing_else_is_lost() {
    let server = Server::start(|_| {});
    let mut slow = Client::tcp(&server).user(ALICE);
    let slows = slow.allocate();
    let mut other = Client::udp(&server).user(BOB);
    let others = other.allocate();
    let peer = Peer::new();
    slow.permit(peer.ip());
    other.permit(peer.ip());

    let memory = server.memory();
    let start = Instant::now();
    let lost = || server.metric("floe_dropped_packets_total", &["slow_client"]);
    while lost() == 0.0 {
        assert!(start.elapsed() < 3 * crate::support::PATIENCE, "everything was buffered somewhere");
        for _ in 0..200 {
            peer.send(slows, &[0; 8_000]);
        }
        other.exchange(others, &peer);
    }
    for _ in 0..2_000 {
        peer.send(slows, &[0; 8_000]);
    }
    other.exchange(others, &peer);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 16_000, "{grown} KiB for one slow client");

    // What was kept comes out whole, and requests are answered behind it.
    let refresh = slow.login().sign(Request::refresh(600));
    slow.send(&refresh);
    loop {
        let packet = slow.receive();
        if packet[8..20] == refresh[8..20] {
            Reply::to(&refresh, packet).ok();
            break;
        }
        assert_eq!(crate::support::reply::data_indication(&packet).1, [0; 8_000]);
    }
}
