//! A forwarder that does nothing else: the least that a relay with a socket for
//! each client can take on this machine, as a measure for the rest. It answers what
//! the generator asks before it sends, to whoever asks, checks nothing, and knows
//! each client by its address; no timers, permissions, limits or metrics. Sockets
//! are read and written by floe's own batches, several threads share the port.
//! This program starts itself with [`COMMAND`] to be it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use floe::net::udp::{Batch, Datagram, Options, Outbox, Received, Socket};
use floe::net::usable_cores;
use floe::wire::integrity::LongTermKeys;
use floe::wire::{AttributeType, Class, ErrorCode, Message, MessageWriter, Method};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::servers::{PASSWORD, USER};

/// The first argument.
pub(crate) const COMMAND: &str = "serve-forwarder";
pub(crate) const TITLE: &str = "bare forwarder";

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const BUFFER: usize = 4 * 1024 * 1024;
/// Names the listener among a thread's sockets.
const LISTENER: u64 = u64::MAX;

/// Serves until it is killed; says where on the first line of its output. Arguments:
/// the realm, and how many threads, where it is not to be one for each core.
pub(crate) fn serve() -> ExitCode {
    let realm = std::env::args().nth(2).unwrap_or_default();
    let threads = std::env::args().nth(3).and_then(|threads| threads.parse().ok());
    let options = Options { reuse_port: true, buffer: BUFFER, join: true, ..Options::default() };
    let first = Socket::bind(LOCAL, &options).expect("a socket");
    let address = first.local_addr().expect("bound");
    let others =
        (1..threads.unwrap_or_else(usable_cores)).map(|_| Socket::bind(address, &options).expect("a socket"));
    let listeners: Vec<Socket> = std::iter::once(first).chain(others).collect();
    println!("{address}");
    std::thread::scope(|scope| {
        for listener in listeners {
            scope.spawn(|| Forwarder::new(listener, &realm).run());
        }
    });
    ExitCode::SUCCESS
}

/// One thread.
struct Forwarder {
    listener: Socket,
    epoll: std::os::fd::OwnedFd,
    realm: String,
    key: [u8; 16],
    relays: Vec<Relay>,
    by_client: HashMap<SocketAddr, usize>,
    received: Received,
    outbox: Outbox,
}

/// What one client has.
struct Relay {
    socket: Socket,
    client: SocketAddr,
    /// Once it is bound to a channel.
    peer: Option<SocketAddr>,
    channel: [u8; 2],
}

impl Forwarder {
    fn new(listener: Socket, realm: &str) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll set");
        let token = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, token, epoll::EventFlags::IN).expect("added");
        Self {
            listener,
            epoll,
            realm: realm.to_owned(),
            key: LongTermKeys::derive(USER, realm, PASSWORD).md5,
            relays: Vec::new(),
            by_client: HashMap::new(),
            received: Received::new(),
            outbox: Outbox::new(),
        }
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), None);
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.relay_up(),
                    relay => self.relay_down(relay as usize),
                }
            }
        }
    }

    fn relay_up(&mut self) {
        if self.listener.recv(&mut self.received).is_err() {
            return;
        }
        for at in 0..self.received.len() {
            if self.received.bytes(at)[0] < 0x40 {
                self.answer(at);
            }
        }
        let mut batch = self.outbox.batch();
        for at in 0..self.received.len() {
            let bytes = self.received.bytes(at);
            let relay = self.by_client.get(&self.received.meta(at).from).map(|relay| &self.relays[*relay]);
            if let (&[0x40..=0x4F, _, high, low, ref payload @ ..], Some(relay)) = (bytes, relay)
                && let (Some(payload), Some(to)) =
                    (payload.get(..usize::from(u16::from_be_bytes([high, low]))), relay.peer)
            {
                push(&mut batch, &relay.socket, to, [payload, &[], &[]]);
            }
        }
        batch.send(|_| ());
    }

    fn relay_down(&mut self, relay: usize) {
        let relay = &self.relays[relay];
        if relay.socket.recv(&mut self.received).is_err() {
            return;
        }
        let headers: Vec<[u8; 4]> = (0..self.received.len())
            .map(|at| {
                let [high, low] = (self.received.bytes(at).len() as u16).to_be_bytes();
                [relay.channel[0], relay.channel[1], high, low]
            })
            .collect();
        let mut batch = self.outbox.batch();
        for (at, header) in headers.iter().enumerate() {
            push(&mut batch, &self.listener, relay.client, [header, self.received.bytes(at), &[]]);
        }
        batch.send(|_| ());
    }

    /// To a request that came as the batch's packet `at`.
    fn answer(&mut self, at: usize) {
        let from = self.received.meta(at).from;
        let Ok(request) = Message::parse(self.received.bytes(at)) else { return };
        let (method, id) = (request.method(), request.transaction_id());
        let mut out = Vec::new();
        if method == Method::BINDING {
            let mut answer = MessageWriter::new(&mut out, Class::Success, method, id);
            answer.put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, from);
        } else if !request.has(AttributeType::USERNAME) {
            let mut answer = MessageWriter::new(&mut out, Class::Error, method, id);
            answer.put_error(ErrorCode::UNAUTHENTICATED, "");
            answer.put(AttributeType::REALM, self.realm.as_bytes());
            answer.put(AttributeType::NONCE, b"nonce");
        } else {
            let mut answer = MessageWriter::new(&mut out, Class::Success, method, id);
            answer.put_u32(AttributeType::LIFETIME, 600);
            match method {
                Method::ALLOCATE => {
                    let relay = self.relays.len();
                    let options = Options { buffer: BUFFER, join: true, ..Options::default() };
                    let socket = Socket::bind(LOCAL, &options).expect("a socket");
                    let token = epoll::EventData::new_u64(relay as u64);
                    epoll::add(&self.epoll, &socket, token, epoll::EventFlags::IN).expect("added");
                    let address = socket.local_addr().expect("bound");
                    answer.put_xor_address(AttributeType::XOR_RELAYED_ADDRESS, address);
                    answer.put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, from);
                    self.relays.push(Relay { socket, client: from, peer: None, channel: [0; 2] });
                    self.by_client.insert(from, relay);
                }
                Method::CHANNEL_BIND => {
                    if let Some(relay) = self.by_client.get(&from)
                        && let Some(Ok(peer)) = request.xor_address(AttributeType::XOR_PEER_ADDRESS)
                        && let Some([high, low, ..]) = request.get(AttributeType::CHANNEL_NUMBER)
                    {
                        let relay = &mut self.relays[*relay];
                        (relay.peer, relay.channel) = (Some(peer), [*high, *low]);
                    }
                }
                _ => {}
            }
            answer.sign_sha1(&self.key);
        }
        self.listener.send(&[Datagram { to: from, from: None, parts: [&out, &[], &[]] }]);
    }
}

fn push<'a>(batch: &mut Batch<'_, 'a>, socket: &'a Socket, to: SocketAddr, parts: [&'a [u8]; 3]) {
    batch.push(socket, 0, false, &Datagram { to, from: None, parts });
}
