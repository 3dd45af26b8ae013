//! A client of the server: sends what it is told to, byte by byte, and checks
//! everything that comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use floe::wire::{AttributeType, channel_data, frame, padding};
use socket2::{Domain, Socket, Type};

use super::dtls;
use super::ports::fresh_socket;
use super::reply::data_indication;
use super::{Access, Login, PATIENCE, Reply, Request, Scheme, Server, User};

/// One 5-tuple.
#[derive(Debug)]
pub struct Client {
    link: Link,
    user: Option<(String, String, Scheme)>,
    access: Option<Access>,
    login: Option<Login>,
}

#[derive(Debug)]
enum Link {
    /// Connected: what doesn't come from the very address that was asked is not
    /// seen (RFC 8489 §6.3.1.2).
    Udp(UdpSocket),
    /// One message a record, and one record a datagram.
    Dtls(Box<dtls::Session>),
    Stream {
        stream: Box<dyn ByteStream>,
        /// What the stream runs on.
        socket: TcpStream,
        unread: Vec<u8>,
    },
}

/// TCP, or what runs on it.
pub trait ByteStream: Read + Write + Send + std::fmt::Debug {}

impl<S: Read + Write + Send + std::fmt::Debug> ByteStream for S {}

impl Client {
    /// On 127.0.0.1, over UDP.
    pub fn udp(server: &Server) -> Self {
        Self::udp_from(Ipv4Addr::LOCALHOST.into(), server.udp())
    }

    /// On ::1, over UDP.
    pub fn udp6(server: &Server) -> Self {
        Self::udp_from(Ipv6Addr::LOCALHOST.into(), server.udp6())
    }

    /// On any loopback address, over UDP.
    pub fn udp_from(ip: IpAddr, server: SocketAddr) -> Self {
        Self::over_udp(fresh_socket(ip), server)
    }

    /// On exactly this address and port, over UDP.
    pub fn udp_on(local: SocketAddr, server: SocketAddr) -> Self {
        Self::over_udp(UdpSocket::bind(local).expect("a free loopback port"), server)
    }

    fn over_udp(socket: UdpSocket, server: SocketAddr) -> Self {
        socket.connect(server).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { link: Link::Udp(socket), user: None, access: None, login: None }
    }

    /// Over a session that stands.
    pub fn over_dtls(session: dtls::Session) -> Self {
        Self { link: Link::Dtls(Box::new(session)), user: None, access: None, login: None }
    }

    /// On 127.0.0.1, over TCP.
    pub fn tcp(server: &Server) -> Self {
        Self::tcp_to(server.tcp())
    }

    /// On ::1, over TCP.
    pub fn tcp6(server: &Server) -> Self {
        Self::tcp_to(server.tcp6())
    }

