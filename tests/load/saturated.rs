//! One client, or one peer, that sends all it can, and is allowed to: its packets
//! are relayed, and nobody else pays for it. What waits in other queues is served
//! in between, since one socket is read for a bounded time; a client on the very
//! socket that overflows is answered when it repeats a request.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use floe::net::udp::{BATCH, Datagram, Options, Socket};

use crate::bystander::{Bystander, alongside};
use crate::listener_flood::Patient;
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Request, Server, own_address};

/// How long it goes on.
const FLOOD: Duration = Duration::from_secs(3);

const CHANNEL: u16 = 0x4777;

/// Sends these until `FLOOD` is over; how many the kernel took.
fn flood(socket: &Socket, packet: Datagram<'_>) -> usize {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < FLOOD {
        sent += socket.send(&[packet; BATCH]).sent;
    }
    sent
}

/// Packets relayed to peers or to clients so far.
fn relayed(server: &Server, to: &str) -> f64 {
    server.metric(&format!("floe_{to}_packets_total"), &["direction=\"out\""])
}

#[test]
fn a_client_that_floods_is_relayed_and_starves_nobody() {
    let peer = own_address();
    let server = Server::start(|_| {});
    let mut bystanders = vec![
        Bystander::new("TCP", Client::tcp(&server), peer),
        Bystander::new("UDP over IPv6", Client::udp6(&server), peer),
    ];
    let mut patient = Patient::new(&server);
    let sink = UdpSocket::bind((own_address(), 0)).expect("a socket");
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    client.bind(CHANNEL, sink.local_addr().expect("bound"));
    // The client's own socket, for batches.
    let local = client.local();
    drop(client);
    let socket = Socket::bind(local, &Options::default()).expect("the port is free again");
    let packet = channel_message(CHANNEL, &[7; 172]);
    let packet = Datagram { to: server.udp(), from: None, parts: [&packet, &[], &[]] };

    let before = relayed(&server, "peer");
    let over = AtomicBool::new(false);
    let sent = alongside(&mut bystanders, || {
        thread::scope(|scope| {
            scope.spawn(|| patient.refresh_until(&over));
            let sent = flood(&socket, packet);
            over.store(true, Ordering::Relaxed);
            sent
        })
    })
    .0;
    let carried = relayed(&server, "peer") - before;
    println!("{sent} packets sent, {carried} relayed");
    assert!(carried > 10_000.0, "the data path was not busy: {carried} of {sent}");
}

#[test]
fn a_peer_that_floods_is_relayed_and_starves_nobody() {
    let permitted = own_address();
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, permitted);
    let mut client = Client::udp(&server).user(ALICE);
    let relay = client.allocate();
    let peer = Socket::bind((own_address(), 0).into(), &Options::default()).expect("a socket");
    client.bind(CHANNEL, peer.local_addr().expect("bound"));
    let before = relayed(&server, "client");
    let packet = Datagram { to: relay, from: None, parts: [&[7; 172], &[], &[]] };
    let (sent, _) = alongside(&mut bystanders, || flood(&peer, packet));
    let carried = relayed(&server, "client") - before;
    println!("{sent} packets sent, {carried} relayed");
    assert!(carried > 10_000.0, "the data path was not busy: {carried} of {sent}");
    // Its own client is served again as soon as it has read what came.
    client.count_waiting();
    client.call(Request::refresh(600)).ok();
    let other = Peer::at(&permitted.to_string());
    client.permit(other.ip());
    client.exchange(relay, &other);
}
