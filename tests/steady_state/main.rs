//! Once it has warmed up, a server calls the allocator for no packet that it
//! relays: neither for ChannelData nor for Send and Data, in either direction.
//!
//! The server is a whole one but for its configuration and its admin address: one
//! shard on a thread of this process, its own listeners and relay sockets, and
//! clients and peers with real sockets. The allocator of the process counts every
//! call to it, of whichever thread. So there is one test here, and no other may
//! join it.
//!
//! `stats_alloc` counts: `dhat` would too, but writes down where each call came
//! from, which the loads here need not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod world;

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use floe::relay::Transport;
use floe::wire::{AttributeType, Class, Message, Method, channel_data};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Request};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CHANNEL: u16 = 0x4123;
const PAYLOAD: [u8; 172] = [0x5A; 172];

/// Packets sent back to back, in turn: alone and in batches.
const BURSTS: [usize; 3] = [1, 7, 40];

/// Rounds of all bursts, before and while calls are counted.
const WARM_UP: usize = 30;
const COUNTED: usize = 200;

/// One way through the server: who sends, what, and who gets it, with room to.
struct Way<'a> {
    name: String,
    send: Box<dyn Fn() + 'a>,
    receive: Receive<'a>,
}

type Receive<'a> = Box<dyn Fn(&mut [u8]) + 'a>;

impl Way<'_> {
    fn go(&self, rounds: usize, buffer: &mut [u8]) {
        for _ in 0..rounds {
            for burst in BURSTS {
                (0..burst).for_each(|_| (self.send)());
                (0..burst).for_each(|_| (self.receive)(buffer));
            }
        }
    }
}

#[test]
fn a_packet_costs_no_allocation() {
    // What is counted: calls of other threads too.
    let region = Region::new(ALLOCATOR);
    std::thread::spawn(|| std::hint::black_box(vec![0_u8; 100])).join().unwrap();
    assert!(region.change().allocations >= 2, "nothing is counted");

    let server = world::start();
    let mut buffer = vec![0; 65_536];
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        if ip.is_ipv6() && UdpSocket::bind((ip, 0)).is_err() {
            support::skip("steady_state over IPv6", "no IPv6 here");
            continue;
        }
        let over_udp = Client::udp_from(ip, server.address(Transport::Udp, ip));
        let over_tcp = Client::tcp_to(server.address(Transport::Tcp, ip));
        for client in [over_udp, over_tcp] {
            let mut client = client.user(ALICE);
            // Of the client's own family, whatever that is.
            let family = if ip.is_ipv4() { 1 } else { 2 };
            let relayed = client.call(Request::allocate().family(family)).ok().relayed();
            let [bound, permitted] = [(); 2].map(|()| Peer::on((ip, 0).into()));
            client.bind(CHANNEL, bound.address());
            client.permit(permitted.ip());
            for way in ways(&client, relayed, &bound, &permitted) {
                way.go(WARM_UP, &mut buffer);
                let region = Region::new(ALLOCATOR);
                way.go(COUNTED, &mut buffer);
                let change = region.change();
                let calls = change.allocations + change.reallocations + change.deallocations;
                assert_eq!(calls, 0, "{}: {change:?}", way.name);
            }
        }
    }
}

/// Every kind of packet, there and back.
fn ways<'a>(client: &'a Client, relayed: SocketAddr, bound: &'a Peer, permitted: &'a Peer) -> Vec<Way<'a>> {
    let (link, kind) = match client.is_udp() {
        true => (Socket::Udp(client.datagrams()), "UDP"),
        false => (Socket::Tcp(client.stream()), "TCP"),
    };
    let name = |what: &str| format!("{what} over {kind} with {}", relayed.ip());
    let frame = channel_message(CHANNEL, &PAYLOAD);
    let framed = frame.len();
    let send = Request::send_indication(permitted.address(), &PAYLOAD).bytes();
    // Of the same attributes as the Data indication that comes back.
    let indicated = send.len();
    vec![
        Way {
            name: name("ChannelData up"),
            send: Box::new(move || link.send(&frame)),
            receive: Box::new(move |buffer| bound.expect_into(buffer, &PAYLOAD, relayed)),
        },
        Way {
            name: name("ChannelData down"),
            send: Box::new(move || bound.send(relayed, &PAYLOAD)),
            receive: Box::new(move |buffer| {
                let packet = link.receive(buffer, framed);
                let (number, payload) = channel_data::parse(packet).expect("ChannelData");
                assert_eq!((number.0, &packet[payload]), (CHANNEL, &PAYLOAD[..]));
            }),
        },
        Way {
            name: name("Send"),
            send: Box::new(move || link.send(&send)),
            receive: Box::new(move |buffer| permitted.expect_into(buffer, &PAYLOAD, relayed)),
        },
        Way {
            name: name("Data"),
            send: Box::new(move || permitted.send(relayed, &PAYLOAD)),
            receive: Box::new(move |buffer| {
                let message = Message::parse(link.receive(buffer, indicated)).expect("STUN");
                assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
                assert_eq!(message.get(AttributeType::DATA), Some(&PAYLOAD[..]));
            }),
        },
    ]
}

/// A client's, read without memory of its own.
#[derive(Clone, Copy)]
enum Socket<'a> {
    Udp(&'a UdpSocket),
    Tcp(&'a TcpStream),
}

impl Socket<'_> {
    fn send(self, packet: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(packet).expect("sent"), packet.len()),
            Self::Tcp(mut stream) => stream.write_all(packet).expect("written"),
        }
    }

    /// The next packet, which has so many bytes.
    fn receive(self, buffer: &mut [u8], length: usize) -> &[u8] {
        match self {
            Self::Udp(socket) => assert_eq!(socket.recv(buffer).expect("a packet"), length),
            Self::Tcp(mut stream) => stream.read_exact(&mut buffer[..length]).expect("a frame"),
        }
        &buffer[..length]
    }
}
