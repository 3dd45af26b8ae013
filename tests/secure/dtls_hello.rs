//! What comes before a DTLS session: hellos and cookies (RFC 6347 §4.2.1), and
//! what strangers can make the server keep.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::dtls::{secure, server};
use crate::support::dtls::{socket, until_done};
use crate::support::net::{is_lossy, is_swapping, net};
use crate::support::{ALICE, Authority, Client, PATIENCE, Server};

/// A ClientHello of DTLS 1.2, as the client's record and message number
/// `number`.
pub(crate) fn hello(number: u8, random: u8, cookie: &[u8]) -> Vec<u8> {
    let mut body = vec![254, 253];
    body.extend([random; 32]);
    body.push(0);
    body.push(cookie.len() as u8);
    body.extend(cookie);
    // ECDHE-ECDSA and ECDHE-RSA with AES-128-GCM; no compression.
    body.extend([0, 4, 0xC0, 0x2B, 0xC0, 0x2F, 1, 0]);
    // Groups: P-256. Signatures: ECDSA and RSA-PSS with SHA-256.
    body.extend([0, 18, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &[0, number, 0, 0, 0], &length[1..], &body].concat();
    let record = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number];
    [&record[..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

/// The cookie in a HelloVerifyRequest.
fn cookie(datagram: &[u8]) -> &[u8] {
    assert_eq!((datagram[0], datagram[13]), (22, 3), "a HelloVerifyRequest");
    let cookie = &datagram[28..];
    assert_eq!(usize::from(datagram[27]), cookie.len());
    cookie
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = vec![0; 2048];
    let length = socket.recv(&mut buffer).expect("a datagram from the server");
    buffer.truncate(length);
    buffer
}

/// The cookie that the server has for this client.
fn challenged(socket: &UdpSocket, random: u8) -> Vec<u8> {
    socket.send(&hello(0, random, &[])).unwrap();
    cookie(&receive(socket)).to_vec()
}

/// Begins a handshake and leaves it there.
fn half_open(server: SocketAddr, from: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect(server).unwrap();
    let cookie = challenged(&socket, 1);
    socket.send(&hello(1, 1, &cookie)).unwrap();
    socket
}

fn refused(server: &Server) -> f64 {
    server.metric("floe_tls_handshakes_total", &["transport=\"dtls\"", "outcome=\"refused\""])
}

// E-033 H-051
#[test]
fn nothing_is_kept_of_a_hello_without_its_cookie() {
    let authority = Authority::new();
    let server = server(&authority);
    let address = server.all("dtls")[0];
    let sockets: Vec<_> = (1..=100)
        .map(|last| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, last), 0)).unwrap();
            socket.connect(address).unwrap();
            socket
        })
        .collect();
    let round = |random: u8| {
        for socket in &sockets {
            // None, and one that another address was given.
            for hello in [hello(0, random, &[]), hello(1, random, &[random; 17])] {
                socket.send(&hello).unwrap();
                let answer = receive(socket);
                assert_eq!(answer[13], 3, "a HelloVerifyRequest");
                assert!(answer.len() <= hello.len(), "{} bytes for {}", answer.len(), hello.len());
            }
        }
    };
    (0..5).for_each(round);
    let memory = server.memory();
    (5..50).for_each(round);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 256, "{grown} KiB for 9000 hellos");
    for outcome in ["done", "failed", "refused"] {
        let label = format!("outcome=\"{outcome}\"");
        server.expect_metric("floe_tls_handshakes_total", &["transport=\"dtls\"", &label], 0.0);
    }
    // And a cookie that comes back from elsewhere is none.
    let cookie = challenged(&sockets[0], 99);
    sockets[1].send(&hello(1, 99, &cookie)).unwrap();
    assert_eq!(receive(&sockets[1])[13], 3);
    sockets[0].send(&hello(1, 99, &cookie)).unwrap();
    assert_eq!(receive(&sockets[0])[13], 2, "a ServerHello");
}

/// A hello in two records, cut behind so many bytes of its message.
fn in_two(hello: &[u8], cut: usize) -> [Vec<u8>; 2] {
    let body = &hello[25..];
    [(0, 0, &body[..cut]), (1, cut, &body[cut..])].map(|(more, offset, part)| {
        let [number, sequence] = [hello[10] * 2 + more, hello[18]];
        let [offset, length] = [offset, part.len()].map(|n| (n as u32).to_be_bytes());
        let message = [&hello[13..17], &[0, sequence], &offset[1..], &length[1..], part].concat();
        let record = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number];
        [&record[..], &(message.len() as u16).to_be_bytes(), &message].concat()
    })
}

