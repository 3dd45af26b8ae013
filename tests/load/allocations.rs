//! Ten thousand allocations at once, a thousand clients that vanish, and many
//! one after the other: each works while it lives, and everything that it held
//! comes back.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::process::{assert_grown, descriptors};
use crate::support::{ALICE, Client, Config, PATIENCE, Peer, Request, Server, own_address, skip};

const ALLOCATIONS: usize = 10_000;

/// What an open allocation may take, bytes: entry, timer, port, permission,
/// channel, socket tables.
const BYTES_EACH: usize = 2 * 1024;

/// KiB that a second round of the same may add to the first. Tables keep the
/// room that they have once needed, and the C library what was freed below
/// something that lives; so it is by using all of it again, and no more, that
/// memory is seen to have come back.
const AGAIN: usize = 1024;

/// The same for a client over TCP: its connection's task and queues too.
const BYTES_EACH_TCP: usize = 6 * 1024;

const CHANNEL: u16 = 0x4000;

/// Takes as many descriptors as there are, here; the server does so itself.
/// False, and said, when they are too few for either side.
fn descriptors_suffice(wanted: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
    let enough = limit.maximum.is_none_or(|maximum| maximum >= (wanted + 1000) as u64);
    if !enough {
        skip("descriptors", &format!("the hard limit is {:?}, {} are needed", limit.maximum, wanted + 1000));
    }
    enough
}

/// Relays on an address of its own, where nobody's ephemeral ports lie.
fn start() -> Server {
    let address = own_address().to_string();
    Server::start(|config: &mut Config| {
        // Two lines for each of thousands are more than a failure needs.
        config.set("relay.addresses", vec![address.as_str(), "::1"]).set("log.level", "warn");
    })
}

/// What must come back when a client has gone.
#[derive(PartialEq, Debug)]
struct Held {
    descriptors: usize,
    ports: f64,
    allocations: f64,
    permissions: f64,
    channels: f64,
    connections: f64,
}

fn held(server: &Server) -> Held {
    let count = |name| server.metric(name, &[]);
    Held {
        ports: count("floe_relay_ports_used"),
        allocations: count("floe_allocations"),
        permissions: count("floe_permissions"),
        channels: count("floe_channels"),
        connections: count("floe_tcp_connections"),
        descriptors: descriptors(server),
    }
}

fn assert_back(server: &Server, before: &Held) {
    let start = Instant::now();
    loop {
        let now = held(server);
        if now == *before {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "before: {before:?}, afterwards: {now:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Opens an allocation and relays a packet both ways through it.
fn open(mut client: Client, peer: &Peer) -> (Client, SocketAddr) {
    let relayed = client.allocate();
    client.bind(CHANNEL, peer.address());
    exchange(&mut client, relayed, peer);
    (client, relayed)
}

fn exchange(client: &mut Client, relayed: SocketAddr, peer: &Peer) {
    client.send_channel(CHANNEL, b"there");
    peer.expect(b"there", relayed);
    peer.send(relayed, b"and back");
    client.expect_channel(CHANNEL, b"and back");
}

/// Opens so many by two threads, has each relay once more while all are open,
/// and closes them. Returns the server's memory while they were open.
fn round(server: &Server, count: usize) -> usize {
    let ip = IpAddr::from(own_address());
    let start = Instant::now();
    let mut clients: Vec<(Client, SocketAddr, usize)> = Vec::with_capacity(count);
    let peers = [Peer::new(), Peer::new()];
    thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let peer = &peers[half];
            let client = move |_| {
                let client = Client::udp_from(ip, server.udp()).user(ALICE);
                let (client, relayed) = open(client, peer);
                (client, relayed, half)
            };
            scope.spawn(move || (0..count / 2).map(client).collect::<Vec<_>>())
        });
        for half in halves {
            clients.extend(half.join().expect("all of one half are open"));
        }
    });
    println!("{count} allocations opened in {:?}", start.elapsed());
    server.expect_metric("floe_allocations", &["\"udp\""], count as f64);
    server.expect_metric("floe_relay_ports_used", &[], count as f64);
    let memory = server.memory();
    for (client, relayed, half) in &mut clients {
        exchange(client, *relayed, &peers[*half]);
    }
    for (client, ..) in &mut clients {
        assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
    }
    memory
}

// B-100
#[test]
fn ten_thousand_at_once() {
    if !descriptors_suffice(ALLOCATIONS) {
        return;
    }
    let server = start();
    round(&server, 100);
    let (before, memory) = (held(&server), server.memory());
    let open = round(&server, ALLOCATIONS);
    assert_back(&server, &before);
    assert_grown("ten thousand open allocations", memory, open, ALLOCATIONS * BYTES_EACH / 1024);
    assert_grown("closed again", memory, server.memory(), ALLOCATIONS * BYTES_EACH / 1024);
    let first = server.memory();
    round(&server, ALLOCATIONS);
    assert_back(&server, &before);
    assert_grown("opened and closed once more", first, server.memory(), AGAIN);
}

/// Connections that are reset, with a packet on its way or not.
#[test]
fn a_thousand_connections_that_vanish() {
    const CONNECTIONS: usize = 1000;
    let server = start();
    let peer = Peer::new();
    let vanish = |count: usize| {
        let clients: Vec<_> = (0..count).map(|_| open(Client::tcp(&server).user(ALICE), &peer).0).collect();
        server.expect_metric("floe_allocations", &["\"tcp\""], count as f64);
        server.expect_metric("floe_tcp_connections", &[], count as f64);
        for client in &clients {
            SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
        }
    };
    let empty = held(&server);
    vanish(100);
    assert_back(&server, &empty);
    let memory = server.memory();
    vanish(CONNECTIONS);
    assert_back(&server, &empty);
    let first = server.memory();
    assert_grown("a thousand connections that vanished", memory, first, CONNECTIONS * BYTES_EACH_TCP / 1024);
    vanish(CONNECTIONS);
    assert_back(&server, &empty);
    assert_grown("a thousand more", first, server.memory(), AGAIN);
    let disconnected = server.metric("floe_allocations_closed_total", &["\"disconnected\""]);
    assert_eq!(disconnected, (100 + 2 * CONNECTIONS) as f64);
}

/// Allocations made and ended one after the other by a client, in every way to
/// make one, and given up in the middle.
fn one_after_the_other(count: u16) {
    let server = start();
    let peer = Peer::new();
    let mut client = Client::udp(&server).user(ALICE);
    let empty = held(&server);
    let mut memory = 0;
    for number in 0..count {
        let request = match number % 4 {
            0 => Request::allocate(),
            1 => Request::allocate().even_port(false),
            2 => Request::allocate().additional_family(2),
            _ => Request::allocate().family(2),
        };
        client.call(request).ok();
        // Refused: the allocation stays as it is.
        assert_eq!(client.call(Request::allocate()).code(), 437);
        if number % 4 != 3 {
            client.bind(CHANNEL, peer.address());
            client.permit(peer.ip());
        }
        client.call(Request::refresh(0)).ok();
        if number == count / 10 {
            memory = server.memory();
        }
    }
    assert_back(&server, &empty);
    assert_grown(&format!("{count} allocations one after the other"), memory, server.memory(), AGAIN);
}

// H-052
#[test]
fn made_and_ended() {
    one_after_the_other(3_000);
}

// H-052
#[test]
#[ignore = "slow"]
fn made_and_ended_very_often() {
    one_after_the_other(50_000);
}
