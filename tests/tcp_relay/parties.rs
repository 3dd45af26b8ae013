//! Who takes part: a client with its control connection, its data connections,
//! and peers over TCP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use floe::wire::attribute::u32_value;
use floe::wire::{AttributeType, Class, Message, Method};
use socket2::{Domain, Socket, Type};

use crate::support::{ALICE, Client, PATIENCE, Reply, Request, Server};

/// Protocol number of TCP.
const TCP: u8 = 6;

/// A server that relays TCP, with several shards so that data connections come
/// to other ones than the control connection.
pub(crate) fn server() -> Server {
    Server::start(|config| {
        config.set("relay.tcp", true).set("listen.shards", 3);
    })
}

pub(crate) fn allocate() -> Request {
    Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[TCP, 0, 0, 0])
}

pub(crate) fn connect(peer: SocketAddr) -> Request {
    Request::new(Method::CONNECT).peer(peer)
}

pub(crate) fn connection_bind(id: u32) -> Request {
    Request::new(Method::CONNECTION_BIND).put(AttributeType::CONNECTION_ID, &id.to_be_bytes())
}

/// A control connection of Alice's with a TCP allocation.
pub(crate) fn control(server: &Server) -> (Client, SocketAddr) {
    let mut client = Client::tcp(server).user(ALICE);
    let relayed = client.call(allocate()).ok().relayed();
    (client, relayed)
}

pub(crate) fn connection_id(reply: &Reply) -> u32 {
    u32_value(reply.get(AttributeType::CONNECTION_ID).expect("CONNECTION-ID")).expect("four bytes")
}

/// The id of a connection to this peer.
pub(crate) fn connected(control: &mut Client, peer: SocketAddr) -> u32 {
    connection_id(&control.call(connect(peer)).ok())
}

/// Another connection of Alice's, which binds this one and becomes it. `behind`
/// goes in the same segment.
pub(crate) fn bind_with(server: &Server, id: u32, behind: &[u8]) -> TcpStream {
    let mut client = Client::tcp(server).user(ALICE);
    let request = client.login().sign(connection_bind(id));
    client.send(&[&request, behind].concat());
    let mut stream = client.stream().try_clone().expect("a second handle");
    Reply::to(&request, read_message(&mut stream)).ok();
    stream
}

pub(crate) fn bind(server: &Server, id: u32) -> TcpStream {
    bind_with(server, id, &[])
}

/// One STUN message and not a byte behind it.
pub(crate) fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = read(stream, 20);
    let length = u16::from_be_bytes([message[2], message[3]]);
    message.extend(read(stream, length.into()));
    message
}

/// Exactly so many bytes.
pub(crate) fn read(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

pub(crate) fn write(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("written");
}

/// The other side ends the connection, and sends nothing before.
pub(crate) fn expect_end(mut stream: &TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the connection should end: {other:?}"),
    }
}

/// Both ways.
pub(crate) fn exchange(one: &TcpStream, other: &TcpStream) {
    write(one, b"there");
    assert_eq!(read(other, 5), b"there");
    write(other, b"and back");
    assert_eq!(read(one, 8), b"and back");
}

/// What a ConnectionAttempt says: the peer and the id.
pub(crate) fn attempt(packet: &[u8]) -> (SocketAddr, u32) {
    let message = Message::parse(packet).expect("well-formed STUN");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
    let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).expect("XOR-PEER-ADDRESS");
    let id = u32_value(message.get(AttributeType::CONNECTION_ID).expect("CONNECTION-ID"));
    (peer.expect("an address"), id.expect("four bytes"))
}

/// A peer that listens.
pub(crate) struct Peer(TcpListener);

impl Peer {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1")
    }

    pub(crate) fn at(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        Self(TcpListener::bind((ip, 0)).expect("a free loopback port"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// The next connection and where it comes from.
    pub(crate) fn accept(&self) -> (TcpStream, SocketAddr) {
        let (stream, from) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        (stream, from)
    }
}

/// A peer whose kernel answers no SYN any more: its queue is full and nobody
/// accepts.
pub(crate) struct BlackHole {
    listener: Socket,
    _queue: Vec<Socket>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listener = socket();
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        listener.bind(&any.into()).expect("a free loopback port");
        listener.listen(0).expect("listens");
        let address = listener.local_addr().expect("bound");
        let queue = (0..8).map(|_| {
            let socket = socket();
            socket.set_nonblocking(true).expect("non-blocking");
            let _ = socket.connect(&address);
            socket
        });
        Self { _queue: queue.collect(), listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound").as_socket().expect("an IP address")
    }
}

/// A peer that connects to a relay, from this address.
pub(crate) fn connect_from(ip: &str, relayed: SocketAddr) -> TcpStream {
    let ip: IpAddr = ip.parse().expect("an address");
    let socket = Socket::new(Domain::for_address(relayed), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(ip, 0).into()).expect("a free loopback port");
    socket.connect(&relayed.into()).expect("connected");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What a reply that is no success says.
pub(crate) trait Refused {
    fn refused(&self, code: u16);
}

impl Refused for Reply {
    fn refused(&self, code: u16) {
        assert_eq!(self.code(), code);
    }
}
