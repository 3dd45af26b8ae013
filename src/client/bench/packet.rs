//! The payload of a measured packet: who sent it, which one it is, when it was
//! to be sent, and bytes that must arrive as they are.

use crate::wire::TransactionId;

/// Bytes before the fill; no payload is shorter.
pub(super) const STAMP_LENGTH: usize = 32;

/// What a packet says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    /// Tells this run's step from an earlier one, and from strangers.
    pub(super) tag: u32,
    /// Which flow.
    pub(super) flow: u32,
    /// Which of its packets, from 0.
    pub(super) sequence: u64,
    /// When it was to be sent, nanoseconds since the run's start: the time that
    /// latency counts from, so that a generator which falls behind shows it
    /// instead of hiding it (coordinated omission).
    pub(super) intended: u64,
    /// How much later it was sent, nanoseconds; 4.29 s at most.
    pub(super) behind: u32,
}

impl Stamp {
    pub(super) fn write(&self) -> [u8; STAMP_LENGTH] {
        let mut bytes = [0; STAMP_LENGTH];
        bytes[..4].copy_from_slice(&self.tag.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.flow.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.intended.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.behind.to_be_bytes());
        let check = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    /// Reads a payload, and what comes behind the stamp; `None` when it does not
    /// begin with what [`Stamp::write`] makes.
    pub(super) fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (head, fill) = payload.split_first_chunk::<STAMP_LENGTH>()?;
        let [tag, flow, s0, s1, i0, i1, behind, check] = words(head);
        if check != crc32fast::hash(&head[..28]) {
            return None;
        }
        let long = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        Some((Self { tag, flow, sequence: long(s0, s1), intended: long(i0, i1), behind }, fill))
    }
}

fn words(bytes: &[u8; STAMP_LENGTH]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*four);
    }
    words
}

/// The stamp of a Binding request is its transaction id: 32 bits of the tag, 16
/// of the flow, 48 of the sequence. When it was to be sent, the sender knows.
pub(super) fn transaction_id(tag: u32, flow: u32, sequence: u64) -> TransactionId {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&tag.to_be_bytes());
    id[4..].copy_from_slice(&(u64::from(flow) << 48 | sequence & SEQUENCE_BITS).to_be_bytes());
    TransactionId(id)
}

const SEQUENCE_BITS: u64 = (1 << 48) - 1;

/// Tag, flow and sequence of [`transaction_id`].
pub(super) fn of_transaction_id(id: TransactionId) -> (u32, u32, u64) {
    let [t0, t1, t2, t3, rest @ ..] = id.0;
    let rest = u64::from_be_bytes(rest);
    (u32::from_be_bytes([t0, t1, t2, t3]), (rest >> 48) as u32, rest & SEQUENCE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { tag: 0xA1B2_C3D4, flow: 999, sequence: 1 << 40, intended: 123_456_789_012, behind: 7 };

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let whole = [&STAMP.write()[..], b"fill"].concat();
        assert_eq!(Stamp::read(&whole), Some((STAMP, &b"fill"[..])));
        assert_eq!(Stamp::read(&whole[..STAMP_LENGTH]), Some((STAMP, &b""[..])));
        for length in 0..STAMP_LENGTH {
            assert_eq!(Stamp::read(&whole[..length]), None, "cut to {length}");
        }
        for at in 0..STAMP_LENGTH {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert_eq!(Stamp::read(&changed), None, "byte {at} changed");
        }
    }

    #[test]
    fn a_transaction_id_tells_flow_and_sequence() {
        for (flow, sequence) in [(0, 0), (65_535, SEQUENCE_BITS), (3, 1 << 20)] {
            assert_eq!(of_transaction_id(transaction_id(9, flow, sequence)), (9, flow, sequence));
        }
    }
}
