//! Clients that move, and what they keep.

use crate::party::{CHANNEL, Over, Stage, come, exchange, hear, refresh, settle, ticket};
use crate::support::client::channel_message;
use crate::support::{Client, Peer, Request};

/// So many moves that the kernel's hash can't have kept all of them on one of
/// four shards.
const MOVES: u8 = 24;

/// Moves a client to another one, and proves each step of it (RFC 8016 §3.2.2).
fn step(
    old: &mut Client,
    new: &mut Client,
    with: &[u8],
    relayed: std::net::SocketAddr,
    peer: &Peer,
) -> Vec<u8> {
    let next = come(new, with);
    assert_ne!(next, with);
    hear(old, relayed, peer, b"both are good");
    exchange(old, relayed, peer, b"and the old one sends");
    exchange(new, relayed, peer, b"until the new one does");
    assert_eq!(old.call(Request::refresh(600)).code(), 437);
    old.expect_silence(&channel_message(CHANNEL, b"left"));
    next
}

// E-003 E-007
#[test]
fn udp_clients_keep_what_they_have_across_shards() {
    let stage = Stage::new();
    let peer = Peer::new();
    let mut client = stage.alice(Over::Udp, 0);
    let (relayed, mut with) = settle(&mut client, &peer);
    for n in 1..=MOVES {
        let mut new = stage.alice(Over::Udp, n);
        with = step(&mut client, &mut new, &with, relayed, &peer);
        client = new;
    }
    let server = &stage.server;
    server.expect_metric("floe_allocation_moves_total", &[], f64::from(MOVES));
    server.expect_some("floe_passed_on_datagrams_total", &[]);
    server.expect_metric("floe_allocations", &["transport=\"udp\""], 1.0);
    let moves = || server.log().lines().filter(|line| line.contains("\"moved\"")).count();
    server.wait_until("each move is in the log", || moves() == usize::from(MOVES));
    server.logs(&format!("\"from_client\":\"127.0.0.{MOVES}:"));
    client.call(Request::refresh(0)).ok();
    server.expect_metric("floe_allocations", &[], 0.0);
    // The last 5-tuple is like any other again.
    assert_ne!(settle(&mut client, &peer).0, relayed);
}

// E-003 E-007
#[test]
fn connections_keep_what_they_have_across_shards() {
    let stage = Stage::new();
    for over in [Over::Tcp, Over::Tls, Over::Dtls] {
        let peer = Peer::new();
        let mut client = stage.alice(over, 0);
        let (relayed, mut with) = settle(&mut client, &peer);
        for n in 1..=MOVES {
            let mut new = stage.alice(over, n);
            with = step(&mut client, &mut new, &with, relayed, &peer);
            client = new;
        }
        client.call(Request::refresh(0)).ok();
    }
    stage.server.expect_metric("floe_allocation_moves_total", &[], 3.0 * f64::from(MOVES));
}

// E-007
#[test]
fn a_session_that_holds_another_shards_allocation_is_like_any_other() {
    let stage = Stage::new();
    let server = &stage.server;
    let peer = Peer::new();
    for n in 0..16 {
        let mut old = stage.alice(Over::Udp, n);
        let (relayed, with) = settle(&mut old, &peer);
        let mut new = stage.alice(Over::Dtls, n);
        come(&mut new, &with);
        exchange(&mut new, relayed, &peer, b"it has moved");
        // The largest message of a record, and several at once.
        let long = vec![n; 16 * 1024 - 4];
        new.send(&channel_message(CHANNEL, &long));
        peer.expect(&long, relayed);
        peer.send(relayed, &long);
        assert_eq!(new.receive(), channel_message(CHANNEL, &long));
        for _ in 0..8 {
            new.send(&channel_message(CHANNEL, b"one of some"));
        }
        (0..8).for_each(|_| peer.expect(b"one of some", relayed));
        // What it gives back it may have again, from here.
        new.call(Request::refresh(0)).ok();
        let (other, _) = settle(&mut new, &peer);
        exchange(&mut new, other, &peer, b"anew");
        new.call(Request::refresh(0)).ok();
    }
    server.expect_some("floe_passed_on_datagrams_total", &[]);
}

// E-003 E-007
#[test]
fn clients_move_from_any_transport_to_any_other() {
    use Over::{Dtls, Tcp, Tls, Udp};
    let stage = Stage::new();
    let peer = Peer::new();
    let mut client = stage.alice(Udp, 0);
    let (relayed, mut with) = settle(&mut client, &peer);
    let ways = [Tcp, Udp, Tls, Tcp, Dtls, Tls, Udp, Dtls, Dtls, Udp, Udp];
    for (n, over) in (1..).zip(ways.into_iter().cycle().take(33)) {
        let mut new = stage.alice(over, n);
        with = step(&mut client, &mut new, &with, relayed, &peer);
        client = new;
        let transport = format!("transport=\"{over:?}\"").to_lowercase();
        stage.server.expect_metric("floe_allocations", &[&transport], 1.0);
        stage.server.expect_metric("floe_allocations", &[], 1.0);
    }
    let mut v6 = Client::udp6(&stage.server).user(crate::support::ALICE);
    step(&mut client, &mut v6, &with, relayed, &peer);
}

// E-007
#[test]
fn what_comes_right_behind_the_ticket_is_not_lost() {
    let stage = Stage::new();
    for over in [Over::Tcp, Over::Tls] {
        let peer = Peer::new();
        let mut client = stage.alice(over, 0);
        let (relayed, mut with) = settle(&mut client, &peer);
        for n in 0..8_u8 {
            let mut new = stage.alice(over, n);
            let asked = new.login().sign(refresh(&with));
            let payload = [n; 1000];
            // In one write, so that it is read in one, by the shard it came in at.
            let mut bytes = asked.clone();
            bytes.extend(channel_message(CHANNEL, &payload));
            bytes.extend(channel_message(CHANNEL, b"next"));
            new.send(&bytes);
            with = ticket(&crate::support::Reply::to(&asked, new.receive()).ok());
            peer.expect(&payload, relayed);
            peer.expect(b"next", relayed);
            exchange(&mut new, relayed, &peer, b"and on");
            client = new;
        }
        drop(client);
    }
}

// E-008
#[test]
fn a_lost_answer_is_given_again() {
    let stage = Stage::new();
    let peer = Peer::new();
    let mut client = stage.alice(Over::Udp, 0);
    let (relayed, mut with) = settle(&mut client, &peer);
    for n in 1..=8 {
        let mut new = stage.alice(Over::Udp, n);
        let asked = new.login().sign(refresh(&with));
        let first = ticket(&new.call_bytes(&asked).ok());
        assert_eq!(ticket(&new.call_bytes(&asked).ok()), first);
        assert_eq!(come(&mut new, &with), first, "by another transaction");
        exchange(&mut new, relayed, &peer, b"heard");
        with = first;
    }
}
