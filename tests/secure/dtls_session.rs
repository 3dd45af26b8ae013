//! A DTLS session over a net that is not kind, and from its end to the next one.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::dtls::server;
use crate::support::dtls::until_done;
use crate::support::{ALICE, Authority, Client, PATIENCE, Peer, Request};

/// What a net does with the datagrams of one direction: says, for the datagram of
/// this number, which are delivered now.
type Habit = fn(usize, Vec<u8>, &mut Vec<Vec<u8>>) -> Vec<Vec<u8>>;

/// Every second datagram at first: some of each flight of a handshake.
fn is_lossy(number: usize, datagram: Vec<u8>, _: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if number < 6 && number % 2 == 1 { vec![] } else { vec![datagram] }
}

fn is_repeating(_: usize, datagram: Vec<u8>, _: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    vec![datagram.clone(), datagram]
}

fn is_swapping(number: usize, datagram: Vec<u8>, held: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if number.is_multiple_of(2) {
        held.push(datagram);
        return vec![];
    }
    [vec![datagram], std::mem::take(held)].concat()
}

/// A net between one client and a server: where the client finds it.
fn net(server: SocketAddr, habit: Habit) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = near.local_addr().unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.connect(server).unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        let Ok((length, client)) = near.recv_from(&mut buffer) else { return };
        near.connect(client).unwrap();
        let (near, far) = (Arc::new(near), Arc::new(far));
        let back = (Arc::clone(&far), Arc::clone(&near));
        thread::spawn(move || pass(&back.0, &back.1, habit, Vec::new()));
        pass(&near, &far, habit, vec![buffer[..length].to_vec()]);
    });
    address
}

fn pass(from: &UdpSocket, to: &UdpSocket, habit: Habit, first: Vec<Vec<u8>>) {
    let mut first = first.into_iter();
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut buffer = vec![0; 65_536];
    // What is held back is not held for ever.
    from.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for number in 0.. {
        let datagram = match first.next() {
            Some(datagram) => datagram,
            None => match from.recv(&mut buffer) {
                Ok(length) => buffer[..length].to_vec(),
                Err(_) => {
                    for datagram in std::mem::take(&mut held) {
                        let _ = to.send(&datagram);
                    }
                    continue;
                }
            },
        };
        for datagram in habit(number, datagram, &mut held) {
            let _ = to.send(&datagram);
        }
    }
}

/// A Binding, repeated until it is answered (RFC 8489 §6.2.1).
fn ping(client: &mut Client) {
    let (start, binding) = (Instant::now(), Request::binding().bytes());
    let session = client.dtls();
    loop {
        assert!(start.elapsed() < PATIENCE, "no answer");
        session.ssl_write(&binding).unwrap();
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_millis(500) {
            let mut answer = [0; 2048];
            if session.ssl_read(&mut answer).is_ok() && answer[8..20] == binding[8..20] {
                return;
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
        let mut client = authority.over_dtls(net(server.all("dtls")[0], habit)).user(ALICE);
        // Until the net has done its worst.
        (0..6).for_each(|_| ping(&mut client));
        client.allocate();
    }
    assert_eq!(server.metric("floe_allocations", &["transport=\"dtls\""]), 3.0);
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
    server.wait_until("it is gone", || server.metric("floe_allocations", &[]) == 0.0);
    assert_eq!(server.metric("floe_dtls_sessions", &[]), 0.0);
    assert!(server.log().contains("disconnected"));
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
    assert_eq!(server.metric("floe_allocations", &[]), 1.0);

    // The client has lost all it knew, and has its port still.
    let local = client.local();
    drop(forged);
    drop(client);
    let socket = UdpSocket::bind(local).unwrap();
    socket.connect(address).unwrap();
    let session = authority.dtls_handshake(socket, |_, _| {}).unwrap();
    server.wait_until("the old one is gone", || server.metric("floe_allocations", &[]) == 0.0);
    assert_eq!(server.metric("floe_dtls_sessions", &[]), 1.0);
    let mut client = Client::over_dtls(session).user(ALICE);
    let relayed = client.allocate();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.call(Request::refresh(0)).ok();
}
