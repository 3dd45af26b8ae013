//! Packets from one shard to another, and words on whose a client is: a bounded
//! ring of bytes for each ordered pair of shards, one writer and one reader, no lock
//! and nothing allocated per packet. Waking the reader is the writer's business, once per
//! batch.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::relay::{ClientAddr, FiveTuple, Link, PeerAddr, RelayAddr, ServerAddr, Transport};

/// Length, link, two addresses, transport, kind.
const HEADER: usize = 4 + 4 + 2 * ADDRESS + 1 + 1;
/// IP address, scope, port.
const ADDRESS: usize = 16 + 4 + 2;

/// Smallest useful ring: one packet of the largest size and some.
pub(super) const MIN_BYTES: usize = 128 * 1024;

/// The writing end.
#[derive(Debug)]
pub(super) struct Sender(Producer<u8>);

/// The reading end.
#[derive(Debug)]
pub(super) struct Receiver(Consumer<u8>);

/// What goes from one shard to another, besides its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crossing {
    /// A relayed packet, for an allocation there.
    Relayed {
        /// The relayed address it was sent to.
        to: RelayAddr,
        /// The relayed address of the sender.
        from: PeerAddr,
    },
    /// A datagram of a client whose allocation is there: whole, from the listener
    /// of this number.
    FromClient(Link, FiveTuple),
    /// The same on its way back: the allocation is not there.
    Returned(Link, FiveTuple),
    /// A message for a client whose session is there, at that link.
    ToClient(Link, FiveTuple),
    /// A client whose session was here, and whose allocation is there, is gone.
    Gone(Link, FiveTuple),
    /// The writer has this client's allocation.
    Owned(FiveTuple),
    /// It has none.
    Disowned(FiveTuple),
}

/// A packet out of a ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Crossed {
    /// What it is.
    pub what: Crossing,
    /// Where the payload is in the buffer it was read into.
    pub payload: Range<usize>,
}

const RELAYED: u8 = 0;
const FROM_CLIENT: u8 = 1;
const OWNED: u8 = 2;
const DISOWNED: u8 = 3;
const RETURNED: u8 = 4;
const TO_CLIENT: u8 = 5;
const GONE: u8 = 6;

impl Crossing {
    fn header(self, length: u32) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let (link, addresses, transport, kind) = match self {
            Self::Relayed { to, from } => (Link(0), [to.socket(), from.socket()], Transport::Udp, RELAYED),
            Self::FromClient(link, client) => (link, ends(client), client.transport, FROM_CLIENT),
            Self::Returned(link, client) => (link, ends(client), client.transport, RETURNED),
            Self::ToClient(link, client) => (link, ends(client), client.transport, TO_CLIENT),
            Self::Gone(link, client) => (link, ends(client), client.transport, GONE),
            Self::Owned(client) => (Link(0), ends(client), client.transport, OWNED),
            Self::Disowned(client) => (Link(0), ends(client), client.transport, DISOWNED),
        };
        header[..4].copy_from_slice(&length.to_ne_bytes());
        header[4..8].copy_from_slice(&link.0.to_ne_bytes());
        write_address(&mut header[8..8 + ADDRESS], addresses[0]);
        write_address(&mut header[8 + ADDRESS..8 + 2 * ADDRESS], addresses[1]);
        header[HEADER - 2..].copy_from_slice(&[transport.index() as u8, kind]);
        header
    }

    fn read(header: &[u8; HEADER]) -> Self {
        let first = read_address(&header[8..8 + ADDRESS]);
        let second = read_address(&header[8 + ADDRESS..8 + 2 * ADDRESS]);
        let [transport, kind] = [header[HEADER - 2], header[HEADER - 1]];
        let client = FiveTuple {
            client: ClientAddr::new(first),
            server: ServerAddr::new(second),
            transport: Transport::ALL[usize::from(transport) % Transport::ALL.len()],
        };
        match kind {
            FROM_CLIENT => Self::FromClient(Link(number(&header[4..8])), client),
            RETURNED => Self::Returned(Link(number(&header[4..8])), client),
            TO_CLIENT => Self::ToClient(Link(number(&header[4..8])), client),
            GONE => Self::Gone(Link(number(&header[4..8])), client),
            OWNED => Self::Owned(client),
            DISOWNED => Self::Disowned(client),
            _ => Self::Relayed { to: RelayAddr::new(first), from: PeerAddr::new(second) },
        }
    }
}

fn ends(client: FiveTuple) -> [SocketAddr; 2] {
    [client.client.socket(), client.server.socket()]
}

/// A ring of `bytes`, at least [`MIN_BYTES`].
pub(super) fn ring(bytes: usize) -> (Sender, Receiver) {
    let (producer, consumer) = RingBuffer::new(bytes.max(MIN_BYTES));
    (Sender(producer), Receiver(consumer))
}

impl Sender {
    /// Puts a packet of these parts in; false when it does not fit.
    pub(super) fn push(&mut self, what: Crossing, parts: [&[u8]; 3]) -> bool {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        let Ok(length) = u32::try_from(payload) else { return false };
        if self.0.slots() < HEADER + payload {
            return false;
        }
        // The room was there and only this end takes it, so none can fail.
        let header = self.0.push_entire_slice(&what.header(length)).is_ok();
        header && parts.iter().all(|part| self.0.push_entire_slice(part).is_ok())
    }
}

