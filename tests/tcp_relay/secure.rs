//! Control and data connections over TLS.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::parties::{
    Peer, Refused as _, allocate, attempt, bind, connect_from, connected, connection_bind, expect_end, read,
    write,
};
use crate::support::authority::{HOST, Tls, client};
use crate::support::{ALICE, Authority, Client, Reply, Request, Server};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server, who vouches for it, and a version of TLS.
struct Place {
    authority: Authority,
    server: Server,
    version: &'static SupportedProtocolVersion,
}

impl Place {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let authority = Authority::new();
        let server = Server::start(|config| {
            authority.secure(config);
            config.set("relay.tcp", true).set("listen.shards", 3);
        });
        Self { authority, server, version }
    }

    fn stream(&self) -> Tls {
        let socket = TcpStream::connect(self.server.all("tls")[0]).unwrap();
        self.authority.handshake(socket, HOST, self.authority.client(&[self.version])).unwrap()
    }

    /// A control connection of Alice's with a TCP allocation.
    fn control(&self) -> (Client, std::net::SocketAddr) {
        let mut client = client(self.stream()).user(ALICE);
        let relayed = client.call(allocate()).ok().relayed();
        (client, relayed)
    }

    /// Another connection, which binds this one and becomes it. `behind` goes in
    /// the same record.
    fn bind(&self, control: &mut Client, id: u32, behind: &[u8]) -> Tls {
        let mut stream = self.stream();
        let request = control.login().sign(connection_bind(id));
        stream.write_all(&[&request, behind].concat()).unwrap();
        let mut message = take(&mut stream, 20);
        let length = u16::from_be_bytes([message[2], message[3]]);
        message.extend(take(&mut stream, length.into()));
        Reply::to(&request, message).ok();
        stream
    }

    fn joined(&self, control: &mut Client) -> (Tls, TcpStream) {
        let peer = Peer::new();
        let id = connected(control, peer.address());
        (self.bind(control, id, &[]), peer.accept().0)
    }
}

