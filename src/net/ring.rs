//! Relayed packets from one shard to another: a bounded ring of bytes for each
//! ordered pair of shards, one writer and one reader, no lock and nothing
//! allocated per packet. Waking the reader is the writer's business, once per
//! batch.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::relay::{PeerAddr, RelayAddr};

/// Length (4), then two addresses of 16 + 2.
const HEADER: usize = 4 + 2 * ADDRESS;
const ADDRESS: usize = 18;

/// Smallest useful ring: one packet of the largest size and some.
pub(super) const MIN_BYTES: usize = 128 * 1024;

/// The writing end.
#[derive(Debug)]
pub(super) struct Sender(Producer<u8>);

/// The reading end.
#[derive(Debug)]
pub(super) struct Receiver(Consumer<u8>);

/// A packet out of a ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Crossed {
    /// The relayed address it was sent to.
    pub to: RelayAddr,
    /// The relayed address of the sender.
    pub from: PeerAddr,
    /// Where the payload is in the buffer it was read into.
    pub payload: Range<usize>,
}

/// A ring of `bytes`, at least [`MIN_BYTES`].
pub(super) fn ring(bytes: usize) -> (Sender, Receiver) {
    let (producer, consumer) = RingBuffer::new(bytes.max(MIN_BYTES));
    (Sender(producer), Receiver(consumer))
}

impl Sender {
    /// Puts a packet in; false when it does not fit.
    pub(super) fn push(&mut self, to: RelayAddr, from: PeerAddr, payload: &[u8]) -> bool {
        let Ok(length) = u32::try_from(payload.len()) else { return false };
        if self.0.slots() < HEADER + payload.len() {
            return false;
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&length.to_ne_bytes());
        write_address(&mut header[4..4 + ADDRESS], to.socket());
        write_address(&mut header[4 + ADDRESS..], from.socket());
        // The room was there and only this end takes it, so neither can fail.
        self.0.push_entire_slice(&header).is_ok() && self.0.push_entire_slice(payload).is_ok()
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
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        // The header becomes visible before the payload does: not yet, then.
        let chunk = self.0.read_chunk(HEADER + length).ok()?;
        let start = buffer.len();
        let (first, second) = chunk.as_slices();
        let in_first = first.get(HEADER..).unwrap_or_default();
        buffer.extend_from_slice(in_first);
        buffer.extend_from_slice(&second[second.len() - (length - in_first.len())..]);
        chunk.commit_all();
        Some(Crossed {
            to: RelayAddr::new(read_address(&header[4..4 + ADDRESS])),
            from: PeerAddr::new(read_address(&header[4 + ADDRESS..])),
            payload: start..start + length,
        })
    }
}

fn write_address(into: &mut [u8], address: SocketAddr) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    into[..16].copy_from_slice(&ip.octets());
    into[16..].copy_from_slice(&address.port().to_ne_bytes());
}

/// IPv4 comes out in its mapped form; the newtypes undo that.
fn read_address(bytes: &[u8]) -> SocketAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    SocketAddr::new(Ipv6Addr::from(octets).into(), u16::from_ne_bytes([bytes[16], bytes[17]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(text: &str) -> RelayAddr {
        RelayAddr::new(text.parse().unwrap())
    }

    fn peer(text: &str) -> PeerAddr {
        PeerAddr::new(text.parse().unwrap())
    }

    #[test]
    fn packets_come_out_as_they_went_in_past_many_wraps() {
        let (mut sender, mut receiver) = ring(0);
        let addresses = [
            (relay("192.0.2.1:49152"), peer("192.0.2.2:65535")),
            (relay("[2001:db8::1]:1"), peer("[::1]:2")),
        ];
        let mut buffer = Vec::new();
        for round in 0..2000_usize {
            let (to, from) = addresses[round % 2];
            let payload: Vec<u8> = (0..(round * 37) % 4000).map(|i| (i + round) as u8).collect();
            assert!(sender.push(to, from, &payload));
            let kept = buffer.len();
            let crossed = receiver.pop(&mut buffer).unwrap();
            assert_eq!(crossed, Crossed { to, from, payload: kept..kept + payload.len() });
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
        let (to, from) = (relay("192.0.2.1:1"), peer("192.0.2.2:2"));
        let payload = [7; 1200];
        let mut count = 0;
        while sender.push(to, from, &payload) {
            count += 1;
        }
        assert_eq!(count, MIN_BYTES / (HEADER + payload.len()));
        let mut buffer = Vec::new();
        assert!(receiver.pop(&mut buffer).is_some());
        assert!(sender.push(to, from, &payload));
        assert!(!sender.push(to, from, &payload));
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
        assert!(sender.push(relay("192.0.2.1:1"), peer("192.0.2.2:2"), &[1; 65_535]));
        let mut buffer = Vec::new();
        assert_eq!(receiver.pop(&mut buffer).unwrap().payload, 0..65_535);
    }

    #[test]
    fn two_threads_lose_and_mix_up_nothing() {
        let (mut sender, mut receiver) = ring(0);
        let (to, from) = (relay("192.0.2.1:1"), peer("[::1]:2"));
        let writer = std::thread::spawn(move || {
            for n in 0..20_000_u32 {
                let payload = vec![n as u8; n as usize % 700];
                while !sender.push(to, from, &payload) {
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
