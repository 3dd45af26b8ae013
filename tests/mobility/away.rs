//! Clients whose connection is gone, and what they may come back to.

use std::net::SocketAddr;

use crate::party::{Over, Stage, allocate, come, exchange, hear, refresh, settle};
use crate::support::{ALICE, BOB, Client, Peer, Request};

// E-007 E-010
#[test]
fn who_was_cut_off_comes_back() {
    let stage = Stage::new();
    let peer = Peer::new();
    for (over, back) in
        [(Over::Tcp, Over::Tcp), (Over::Tcp, Over::Udp), (Over::Tls, Over::Tls), (Over::Dtls, Over::Dtls)]
    {
        let mut client = stage.alice(over, 0);
        let (relayed, mut with) = settle(&mut client, &peer);
        for n in 0..6 {
            let lost = stage.server.metric("floe_dropped_packets_total", &["client_away"]);
            if over == Over::Dtls {
                // A goodbye, which is all there is to notice.
                client.dtls().shutdown().unwrap();
            }
            drop(client);
            stage.server.wait_until("its end is noticed", || {
                peer.send(relayed, b"to nobody");
                stage.server.metric("floe_dropped_packets_total", &["client_away"]) > lost
            });
            // What is dropped behind the last of them has come after it.
            let strange = stage.server.metric("floe_dropped_packets_total", &["no_permission"]);
            Peer::at("127.0.0.99").send(relayed, b"from nobody");
            stage.server.expect_metric("floe_dropped_packets_total", &["no_permission"], strange + 1.0);
            client = stage.alice(if n % 2 == 0 { back } else { over }, n);
            with = come(&mut client, &with);
            hear(&mut client, relayed, &peer, b"at once");
            exchange(&mut client, relayed, &peer, b"and both ways");
            if client.is_udp() {
                // Nobody notices the end of that.
                let mut new = stage.alice(over, n);
                with = come(&mut new, &with);
                exchange(&mut new, relayed, &peer, b"on");
                client = new;
            }
        }
        client.call(Request::refresh(0)).ok();
    }
    stage.server.expect_metric("floe_allocations", &[], 0.0);
    stage.server.expect_metric("floe_allocations_closed_total", &["deleted"], 4.0);
}

// E-007
#[test]
fn the_end_of_the_old_connection_is_enough() {
    let stage = Stage::new();
    let peer = Peer::new();
    for over in [Over::Tcp, Over::Tls, Over::Udp] {
        let mut old = stage.alice(Over::Tcp, 0);
        let (relayed, with) = settle(&mut old, &peer);
        let mut new = stage.alice(over, 1);
        come(&mut new, &with);
        hear(&mut old, relayed, &peer, b"still the old one");
        let moves = stage.server.metric("floe_allocation_moves_total", &[]);
        drop(old);
        stage
            .server
            .wait_until("it has moved", || stage.server.metric("floe_allocation_moves_total", &[]) > moves);
        hear(&mut new, relayed, &peer, b"now the new one");
    }
}

// E-010 B-161
#[test]
fn quotas_count_who_is_away() {
    let stage = Stage::with(|config| {
        config.secret_only().set("limits.allocations-per-user", 3);
    });
    let expiry = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
    let name = format!("{expiry}:alice");
    let key =
        ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, crate::support::SECRET.as_bytes());
    let tag = ring::hmac::sign(&key, name.as_bytes());
    let password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
    let user = crate::support::User { name: &name, password: &password };
    for n in 0..12 {
        let mut client = Client::tcp(&stage.server).user(user);
        let reply = client.call(allocate());
        assert_eq!(reply.code(), if n < 3 { 0 } else { 486 });
    }
    stage.server.expect_metric("floe_tcp_connections", &[], 0.0);
    stage.server.expect_metric("floe_allocations", &[], 3.0);
    let (_, sessions) = stage.server.api("GET", "/api/sessions");
    let sessions = sessions["sessions"].as_array().expect("a list");
    assert!(sessions.len() == 3 && sessions.iter().all(|session| session["away"] == true), "{sessions:?}");
    // Who has no ticket has nothing to come back to.
    let (_, ended) = stage.server.api("DELETE", "/api/users/alice/sessions");
    assert_eq!(ended["closed"], 3);
    let mut client = Client::tcp(&stage.server).user(user);
    client.allocate();
    drop(client);
    stage.server.expect_metric("floe_allocations", &[], 0.0);
}

// E-010 H-063
#[test]
fn a_port_that_is_used_again_is_its_new_users() {
    let stage = Stage::with(|config| {
        config.set("listen.shards", 1);
    });
    let local = SocketAddr::new(crate::support::own_address().into(), 20_000);
    let peer = Peer::new();
    let mut alice = Client::tcp_on(local, stage.server.tcp()).user(ALICE);
    let (relayed, with) = settle(&mut alice, &peer);
    // Reset, so that the port is free at once.
    socket2::SockRef::from(alice.stream()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(alice);
    let mut bob = Client::tcp_on(local, stage.server.tcp()).user(BOB);
    let other = bob.allocate();
    bob.permit(peer.ip());
    bob.exchange(other, &peer);
    let mut alice = stage.alice(Over::Tcp, 0);
    come(&mut alice, &with);
    exchange(&mut alice, relayed, &peer, b"hers");
    bob.exchange(other, &peer);
    assert_eq!(bob.call(refresh(&with)).code(), 437);
}

// H-052 E-010
#[test]
fn nothing_is_left_of_many_moves_that_stop_anywhere() {
    let stage = Stage::new();
    let peer = Peer::new();
    let round = |n: u8| {
        let (over, next) =
            [(Over::Udp, Over::Tcp), (Over::Tcp, Over::Udp), (Over::Udp, Over::Udp)][usize::from(n % 3)];
        let mut client = stage.alice(over, n);
        let (_, with) = settle(&mut client, &peer);
        let mut new = stage.alice(next, n.wrapping_add(1));
        let with = come(&mut new, &with);
        let mut third = stage.alice(Over::Udp, n.wrapping_add(2));
        match n % 4 {
            // The old one ends it, the new one does, or a third one that has just come.
            0 => client.call(Request::refresh(0)).ok(),
            1 => new.call(Request::refresh(0)).ok(),
            2 => third.call(refresh(&with).with(floe::wire::AttributeType::LIFETIME, &[0; 4])).ok(),
            _ => {
                drop((client, new));
                come(&mut third, &with);
                third.call(Request::refresh(0)).ok()
            }
        };
    };
    round(0);
    let settled = || {
        stage.server.wait_until("all is given back", || {
            stage.server.metric("floe_allocations", &[]) == 0.0
                && stage.server.metric("floe_tcp_connections", &[]) == 0.0
        });
        (stage.server.metric("floe_relay_ports_used", &[]), stage.server.metric("floe_channels", &[]))
    };
    let before = (settled(), stage.server.descriptors());
    (0..120).for_each(round);
    let after = settled();
    stage.server.wait_until("descriptors are given back", || stage.server.descriptors() <= before.1);
    assert_eq!((after, before.0), ((0.0, 0.0), (0.0, 0.0)));
}
