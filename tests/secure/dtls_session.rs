//! A DTLS session over a net that is not kind, and from its end to the next one.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::dtls::server;
use crate::support::dtls::until_done;
use crate::support::net::{Habit, is_lossy, is_repeating, is_swapping, net};
use crate::support::{ALICE, Authority, Client, Login, PATIENCE, Peer, Reply, Request};

/// A request, repeated until it is answered (RFC 8489 §6.2.1). What still comes for
/// an earlier one is passed over.
fn ask(client: &mut Client, request: &[u8]) -> Reply {
    let start = Instant::now();
    let session = client.dtls();
    loop {
        assert!(start.elapsed() < PATIENCE, "no answer");
        session.ssl_write(request).unwrap();
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_millis(500) {
            let mut answer = [0; 2048];
            match session.ssl_read(&mut answer) {
                Ok(length) if answer[8..20] == request[8..20] => {
                    return Reply::to(request, answer[..length].to_vec());
                }
                _ => {}
            }
        }
    }
}

// E-034
#[test]
fn a_handshake_gets_through_loss_repetition_and_disorder() {
    let authority = Authority::new();
    let server = server(&authority);
    for habit in [is_lossy as Habit, is_repeating, is_swapping] {
        let mut client = authority.over_dtls(net(server.all("dtls")[0], habit));
        // Until the net has done its worst.
        for _ in 0..6 {
            ask(&mut client, &Request::binding().bytes()).ok();
        }
        let challenge = ask(&mut client, &Request::allocate().bytes());
        let login = Login::new(ALICE, challenge.realm(), challenge.nonce());
        ask(&mut client, &login.sign(Request::allocate())).ok();
    }
    server.expect_metric("floe_allocations", &["transport=\"dtls\""], 3.0);
}

// E-034
#[test]
fn a_record_is_delivered_once_and_in_any_order() {
    let authority = Authority::new();
    let server = server(&authority);
    let mut client = authority.over_dtls(net(server.all("dtls")[0], is_repeating)).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    for number in 0..20 {
        client.send_channel(0x4000, &[number; 100]);
        peer.expect(&[number; 100], relayed);
        peer.send(relayed, &[number; 50]);
        client.expect_channel(0x4000, &[number; 50]);
    }
    // Had one come twice, it would be the next.
    client.send_channel(0x4000, b"last");
    peer.expect(b"last", relayed);
}

// E-036 B-161
#[test]
fn a_goodbye_ends_the_allocation() {
    let authority = Authority::new();
    let server = server(&authority);
    let mut client = authority.over_dtls(server.all("dtls")[0]).user(ALICE);
    client.allocate();
    // Answered in kind.
    until_done(|| client.dtls().shutdown().map(|_| ())).unwrap();
    let error = until_done(|| client.dtls().ssl_read(&mut [0; 64])).unwrap_err();
    assert_eq!(error.code(), openssl::ssl::ErrorCode::ZERO_RETURN);
    server.expect_metric("floe_allocations", &[], 0.0);
    server.expect_metric("floe_dtls_sessions", &[], 0.0);
    server.logs("disconnected");
}

// E-036
#[test]
fn a_client_that_begins_anew_takes_its_own_place() {
    let authority = Authority::new();
    let server = server(&authority);
    let address = server.all("dtls")[0];
    let mut client = authority.over_dtls(address).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);

    // A hello alone, which anybody may send in its name, changes nothing; nor do
    // records that are not its own.
    let forged = client.dtls().get_ref().0.try_clone().unwrap();
    for strange in [
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1][..],
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 0],
    ] {
        forged.send(strange).unwrap();
        client.exchange(relayed, &peer);
    }
    let hello = crate::dtls_hello::hello(0, 1, &[]);
    forged.send(&hello).unwrap();
    client.exchange(relayed, &peer);
    server.expect_metric("floe_allocations", &[], 1.0);

    // The client has lost all it knew, and has its port still.
    let local = client.local();
    drop(forged);
    drop(client);
    let socket = UdpSocket::bind(local).unwrap();
    socket.connect(address).unwrap();
    let session = authority.dtls_handshake(socket, |_, _| {}).unwrap();
    server.expect_metric("floe_allocations", &[], 0.0);
    server.expect_metric("floe_dtls_sessions", &[], 1.0);
    let mut client = Client::over_dtls(session).user(ALICE);
    let relayed = client.allocate();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.call(Request::refresh(0)).ok();
}