// E-033 E-034
#[test]
fn a_hello_may_come_in_fragments() {
    let authority = Authority::new();
    let server = server(&authority);
    let address = server.all("dtls")[0];
    // The first has to reach beyond the cookie: of one without, and of one with.
    for (random, cut, cut_again) in [(1, 35 + 1, 60), (2, 50, 35 + 1 + 17), (3, 60, 80)] {
        let socket = socket(address);
        // The second fragment alone is nothing.
        let [first, rest] = in_two(&hello(0, random, &[]), cut);
        socket.send(&rest).unwrap();
        socket.send(&first).unwrap();
        let cookie = cookie(&receive(&socket)).to_vec();
        let [first, rest] = in_two(&hello(1, random, &cookie), cut_again);
        match random {
            1 => _ = socket.send(&[&first[..], &rest].concat()).unwrap(),
            // What is lost is sent again, with all that was sent with it.
            2 => {
                [&rest, &first, &first, &rest].iter().for_each(|part| _ = socket.send(part).unwrap());
            }
            _ => {
                [&first, &rest].iter().for_each(|part| _ = socket.send(part).unwrap());
            }
        }
        let answer = receive(&socket);
        assert_eq!((answer[13], answer[10]), (2, 2), "a ServerHello, numbered as its hello");
    }
    // One whose first fragment ends before its cookie does is not read.
    let other = socket(address);
    let [first, _] = in_two(&hello(0, 4, &[]), 35);
    other.send(&first).unwrap();
    other.send(&hello(0, 5, &[])).unwrap();
    let answer = receive(&other);
    other.send(&hello(1, 5, cookie(&answer))).unwrap();
    assert_eq!(receive(&other)[13], 2);
}

// E-034
#[test]
fn hellos_of_kilobytes_are_taken() {
    let authority = Authority::new();
    let server = server(&authority);
    // As long as one with post-quantum keys, which OpenSSL sends over DTLS 1.3 alone.
    let long = [&[0xFF; 256].repeat(11)[..], b"\x09stun.turn"].concat();
    for address in
        [server.all("dtls")[0], net(server.all("dtls")[0], is_lossy), net(server.all("dtls")[0], is_swapping)]
    {
        let session = authority.dtls_handshake(socket(address), |context, _| {
            context.set_alpn_protos(&long).unwrap();
        });
        Client::over_dtls(session.expect("a handshake")).user(ALICE).allocate();
    }
    // But not of any length: it is dropped as what it may be, a record of nobody's.
    let plain = socket(server.all("dtls")[0]);
    let [mut first, _] = in_two(&hello(0, 1, &[]), 60);
    first[14..17].copy_from_slice(&[0, 0x21, 0]);
    let dropped = || server.metric("floe_dropped_packets_total", &["no_session"]);
    let before = dropped();
    plain.send(&first).unwrap();
    server.wait_until("it is dropped", || dropped() > before);
}

// H-018
#[test]
fn hellos_are_answered_so_often_and_no_oftener() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        secure(&authority, config);
        config.set("limits.unauthenticated-per-second", 5);
    });
    let flood = socket(server.all("dtls")[0]);
    for number in 0..100 {
        flood.send(&hello(0, number, &[])).unwrap();
    }
    server.wait_until("most are dropped", || {
        server.metric("floe_dropped_packets_total", &["throttled"]) >= 80.0
    });
    let answers = server.metric("floe_client_packets_total", &["direction=\"out\"", "\"dtls\""]);
    assert!((1.0..=20.0).contains(&answers), "{answers}");
    // Another address is served.
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    other.connect(server.all("dtls")[0]).unwrap();
    challenged(&other, 1);
}

// E-035
#[test]
fn sessions_have_a_limit_for_each_address_and_for_all() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        secure(&authority, config);
        config.set("limits.dtls-sessions-per-address", 2).set("limits.dtls-sessions", 3);
    });
    let address = server.all("dtls")[0];
    let session = |ip: [u8; 4]| {
        let socket = UdpSocket::bind((IpAddr::from(ip), 0)).unwrap();
        socket.connect(address).unwrap();
        authority.dtls_handshake(socket, |_, _| {}).unwrap()
    };
    let _first = session([127, 0, 4, 1]);
    let mut second = session([127, 0, 4, 1]);
    half_open(address, [127, 0, 4, 1].into());
    server.wait_until("a third of one address is refused", || refused(&server) == 1.0);
    let _other = session([127, 0, 4, 2]);
    half_open(address, [127, 0, 4, 3].into());
    server.wait_until("a fourth of all is refused", || refused(&server) == 2.0);
    until_done(|| second.shutdown().map(|_| ())).unwrap();
    server.expect_metric("floe_dtls_sessions", &[], 2.0);
    session([127, 0, 4, 3]);
}

