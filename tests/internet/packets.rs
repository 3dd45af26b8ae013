//! Packets as they are on the wire, seen and forged through raw sockets.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{PATIENCE, skip};

/// A raw socket; `None`, and said so, where that takes rights this user lacks.
pub(crate) fn raw(protocol: Protocol) -> Option<Socket> {
    raw_socket(Domain::IPV4, protocol)
}

fn raw_socket(domain: Domain, protocol: Protocol) -> Option<Socket> {
    match Socket::new(domain, Type::RAW, Some(protocol)) {
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
    raw_at(ip, Protocol::ICMPV4)
}

/// Every UDP datagram to this address: those of all others would fill the
/// socket's queue on a busy machine.
pub(crate) fn datagrams_to(ip: IpAddr) -> Option<Socket> {
    raw_at(ip, Protocol::UDP)
}

fn raw_at(ip: impl Into<IpAddr>, protocol: Protocol) -> Option<Socket> {
    let socket = raw(protocol)?;
    socket.bind(&SocketAddr::new(ip.into(), 0).into()).expect("a loopback address");
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

/// A datagram over IPv6, put together by hand.
#[derive(Clone, Copy)]
pub(crate) struct Labelled<'a> {
    pub(crate) flow_label: u32,
    pub(crate) from: SocketAddrV6,
    pub(crate) to: SocketAddrV6,
    pub(crate) payload: &'a [u8],
}

impl Labelled<'_> {
    /// In one packet.
    pub(crate) fn send(self, socket: &Socket) {
        self.put(socket, UDP, &self.udp());
    }

    /// In two packets, with Fragment headers.
    pub(crate) fn send_in_fragments(self, socket: &Socket, first: usize) {
        assert!(first.is_multiple_of(8));
        let udp = self.udp();
        for (offset, piece, more) in [(0, &udp[..first], 1), (first as u16, &udp[first..], 0)] {
            let header = [&[UDP, 0][..], &(offset | more).to_be_bytes(), &self.flow_label.to_be_bytes()];
            self.put(socket, FRAGMENT, &[&header.concat(), piece].concat());
        }
    }

    /// UDP header and payload, with the checksum that IPv6 demands.
    fn udp(self) -> Vec<u8> {
        let length = (8 + self.payload.len()) as u16;
        let ports = [self.from.port(), self.to.port(), length, 0].map(u16::to_be_bytes);
        let mut udp = [ports.as_flattened(), self.payload].concat();
        let pseudo = [
            &self.from.ip().octets()[..],
            &self.to.ip().octets(),
            &u32::from(length).to_be_bytes(),
            &[0, 0, 0, UDP],
            &udp,
        ];
        let sum = checksum(&pseudo.concat()).to_be_bytes();
        udp[6..8].copy_from_slice(&sum);
        udp
    }

    fn put(self, socket: &Socket, next_header: u8, body: &[u8]) {
        let mut packet = (6 << 28 | self.flow_label).to_be_bytes().to_vec();
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend([next_header, 64]);
        packet.extend(self.from.ip().octets());
        packet.extend(self.to.ip().octets());
        packet.extend(body);
        let to = SocketAddrV6::new(*self.to.ip(), 0, 0, 0);
        socket.send_to(&packet, &SocketAddr::from(to).into()).expect("sent");
    }
}

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// A raw socket whose packets bring their own IPv6 header.
pub(crate) fn raw_v6() -> Option<Socket> {
    raw_socket(Domain::IPV6, Protocol::from(255))
}

/// Every IPv6 packet of this host, as its links carry it.
pub(crate) fn links() -> Option<Socket> {
    const IPV6: u16 = 0x86DD;
    let links = raw_socket(Domain::PACKET, Protocol::from(i32::from(IPV6.to_be())))?;
    // Other tests send too.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&links, 16 << 20).expect("SO_RCVBUFFORCE");
    Some(links)
}

/// The flow label of the next datagram that reaches `to` with this payload.
pub(crate) fn flow_label_of(links: &Socket, to: SocketAddr, payload: &[u8]) -> u32 {
    const ETHERNET: usize = 14;
    let mut buffer = vec![0; 65_600];
    let mut links = links;
    loop {
        let length = links.read(&mut buffer).expect("the datagram is seen");
        let packet = &buffer[ETHERNET..length];
        let port = packet.get(42..44).map(|port| u16::from_be_bytes([port[0], port[1]]));
        if packet[6] == UDP && port == Some(to.port()) && &packet[48..] == payload {
            return u32::from_be_bytes([0, packet[1] & 0x0F, packet[2], packet[3]]);
        }
    }
}