impl Receiver {
    /// Takes one packet out and appends its payload to `buffer`.
    pub(super) fn pop(&mut self, buffer: &mut Vec<u8>) -> Option<Crossed> {
        let chunk = self.0.read_chunk(HEADER).ok()?;
        let mut header = [0; HEADER];
        let (first, second) = chunk.as_slices();
        header[..first.len()].copy_from_slice(first);
        header[first.len()..].copy_from_slice(second);
        let length = number(&header[..4]) as usize;
        // The header becomes visible before the payload does: not yet, then.
        let chunk = self.0.read_chunk(HEADER + length).ok()?;
        let start = buffer.len();
        let (first, second) = chunk.as_slices();
        let in_first = first.get(HEADER..).unwrap_or_default();
        buffer.extend_from_slice(in_first);
        buffer.extend_from_slice(&second[second.len() - (length - in_first.len())..]);
        chunk.commit_all();
        Some(Crossed { what: Crossing::read(&header), payload: start..start + length })
    }
}

fn number(bytes: &[u8]) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(bytes);
    u32::from_ne_bytes(number)
}

fn write_address(into: &mut [u8], address: SocketAddr) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    into[..16].copy_from_slice(&ip.octets());
    into[16..20].copy_from_slice(&scope.to_ne_bytes());
    into[20..].copy_from_slice(&address.port().to_ne_bytes());
}

/// IPv4 comes out in its mapped form; the newtypes undo that.
fn read_address(bytes: &[u8]) -> SocketAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    let port = u16::from_ne_bytes([bytes[20], bytes[21]]);
    SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, number(&bytes[16..20])).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(to: &str, from: &str) -> Crossing {
        let address = |text: &str| text.parse().unwrap();
        Crossing::Relayed { to: RelayAddr::new(address(to)), from: PeerAddr::new(address(from)) }
    }

    fn client(client: &str, server: &str, transport: Transport) -> FiveTuple {
        let address = |text: &str| text.parse().unwrap();
        let (client, server) = (ClientAddr::new(address(client)), ServerAddr::new(address(server)));
        FiveTuple { client, server, transport }
    }

    #[test]
    fn packets_come_out_as_they_went_in_past_many_wraps() {
        let (mut sender, mut receiver) = ring(0);
        let all = [
            relayed("192.0.2.1:49152", "192.0.2.2:65535"),
            relayed("[2001:db8::1]:1", "[::1]:2"),
            Crossing::FromClient(Link(70_000), client("192.0.2.1:1", "192.0.2.2:2", Transport::Udp)),
            Crossing::Returned(Link(7), client("[::1]:1", "[::2]:2", Transport::Udp)),
            Crossing::ToClient(Link(1 << 30), client("192.0.2.1:1", "192.0.2.2:2", Transport::Dtls)),
            Crossing::Gone(Link(1 << 30 | 9), client("[::1]:1", "[::2]:2", Transport::Dtls)),
            Crossing::Owned(client("[fe80::1%7]:1", "[fe80::2%7]:3478", Transport::Udp)),
            Crossing::Disowned(client("192.0.2.1:1", "192.0.2.2:2", Transport::Tls)),
        ];
        let mut buffer = Vec::new();
        for round in 0..2000_usize {
            let what = all[round % all.len()];
            let payload: Vec<u8> = (0..(round * 37) % 4000).map(|i| (i + round) as u8).collect();
            let (front, back) = payload.split_at(payload.len() / 3);
            assert!(sender.push(what, [&[], front, back]));
            let kept = buffer.len();
            let crossed = receiver.pop(&mut buffer).unwrap();
            assert_eq!(crossed, Crossed { what, payload: kept..kept + payload.len() });
            assert_eq!(buffer[crossed.payload], payload);
            if round % 8 == 0 {
                buffer.clear();
            }
            assert_eq!(receiver.pop(&mut buffer), None);
        }
    }

    #[test]
    fn a_full_ring_refuses_whole_packets_and_recovers() {
        let (mut sender, mut receiver) = ring(0);
        let what = relayed("192.0.2.1:1", "192.0.2.2:2");
        let payload = [7; 1200];
        let mut count = 0;
        while sender.push(what, [&payload, &[], &[]]) {
            count += 1;
        }
        assert_eq!(count, MIN_BYTES / (HEADER + payload.len()));
        let mut buffer = Vec::new();
        assert!(receiver.pop(&mut buffer).is_some());
        assert!(sender.push(what, [&payload, &[], &[]]));
        assert!(!sender.push(what, [&payload, &[], &[]]));
        let mut left = 0;
        while let Some(crossed) = receiver.pop(&mut buffer) {
            assert_eq!(buffer[crossed.payload], payload);
            left += 1;
        }
        assert_eq!(left, count);
    }

    #[test]
    fn the_largest_datagram_fits() {
        let (mut sender, mut receiver) = ring(0);
        assert!(sender.push(relayed("192.0.2.1:1", "192.0.2.2:2"), [&[1; 65_535], &[], &[]]));
        let mut buffer = Vec::new();
        assert_eq!(receiver.pop(&mut buffer).unwrap().payload, 0..65_535);
    }

    #[test]
    fn two_threads_lose_and_mix_up_nothing() {
        let (mut sender, mut receiver) = ring(0);
        let what = relayed("192.0.2.1:1", "[::1]:2");
        let writer = std::thread::spawn(move || {
            for n in 0..20_000_u32 {
                let payload = vec![n as u8; n as usize % 700];
                while !sender.push(what, [&payload, &[], &[]]) {
                    std::thread::yield_now();
                }
            }
        });
        let mut buffer = Vec::new();
        for n in 0..20_000_u32 {
            buffer.clear();
            let crossed = loop {
                match receiver.pop(&mut buffer) {
                    Some(crossed) => break crossed,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(crossed.payload.len(), n as usize % 700);
            assert!(buffer.iter().all(|b| *b == n as u8));
        }
        writer.join().unwrap();
    }
}