// RFC 6347 §4.2.1: the first ServerHello has the number of its hello.
#[test]
fn records_are_numbered_as_the_client_expects() {
    let authority = Authority::new();
    let server = server(&authority);
    let client = socket(server.all("dtls")[0]);
    let mut cookie = challenged(&client, 1);
    for number in 1..=2 {
        // Old, or lost on its way: the server asks again.
        client.send(&hello(number, 1, &[&cookie[..16], &[!cookie[16]]].concat())).unwrap();
        let answer = receive(&client);
        assert_eq!((answer[10], answer[18]), (number, number));
        cookie = self::cookie(&answer).to_vec();
    }
    client.send(&hello(3, 1, &cookie)).unwrap();
    let answer = receive(&client);
    assert_eq!((answer[13], answer[10], answer[18]), (2, 3, 3), "the ServerHello behind three others");
}

// E-035
#[test]
fn what_belongs_to_no_session_is_dropped() {
    let authority = Authority::new();
    let server = server(&authority);
    let client = socket(server.all("dtls")[0]);
    let record = |kind, epoch, length: u16| {
        let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 1];
        [&header[..], &length.to_be_bytes(), &vec![7; length.into()]].concat()
    };
    // Data, an alert, a Finished, a key exchange; DTLS 1.3's own; a fragment of a
    // hello but the first, and one longer than is read.
    let mut fragment = hello(0, 1, &[]);
    (fragment[16], fragment[21]) = (fragment[16] + 100, 1);
    let mut long = hello(0, 1, &[]);
    long.resize(13 + 16_000, 0);
    let rest = (long.len() - 13) as u16;
    long[11..13].copy_from_slice(&rest.to_be_bytes());
    let strange = [record(23, 1, 100), record(21, 1, 26), record(22, 1, 40), record(22, 0, 60)];
    for datagram in strange.iter().chain([&vec![0x2F; 60], &fragment, &long]) {
        client.send(datagram).unwrap();
    }
    server.wait_until("all are dropped", || {
        let dropped = |reason| server.metric("floe_dropped_packets_total", &[reason]);
        dropped("no_session") + dropped("malformed") == 7.0
    });
    // Nothing was answered: this is the first thing to come.
    challenged(&client, 1);
}

// E-035 E-039 H-051
#[test]
fn handshakes_that_are_not_ended_are_few() {
    let authority = Authority::new();
    let server = server(&authority);
    let address = server.all("dtls")[0];
    let crowd: IpAddr = [127, 0, 3, 3].into();
    let (start, memory) = (Instant::now(), server.memory());
    let half: Vec<_> = (0..100).map(|_| half_open(address, crowd)).collect();
    server.wait_until("some are refused", || refused(&server) == 36.0);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 64 * 200, "{grown} KiB for 64 handshakes");
    // From elsewhere there is a way in, and it stays open to who is in.
    let mut client = authority.over_dtls(address).user(ALICE);
    client.allocate();
    drop(half);
    // They have 10 seconds, and nothing more to say.
    let failed = || server.metric("floe_tls_handshakes_total", &["transport=\"dtls\"", "outcome=\"failed\""]);
    server.wait_until("half the time is over", || start.elapsed() > Duration::from_secs(5));
    assert_eq!(failed(), 0.0);
    server.wait_until("all have failed", || failed() == 64.0);
    let socket = half_open(address, crowd);
    assert_eq!(receive(&socket)[13], 2, "a ServerHello");
    client.ping();
}

// E-035
#[test]
fn a_handshake_keeps_little_of_what_it_cannot_read_yet() {
    let authority = Authority::new();
    let server = server(&authority);
    let socket = half_open(server.all("dtls")[0], [127, 0, 0, 1].into());
    receive(&socket);
    let memory = server.memory();
    for number in 0..4000_u16 {
        let [high, low] = number.to_be_bytes();
        let encrypted = [&[22, 254, 253, 0, 1, 0, 0, 0, 0, high, low, 3, 232][..], &[7; 1000]].concat();
        socket.send(&encrypted).unwrap();
        // A message of 16 MiB that has only begun.
        let begun =
            [22, 254, 253, 0, 0, 0, 0, 0, 1, high, low, 0, 12, 16, 255, 255, 255, 0, 2, 0, 0, 0, 0, 0, 0];
        socket.send(&begun).unwrap();
    }
    let dropped = |reason| server.metric("floe_dropped_packets_total", &[reason]);
    server.wait_until("most are dropped", || dropped("throttled") > 1000.0 && dropped("too_large") > 1000.0);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 1024, "{grown} KiB for one handshake");
}
