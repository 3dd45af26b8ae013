//! Packets as they are on the wire, seen and forged through raw sockets.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{PATIENCE, skip};

/// A raw socket; `None`, and said so, where that takes rights this user lacks.
pub(crate) fn raw(protocol: Protocol) -> Option<Socket> {
    match Socket::new(Domain::IPV4, Type::RAW, Some(protocol)) {
        Ok(socket) => {
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            Some(socket)
        }
        Err(error) => {
            skip("raw sockets", &format!("they need root or CAP_NET_RAW: {error}"));
            None
        }
    }
}

/// Where a router on the way sends ICMP from.
pub(crate) fn router(ip: Ipv4Addr) -> Option<Socket> {
    let socket = raw(Protocol::ICMPV4)?;
    socket.bind(&SocketAddr::from((ip, 0)).into()).expect("a loopback address");
    Some(socket)
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("IPv4 alone is forged here"),
    }
}

/// An ICMP error in answer to a datagram.
#[derive(Clone, Copy)]
pub(crate) struct Forged {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// The third word of the header's last half: the MTU for 3/4.
    pub(crate) mtu: u16,
    /// IP protocol of the datagram; 17 is UDP.
    pub(crate) protocol: u8,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

impl Forged {
    /// The ICMP message with as much of the datagram as routers give back.
    fn bytes(self) -> Vec<u8> {
        let (from, to) = (v4(self.from), v4(self.to));
        let mut bytes = vec![self.kind, self.code, 0, 0, 0, 0];
        bytes.extend(self.mtu.to_be_bytes());
        bytes.extend([0x45, 0, 0, 32, 0, 1, 0x40, 0, 60, self.protocol, 0, 0]);
        bytes.extend(from.ip().octets());
        bytes.extend(to.ip().octets());
        let header = checksum(&bytes[8..28]).to_be_bytes();
        bytes[18..20].copy_from_slice(&header);
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }

    /// To the datagram's sender.
    pub(crate) fn send(self, socket: &Socket) {
        socket.send_to(&self.bytes(), &SocketAddr::from((*v4(self.from).ip(), 0)).into()).expect("sent");
    }
}

/// RFC 1071
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// What the header of an IPv4 packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// DSCP and ECN.
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
}

/// The header of the next datagram that reaches `to` with this payload.
pub(crate) fn header_of(socket: &Socket, to: SocketAddr, payload: &[u8]) -> Header {
    let mut buffer = vec![0; 65_536];
    let mut socket = socket;
    loop {
        let length = socket.read(&mut buffer).expect("the datagram is seen");
        let packet = &buffer[..length];
        let (ip, udp) = packet.split_at(usize::from(packet[0] & 0x0F) * 4);
        let destination = (&ip[16..20], u16::from_be_bytes([udp[2], udp[3]]));
        if destination == (&v4(to).ip().octets()[..], to.port()) && &udp[8..] == payload {
            return Header { tos: ip[1], ttl: ip[8], dont_fragment: ip[6] & 0x40 != 0 };
        }
    }
}
