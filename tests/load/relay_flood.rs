//! A flood to a relay's port from where its client has permitted nobody: it is
//! dropped and counted, its client sees nothing, the others lose nothing.

use std::thread;

use floe::net::udp::{BATCH, Datagram, Options, Socket};

use crate::bystander::{Bystander, alongside};
use crate::process::Memory;
use crate::support::{ALICE, Client, Peer, Server, own_address};

/// As fast as the kernel takes them.
const DATAGRAMS: usize = 300_000;

/// KiB: nothing is kept of what is dropped.
const GROWTH: usize = 2 * 1024;

// H-046
#[test]
fn without_permission() {
    let (permitted, stranger) = (own_address(), own_address());
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, permitted);
    let mut clients = [Client::udp(&server).user(ALICE), Client::tcp(&server).user(ALICE)];
    let relays = clients.each_mut().map(Client::allocate);
    for client in &mut clients {
        client.permit(permitted.into());
    }
    let socket = Socket::bind((stranger, 0).into(), &Options::default()).expect("a socket");
    let flood = |datagrams: usize| {
        let packet = [0x5a; 172];
        let batch = |to| [Datagram { to, from: None, parts: [&packet, &[], &[]] }; BATCH];
        for turn in 0..datagrams / BATCH {
            assert!(socket.send(&batch(relays[turn % relays.len()])).sent > 0);
            // Those who share the machine's cores get their turn.
            thread::yield_now();
        }
    };
    let dropped = || server.metric("floe_dropped_packets_total", &["\"no_permission\""]);
    flood(DATAGRAMS / 10);
    let (memory, before) = (Memory::of(&server), dropped());
    alongside(&mut bystanders, || flood(DATAGRAMS));
    memory.assert_grown("a flood without permission", GROWTH);
    // What did not fit into the relays' own queues never reached the server.
    println!("{} of {DATAGRAMS} datagrams were read and dropped", dropped() - before);
    assert!(dropped() > before);

    // The permitted peer is the first that the clients hear of, once the relays
    // have worked off their queues.
    for (client, relayed) in clients.iter_mut().zip(relays) {
        let peer = Peer::at(&permitted.to_string());
        server.wait_until("the relay's queue is worked off", || {
            let before = dropped();
            // The relay is read between any two of them.
            (0..10).for_each(|_| _ = client.ping());
            dropped() == before
        });
        client.exchange(relayed, &peer);
    }
}
