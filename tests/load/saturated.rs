//! One client, or one peer, that sends all it can, and is allowed to: its packets
//! are relayed, and nobody else pays for it. What waits in other queues is served
//! in between, since one socket is read for a bounded time; a client on the very
//! socket that overflows is answered when it repeats a request.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use floe::net::udp::{BATCH, Datagram, Options, Socket};

use crate::bystander::{Bystander, alongside};
use crate::listener_flood::{Patient, beside, elsewhere};
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Request, Server, own_address};

/// How long it goes on at least, and how many packets are relayed meanwhile.
const FLOOD: Duration = Duration::from_secs(3);
const BUSY: f64 = 10_000.0;

const CHANNEL: u16 = 0x4777;

/// Sends these until enough are relayed.
fn flood(server: &Server, to: &str, socket: &Socket, packet: Datagram<'_>) {
    let (start, before, mut sent) = (Instant::now(), relayed(server, to), 0);
    let mut send = || sent += socket.send(&[packet; BATCH]).sent;
    while start.elapsed() < FLOOD {
        send();
    }
    server.wait_until("enough are relayed", || {
        (0..100).for_each(|_| send());
        relayed(server, to) - before > BUSY
    });
    println!("{sent} packets sent, {} relayed", relayed(server, to) - before);
}

/// Packets relayed to peers or to clients so far.
fn relayed(server: &Server, to: &str) -> f64 {
    server.metric(&format!("floe_{to}_packets_total"), &["direction=\"out\""])
}

#[test]
fn a_client_that_floods_is_relayed_and_starves_nobody() {
    let server = Server::start(|_| {});
    let mut bystanders = elsewhere(&server, own_address());
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

    beside(&mut patient, &mut bystanders, || flood(&server, "peer", &socket, packet));
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
    let packet = Datagram { to: relay, from: None, parts: [&[7; 172], &[], &[]] };
    alongside(&mut bystanders, || flood(&server, "client", &peer, packet));
    // Its own client is served again as soon as it has read what came.
    server.wait_until("all has come", || {
        let before = relayed(&server, "client");
        client.count_waiting();
        relayed(&server, "client") == before
    });
    client.receive_until_pinged();
    client.call(Request::refresh(600)).ok();
    let other = Peer::at(&permitted.to_string());
    client.permit(other.ip());
    client.exchange(relay, &other);
}
