//! One Binding request from a relay address, at a port of its range: what a STUN
//! server elsewhere sees is what peers will.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant};

use crate::config::PortRange;
use crate::wire::{AttributeType, Class, Message, MessageWriter, Method, TransactionId};

/// When the request is sent again (RFC 8489 §6.2.1), and given up.
const WAITS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(1000),
];
/// Ports that are tried until one is free.
const TRIES: usize = 16;

/// Where the request came from, here and as the server saw it.
pub(super) fn ask(
    host: &str,
    port: u16,
    local: IpAddr,
    ports: PortRange,
) -> Result<(SocketAddr, SocketAddr), String> {
    let found = (host, port).to_socket_addrs().map_err(|error| format!("{host} has no address: {error}"))?;
    let server = found.into_iter().find(|address| address.is_ipv4() == local.is_ipv4());
    let server = server.ok_or_else(|| format!("{host} has no address of the family of {local}"))?;
    let socket = bind(local, ports).map_err(|error| format!("cannot send from {local}: {error}"))?;
    let here = socket.local_addr().map_err(|error| error.to_string())?;
    let id = TransactionId(rand::random());
    let mut request = Vec::new();
    MessageWriter::new(&mut request, Class::Request, Method::BINDING, id);
    for wait in WAITS {
        socket.send_to(&request, server).map_err(|error| format!("cannot send to {server}: {error}"))?;
        if let Some(seen) = answer(&socket, server, id, Instant::now() + wait) {
            return Ok((here, seen));
        }
    }
    Err(format!("no answer from {server}"))
}

/// A free port of the range: whether a NAT keeps ports shows at these.
fn bind(local: IpAddr, ports: PortRange) -> io::Result<UdpSocket> {
    let any = || rand::random_range(ports.first..=ports.last);
    let free = (0..TRIES).find_map(|_| UdpSocket::bind((local, any())).ok());
    free.map_or_else(|| UdpSocket::bind((local, 0)), Ok)
}

fn answer(socket: &UdpSocket, server: SocketAddr, id: TransactionId, until: Instant) -> Option<SocketAddr> {
    let mut buffer = [0; 1500];
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).ok()?;
        // An error may be the ICMP of an earlier request; the time is bounded.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if from != server {
            continue;
        }
        let Ok(message) = Message::parse(&buffer[..length]) else { continue };
        let is_answer = message.class() == Class::Success
            && message.method() == Method::BINDING
            && message.transaction_id() == id;
        if let Some(Ok(seen)) = message.xor_address(AttributeType::XOR_MAPPED_ADDRESS).filter(|_| is_answer) {
            return Some(seen);
        }
    }
}