/// Exactly so many bytes.
fn take(stream: &mut Tls, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

/// The server says goodbye, as TLS wants it: a stream that is cut instead is an
/// error of rustls's.
fn expect_goodbye(stream: &mut Tls) {
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
}

/// Both ways.
fn exchange(data: &mut Tls, peer: &TcpStream) {
    data.write_all(b"there").unwrap();
    assert_eq!(read(peer, 5), b"there");
    write(peer, b"and back");
    assert_eq!(take(data, 8), b"and back");
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

// C-008 C-012 C-015
#[test]
fn bytes_go_both_ways_from_the_first_to_the_last() {
    for version in VERSIONS {
        let place = Place::new(version);
        let (mut control, relayed) = place.control();
        // What the peer sends early, and what comes in one record with the bind.
        let peer = Peer::new();
        let id = connected(&mut control, peer.address());
        let (accepted, from) = peer.accept();
        assert_eq!(from, relayed);
        let early = pattern(100_000);
        write(&accepted, &early);
        let mut data = place.bind(&mut control, id, b"right behind");
        assert_eq!(read(&accepted, 12), b"right behind");
        assert_eq!(take(&mut data, early.len()), early);
        data.write_all(b"there").unwrap();
        assert_eq!(read(&accepted, 5), b"there");
        write(&accepted, b"and back");
        assert_eq!(take(&mut data, 8), b"and back");

        // A peer that connects by itself.
        control.permit("127.0.0.2".parse().unwrap());
        let inbound = connect_from("127.0.0.2", relayed);
        let (_, id) = attempt(&control.receive());
        let mut data = place.bind(&mut control, id, &[]);
        data.write_all(b"hello").unwrap();
        assert_eq!(read(&inbound, 5), b"hello");
        control.ping();
    }
}

// C-013 C-016
#[test]
fn a_bound_connection_carries_anything_and_is_bound_once() {
    let place = Place::new(&TLS13);
    let (mut control, _) = place.control();
    let (mut data, accepted) = place.joined(&mut control);
    let looks_like = [Request::binding().bytes(), vec![0x40, 0, 0, 4], b"\xFF\xFFGET /".to_vec()].concat();
    data.write_all(&looks_like).unwrap();
    assert_eq!(read(&accepted, looks_like.len()), looks_like);
    write(&accepted, &looks_like);
    assert_eq!(take(&mut data, looks_like.len()), looks_like);
    for id in 0..3 {
        control.call(connection_bind(id << 24 | 7)).refused(400);
    }
}

// C-013
#[test]
fn a_connection_is_bound_once() {
    let place = Place::new(&TLS13);
    let (mut control, _) = place.control();
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let (mut data, accepted) = (place.bind(&mut control, id, &[]), peer.accept().0);
    let mut others = [client(place.stream()).user(ALICE), Client::tcp(&place.server).user(ALICE)];
    for other in &mut others {
        other.call(connection_bind(id)).refused(400);
    }
    exchange(&mut data, &accepted);
}

// C-012
#[test]
fn control_and_data_may_differ_in_whether_they_are_under_tls() {
    let place = Place::new(&TLS13);
    let peer = Peer::new();
    let (mut secure, _) = place.control();
    let id = connected(&mut secure, peer.address());
    let plain = bind(&place.server, id);
    super::parties::exchange(&plain, &peer.accept().0);

    let (mut bare, _) = super::parties::control(&place.server);
    let id = connected(&mut bare, peer.address());
    let mut data = place.bind(&mut bare, id, &[]);
    exchange(&mut data, &peer.accept().0);
}

// C-015
#[test]
fn much_comes_through_whole() {
    for version in VERSIONS {
        let place = Place::new(version);
        let (mut control, _) = place.control();
        let (mut data, accepted) = place.joined(&mut control);
        let much = pattern(8 << 20);
        let (peer_reads, peer_writes) = (accepted.try_clone().unwrap(), accepted);
        thread::scope(|scope| {
            scope.spawn(|| assert!(read(&peer_reads, much.len()) == much));
            data.write_all(&much).unwrap();
            data.flush().unwrap();
        });
        thread::scope(|scope| {
            scope.spawn(|| write(&peer_writes, &much));
            assert!(take(&mut data, much.len()) == much);
        });
    }
}

/// Sends until nothing is taken for a while; how much that was.
fn fill(stream: &mut Tls, bytes: &[u8]) -> usize {
    stream.sock.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut taken = 0;
    loop {
        taken += stream.conn.writer().write(&bytes[taken..]).unwrap();
        match stream.conn.write_tls(&mut stream.sock) {
            Ok(_) if taken < bytes.len() || stream.conn.wants_write() => {}
            Ok(_) => return taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

// C-019
#[test]
fn a_reader_that_stops_stops_the_writer_both_ways() {
    let place = Place::new(&TLS13);
    let (mut control, _) = place.control();
    let much = pattern(64 << 20);
    let (mut data, accepted) = place.joined(&mut control);
    let memory = place.server.memory();

    let taken = fill(&mut data, &much);
    assert!(taken < much.len(), "the peer does not read");
    control.ping();
    let grown = place.server.memory().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB");
    data.sock.set_write_timeout(None).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert!(read(&accepted, taken) == much[..taken]));
        data.flush().unwrap();
    });

    accepted.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    while let Ok(count) = (&accepted).write(&much[written..]) {
        written += count;
        assert!(written < much.len(), "the client does not read");
    }
    control.ping();
    let grown = place.server.memory().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB");
    assert!(take(&mut data, written) == much[..written]);
}

// C-017
#[test]
fn when_one_side_hangs_up_so_does_the_other() {
    for version in VERSIONS {
        let place = Place::new(version);
        let (mut control, _) = place.control();
        // The client, with a goodbye and without.
        for polite in [true, false] {
            let (mut data, accepted) = place.joined(&mut control);
            if polite {
                data.conn.send_close_notify();
                data.flush().unwrap();
            }
            drop(data);
            expect_end(&accepted);
        }
        // The peer.
        let (mut data, accepted) = place.joined(&mut control);
        write(&accepted, b"that was all");
        drop(accepted);
        assert_eq!(take(&mut data, 12), b"that was all");
        expect_goodbye(&mut data);
        drop(data);
        place.server.expect_metric("floe_data_connections", &[], 0.0);
    }
}

// C-017
#[test]
fn half_a_connection_goes_on() {
    let place = Place::new(&TLS13);
    let (mut control, _) = place.control();
    let (mut data, accepted) = place.joined(&mut control);
    data.write_all(b"question").unwrap();
    data.conn.send_close_notify();
    data.flush().unwrap();
    assert_eq!(read(&accepted, 8), b"question");
    expect_end(&accepted);
    write(&accepted, b"a long answer");
    drop(accepted);
    assert_eq!(take(&mut data, 13), b"a long answer");
    expect_goodbye(&mut data);

    let (mut data, accepted) = place.joined(&mut control);
    write(&accepted, b"question");
    accepted.shutdown(Shutdown::Write).unwrap();
    assert_eq!(take(&mut data, 8), b"question");
    expect_goodbye(&mut data);
    data.write_all(b"a long answer").unwrap();
    assert_eq!(read(&accepted, 13), b"a long answer");
    drop(data);
    expect_end(&accepted);
}

// C-016
#[test]
fn nothing_is_believed_that_is_not_a_record() {
    let place = Place::new(&TLS13);
    let (mut control, _) = place.control();
    let (mut data, accepted) = place.joined(&mut control);
    data.sock.write_all(&[0x17, 3, 3, 0, 64].into_iter().chain([7; 64]).collect::<Vec<_>>()).unwrap();
    expect_end(&accepted);
    let error = data.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "an alert says why: {error}");
    control.ping();

    // Behind a goodbye nothing counts, and nothing is hurt by it.
    let (mut data, accepted) = place.joined(&mut control);
    data.conn.send_close_notify();
    data.flush().unwrap();
    expect_end(&accepted);
    data.sock.write_all(&[7; 300]).unwrap();
    write(&accepted, b"an answer");
    assert_eq!(take(&mut data, 9), b"an answer");
    control.ping();
}

// C-018
#[test]
fn all_end_with_the_allocation() {
    let place = Place::new(&TLS13);
    let (mut control, relayed) = place.control();
    let (mut data, accepted) = place.joined(&mut control);
    control.call(Request::refresh(0)).ok();
    expect_goodbye(&mut data);
    expect_end(&accepted);
    place.server.wait_until("the relay is closed", || TcpStream::connect(relayed).is_err());
    control.ping();
}
