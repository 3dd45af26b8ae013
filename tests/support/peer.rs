//! A host on the far side of the relay.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::PATIENCE;

/// A UDP socket of a peer.
#[derive(Debug)]
pub struct Peer(UdpSocket);

impl Peer {
    /// On 127.0.0.1.
    pub fn new() -> Self {
        Self::at("127.0.0.1")
    }

    /// On a loopback address, at a free port.
    pub fn at(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        Self::on(SocketAddr::new(ip, 0))
    }

    /// At exactly this address and port.
    pub fn on(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("a free loopback port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    pub fn ip(&self) -> IpAddr {
        self.address().ip()
    }

    /// From now on packets leave with this TOS byte and TTL (IPv4).
    pub fn mark(&self, tos: u32, ttl: u32) {
        let socket = socket2::SockRef::from(&self.0);
        socket.set_tos_v4(tos).expect("IP_TOS");
        socket.set_ttl_v4(ttl).expect("IP_TTL");
    }

    pub fn send(&self, to: SocketAddr, payload: &[u8]) {
        self.0.send_to(payload, to).expect("sent");
    }

    /// The next datagram and where it came from.
    pub fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = self.0.recv_from(&mut buffer).expect("a datagram for the peer");
        buffer.truncate(length);
        (buffer, from)
    }

    /// The next datagram is this one, from there.
    pub fn expect(&self, payload: &[u8], from: SocketAddr) {
        let (got, source) = self.receive();
        assert_eq!((got.as_slice(), source), (payload, from));
    }

    /// The same without memory of its own: `buffer` holds any datagram.
    pub fn expect_into(&self, buffer: &mut [u8], payload: &[u8], from: SocketAddr) {
        let (length, source) = self.0.recv_from(buffer).expect("a datagram for the peer");
        assert_eq!((&buffer[..length], source), (payload, from));
    }
}
