//! Random bytes, truncated and mutated messages, over UDP and over TCP: the
//! server stays up, its memory stays flat, and nobody else loses a packet.
//!
//! A hostile client here has a good account, so that its bytes get as far as
//! bytes can. It sends a few messages and then a Binding, whose answer proves
//! that the server has read them all: a queue that never fills loses nothing,
//! and then "nothing is lost" can be said of everybody.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use floe::wire::{MAGIC_COOKIE, frame, padding};
use rand::RngExt as _;
use socket2::SockRef;

use crate::bystander::{Bystander, alongside};
use crate::noise::{Kind, Noise, seed};
use crate::process::Memory;
use crate::support::{ALICE, Client, Config, PATIENCE, Server, own_address};

/// Messages between two Bindings: with their bookkeeping about 100 KiB, half of
/// what the least of kernels grants a socket.
const WINDOW: usize = 32;

/// Of each kind and transport, where CI can wait for a debug build.
const SOME: usize = 60_000;

/// What the issue asks for.
const A_MILLION: usize = 1_000_000;

/// The part of the messages that is sent before memory is measured first:
/// buffers and tables are at their size by then.
const WARM_UP: usize = 10;

/// KiB that may be added after that. A leak of a single byte for each message
/// is a third of this in a million of three kinds; what is seen is noise of the
/// allocator and of the log, below 1 MiB.
const GROWTH: usize = 3 * 1024;

/// RFC 8656 messages of a client without an allocation have no reason to be
/// longer; the server's bound for them.
const LONGEST_FRAME: usize = 16 * 1024;

/// The hostile user's peers are this address alone, so that nothing mutated
/// reaches another test.
fn start(peer: Ipv4Addr) -> Server {
    Server::start(|config: &mut Config| {
        config.set("peers.allow", vec![format!("{peer}/32")]);
    })
}

fn flood_udp(count: usize) {
    let peer = own_address();
    let server = start(peer);
    let mut bystanders = Bystander::some(&server, peer);
    let mut hostile = Client::udp(&server).user(ALICE);
    let mut noise = Noise::new(seed(), hostile.challenge(), SocketAddr::new(peer.into(), 9));
    for kind in Kind::ALL {
        let mut send = |count: usize| -> u64 {
            for _ in 0..count.div_ceil(WINDOW) {
                for _ in 0..WINDOW {
                    hostile.send(&noise.message(kind));
                }
                hostile.receive_until_pinged();
            }
            (count.div_ceil(WINDOW) * (WINDOW + 1)) as u64
        };
        send(count / WARM_UP);
        let heard = || server.metric("floe_client_packets_total", &["direction=\"in\"", "\"udp\""]) as u64;
        let (memory, before) = (Memory::of(&server), heard());
        let (sent, beside) = alongside(&mut bystanders, || send(count));
        assert_eq!(heard() - before, sent + beside, "the server has seen every datagram");
        memory.assert_grown(&format!("{sent} datagrams, {kind:?}"), GROWTH);
    }
    assert_reached_deep(&server);
}

/// The noise was not all turned away at the door.
fn assert_reached_deep(server: &Server) {
    for method in ["allocate", "refresh", "create_permission", "channel_bind"] {
        let label = format!("method=\"{method}\"");
        for answers in ["floe_success_responses_total", "floe_error_responses_total"] {
            server.expect_some(answers, &[&label]);
        }
    }
    for reason in ["not_stun", "malformed", "bad_fingerprint", "no_channel", "no_permission"] {
        let label = format!("reason=\"{reason}\"");
        server.expect_some("floe_dropped_packets_total", &[&label]);
    }
}

/// A hostile client over TCP.
struct Stream<'a> {
    server: &'a Server,
    noise: Noise,
    client: Client,
    /// Those it has opened beside its own.
    connections: u64,
}

impl Stream<'_> {
    /// Sends so many messages. Most are made frames on one connection, so that
    /// more than their first bytes is read; the rest goes as it is, each on a
    /// connection of its own.
    fn send(&mut self, kind: Kind, count: usize) {
        for _ in 0..count.div_ceil(WINDOW) {
            let mut frames = Vec::new();
            for _ in 0..WINDOW {
                let mut message = self.noise.message(kind);
                if self.noise.random.random_range(0..16) == 0 {
                    self.alone(&message);
                } else {
                    make_frame(&mut message);
                    frames.extend(message);
                }
            }
            // The segments are the kernel's to choose, and some of them ours.
            let cut = self.noise.random.random_range(0..=frames.len());
            self.client.send(&frames[..cut]);
            self.client.send(&frames[cut..]);
            self.client.receive_until_pinged();
        }
    }

    /// Bytes on a connection of their own. Those that can't be a frame make the
    /// server close it; otherwise this side resets it, whatever is half sent.
    fn alone(&mut self, bytes: &[u8]) {
        self.connections += 1;
        let mut stream = TcpStream::connect(self.server.tcp()).expect("connected");
        SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("SO_LINGER");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("written");
        if is_no_stream(bytes) {
            expect_end(&mut stream);
        } else if self.noise.random.random() {
            stream.shutdown(Shutdown::Write).expect("half closed");
            expect_end(&mut stream);
        }
    }
}

/// Reads until the server has closed the connection.
fn expect_end(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the server keeps a broken stream open: {error}"),
        }
    }
}

/// Whether something in these bytes can't be a frame.
fn is_no_stream(mut bytes: &[u8]) -> bool {
    loop {
        match frame::next(bytes, LONGEST_FRAME) {
            frame::Next::Frame { total, .. } => bytes = &bytes[total..],
            frame::Next::NeedMore(_) => return false,
            frame::Next::Invalid => return true,
        }
    }
}

/// Changes as little as makes this one whole frame: kind, length, cookie.
fn make_frame(message: &mut Vec<u8>) {
    if message.first().is_some_and(|first| first & 0xC0 == 0x40) {
        message[0] = 0x40 | message[0] & 0x0F;
        message.resize(message.len().max(4), 0);
        let length = message.len() - 4;
        message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        message.resize(message.len() + padding(length), 0);
    } else {
        message.resize(message.len().max(20).next_multiple_of(4), 0);
        message[0] &= 0x03;
        let length = message.len() - 20;
        message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        message[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    }
}

fn flood_tcp(count: usize) {
    let peer = own_address();
    let server = start(peer);
    let mut bystanders = Bystander::some(&server, peer);
    let mut client = Client::tcp(&server).user(ALICE);
    let noise = Noise::new(seed(), client.challenge(), SocketAddr::new(peer.into(), 9));
    let mut hostile = Stream { server: &server, noise, client, connections: 0 };
    for kind in Kind::ALL {
        hostile.send(kind, count / WARM_UP);
        let memory = Memory::of(&server);
        let connections = hostile.connections;
        alongside(&mut bystanders, || hostile.send(kind, count));
        let connections = hostile.connections - connections;
        let what = format!("{count} messages, {kind:?}, {connections} of them on connections of their own");
        memory.assert_grown(&what, GROWTH);
    }
    drop(hostile);
    server.expect_metric("floe_tcp_connections", &[], 1.0);
}

// H-045
#[test]
fn udp() {
    flood_udp(SOME);
}

// H-045
#[test]
fn tcp() {
    flood_tcp(SOME);
}

// H-045
#[test]
#[ignore = "slow"]
fn a_million_over_udp() {
    flood_udp(A_MILLION);
}

// H-045
#[test]
#[ignore = "slow"]
fn a_million_over_tcp() {
    flood_tcp(A_MILLION);
}