    /// Over TCP to this address.
    pub fn tcp_to(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).expect("connected"))
    }

    /// From exactly this address and port, over TCP.
    pub fn tcp_on(local: SocketAddr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a socket");
        socket.bind(&local.into()).expect("a free loopback port");
        socket.connect(&server.into()).expect("connected");
        Self::over(socket.into())
    }

    /// Over a connection that stands.
    pub fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let stream = socket.try_clone().expect("a second handle");
        Self::over_stream(stream, socket)
    }

    /// Over a stream that runs on this connection.
    pub fn over_stream(stream: impl ByteStream + 'static, socket: TcpStream) -> Self {
        let link = Link::Stream { stream: Box::new(stream), socket, unread: Vec::new() };
        Self { link, user: None, access: None, login: None }
    }

    /// From now on speaks to another address, from the same port, over UDP.
    pub fn turn_to(&self, server: SocketAddr) {
        let Link::Udp(socket) = &self.link else { panic!("a connection can't be moved") };
        socket.connect(server).expect("connected");
    }

    /// Will sign as this user, the RFC 5389 way.
    pub fn user(self, user: User<'_>) -> Self {
        self.user_by(user, Scheme::Legacy)
    }

    /// Will sign as this user, this way.
    pub fn user_by(mut self, user: User<'_>, scheme: Scheme) -> Self {
        self.user = Some((user.name.into(), user.password.into(), scheme));
        self.access = None;
        self.login = None;
        self
    }

    /// Will log in with this access token, signing this way.
    pub fn access_by(mut self, access: Access, scheme: Scheme) -> Self {
        self.renew(access, scheme);
        self.login = None;
        self
    }

    /// The same in the RFC 5389 way.
    pub fn access(self, access: Access) -> Self {
        self.access_by(access, Scheme::Legacy)
    }

    /// From now on has another access token, with the nonce that it has had.
    pub fn renew(&mut self, access: Access, scheme: Scheme) {
        self.user = Some((access.kid.into(), String::new(), scheme));
        if let Some(login) = &mut self.login {
            (login.name, login.scheme, login.access) = (access.kid.into(), scheme, Some(access.clone()));
        }
        self.access = Some(access);
    }

    pub fn local(&self) -> SocketAddr {
        match &self.link {
            Link::Udp(socket) => socket.local_addr(),
            Link::Dtls(session) => session.get_ref().0.local_addr(),
            Link::Stream { socket, .. } => socket.local_addr(),
        }
        .expect("bound")
    }

    /// From now on packets leave with this TOS byte and TTL (IPv4).
    pub fn mark(&self, tos: u32, ttl: u32) {
        let socket = match &self.link {
            Link::Udp(socket) => socket2::SockRef::from(socket),
            Link::Dtls(session) => socket2::SockRef::from(&session.get_ref().0),
            Link::Stream { socket, .. } => socket2::SockRef::from(socket),
        };
        socket.set_tos_v4(tos).expect("IP_TOS");
        socket.set_ttl_v4(ttl).expect("IP_TTL");
    }

    pub fn is_udp(&self) -> bool {
        matches!(self.link, Link::Udp(_))
    }

    pub fn is_stream(&self) -> bool {
        matches!(self.link, Link::Stream { .. })
    }

    /// The DTLS session itself.
    pub fn dtls(&mut self) -> &mut dtls::Session {
        match &mut self.link {
            Link::Dtls(session) => session,
            _ => panic!("no session"),
        }
    }

    /// One datagram, or bytes of the stream.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.link {
            Link::Udp(socket) => assert_eq!(socket.send(bytes).expect("sent"), bytes.len()),
            Link::Dtls(session) => assert_eq!(session.ssl_write(bytes).expect("sent"), bytes.len()),
            Link::Stream { stream, .. } => stream.write_all(bytes).expect("written"),
        }
    }

    /// The next datagram or frame; a frame comes without its padding, which is
    /// checked to be zero.
    pub fn receive(&mut self) -> Vec<u8> {
        match &mut self.link {
            Link::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).expect("a packet from the server");
                buffer.truncate(length);
                buffer
            }
            Link::Dtls(session) => {
                let mut buffer = vec![0; 65_536];
                let read = dtls::until_done(|| session.ssl_read(&mut buffer));
                buffer.truncate(read.expect("a message from the server"));
                buffer
            }
            Link::Stream { stream, unread, .. } => loop {
                if let frame::Next::Frame { message, total } = frame::next(unread, usize::MAX) {
                    let mut packet: Vec<u8> = unread.drain(..total).collect();
                    assert!(packet.split_off(message).iter().all(|byte| *byte == 0), "padding is zero");
                    return packet;
                }
                let mut buffer = [0; 16_384];
                let length = stream.read(&mut buffer).expect("bytes from the server");
                assert_ne!(length, 0, "the server closed the connection");
                unread.extend(&buffer[..length]);
            },
        }
    }

    /// The server closes the connection and sends nothing before.
    pub fn expect_closed(&mut self) {
        let Link::Stream { stream, unread, .. } = &mut self.link else { panic!("UDP has no connection") };
        assert!(unread.is_empty());
        match stream.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection should be closed: {other:?}"),
        }
    }

    /// The TCP connection itself.
    pub fn stream(&self) -> &TcpStream {
        match &self.link {
            Link::Stream { socket, .. } => socket,
            Link::Udp(_) | Link::Dtls(_) => panic!("UDP has no connection"),
        }
    }

    /// The UDP socket itself, connected to the server.
    pub fn datagrams(&self) -> &UdpSocket {
        match &self.link {
            Link::Udp(socket) => socket,
            Link::Stream { .. } | Link::Dtls(_) => panic!("no bare UDP"),
        }
    }

    /// Sends these bytes; the next thing that comes is their response.
    pub fn ask_bytes(&mut self, bytes: &[u8]) -> Reply {
        self.send(bytes);
        let reply = Reply::to(bytes, self.receive());
        // RFC 8489 §6.1: what fits every path.
        let largest = if self.local().is_ipv4() { 548 } else { 1232 };
        assert!(!self.is_udp() || reply.bytes.len() <= largest, "{} bytes", reply.bytes.len());
        reply
    }

    /// Sends the request unsigned.
    pub fn ask(&mut self, request: &Request) -> Reply {
        self.ask_bytes(&request.bytes())
    }

    /// A Binding, answered.
    pub fn ping(&mut self) -> Reply {
        self.ask(&Request::binding()).ok()
    }

    /// Nothing answers these bytes: the next thing that comes is the answer to
    /// what was sent behind them.
    pub fn expect_silence(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.ping();
    }

    /// Reads what the server has sent so far and says how many packets it was.
    /// Whatever it will send must be on its way already.
    pub fn count_waiting(&mut self) -> usize {
        let Link::Udp(socket) = &self.link else { panic!("a stream has no packets to count") };
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let mut buffer = [0; 2048];
        let count = std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count();
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        count
    }

    /// Everything that comes before the answer to a Binding sent now.
    pub fn receive_until_pinged(&mut self) -> Vec<Vec<u8>> {
        let binding = Request::binding().bytes();
        self.send(&binding);
        let mut before = Vec::new();
        loop {
            let packet = self.receive();
            if packet.get(8..20) == Some(&binding[8..20]) {
                return before;
            }
            before.push(packet);
        }
    }

    /// Lets itself be challenged, and remembers realm and nonce.
    pub fn challenge(&mut self) -> &mut Login {
        let (name, password, scheme) = self.user.clone().expect("a user");
        let challenge = self.ask(&Request::allocate());
        challenge.assert_challenge(401);
        let user = User { name: &name, password: &password };
        let login = Login::new(user, challenge.realm(), challenge.nonce());
        self.login.insert(Login { scheme, access: self.access.clone(), ..login })
    }

    /// What the client signs with, challenged first if it has not been yet.
    pub fn login(&mut self) -> &mut Login {
        if self.login.is_none() {
            self.challenge();
        }
        self.login.as_mut().expect("challenged")
    }

    /// Sends the request signed. The reply must be signed too, or tell why the
    /// signature was not good enough.
    pub fn call(&mut self, request: Request) -> Reply {
        let bytes = self.login().sign(request);
        self.call_bytes(&bytes)
    }

    /// The same for a message signed by hand.
    pub fn call_bytes(&mut self, bytes: &[u8]) -> Reply {
        let reply = self.ask_bytes(bytes);
        if ![401, 438].contains(&reply.code()) {
            assert!(self.login().has_signed(&reply), "the reply ({}) is not signed", reply.code());
            for kind in [AttributeType::USERNAME, AttributeType::USERHASH] {
                assert!(!reply.has(kind), "{kind:?} in a reply");
            }
        }
        reply
    }

    /// Allocates a UDP relay.
    pub fn allocate(&mut self) -> SocketAddr {
        self.call(Request::allocate()).ok().relayed()
    }

    pub fn permit(&mut self, peer: IpAddr) {
        self.call(Request::permission(&[peer])).ok();
    }

    pub fn bind(&mut self, channel: u16, peer: SocketAddr) {
        self.call(Request::channel_bind(channel, peer)).ok();
    }

    /// A Send indication.
    pub fn send_to(&mut self, peer: SocketAddr, payload: &[u8]) {
        self.send(&Request::send_indication(peer, payload).bytes());
    }

    /// ChannelData, padded on a stream.
    pub fn send_channel(&mut self, channel: u16, payload: &[u8]) {
        let mut packet = channel_message(channel, payload);
        if self.is_stream() {
            packet.resize(packet.len() + padding(payload.len()), 0);
        }
        self.send(&packet);
    }

    /// The next thing that comes is this payload in a Data indication.
    pub fn expect_data(&mut self, peer: SocketAddr, payload: &[u8]) {
        let packet = self.receive();
        assert_eq!(data_indication(&packet), (peer, payload.to_vec()));
    }

    /// The next thing that comes is this payload on this channel.
    pub fn expect_channel(&mut self, channel: u16, payload: &[u8]) {
        let packet = self.receive();
        let (number, range) = channel_data::parse(&packet).expect("ChannelData");
        assert_eq!((number.0, &packet[range]), (channel, payload));
    }

    /// The same on a channel.
    pub fn exchange_on(&mut self, channel: u16, relayed: SocketAddr, peer: &super::Peer) {
        self.send_channel(channel, b"there");
        peer.expect(b"there", relayed);
        peer.send(relayed, b"and back");
        self.expect_channel(channel, b"and back");
    }

    /// A datagram and its way back prove that this client and this peer reach
    /// each other by Send and Data.
    pub fn exchange(&mut self, relayed: SocketAddr, peer: &super::Peer) {
        self.send_to(peer.address(), b"there");
        peer.expect(b"there", relayed);
        peer.send(relayed, b"and back");
        self.expect_data(peer.address(), b"and back");
    }
}

/// A ChannelData message, unpadded.
pub fn channel_message(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = channel.to_be_bytes().to_vec();
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend(payload);
    packet
}
