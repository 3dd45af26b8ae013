//! A ClientHello put together of its fragments (RFC 6347 §4.2.3), once its first
//! one has brought a good cookie back: before that nothing is kept.

use super::hello::{CLIENT_HELLO, ClientHello, Fragment, fragments, in_one_record, records};

/// A hello of which parts have come.
#[derive(Debug)]
pub(super) struct Fragments {
    /// The record that its first fragment came in.
    first: Vec<u8>,
    message_sequence: u16,
    message: Vec<u8>,
    /// Which bytes of it are there.
    there: Vec<bool>,
}

impl Fragments {
    /// Begins with the datagram that the first fragment is in, and whatever else of
    /// it.
    pub(super) fn new(first: &ClientHello<'_>, datagram: &[u8]) -> Self {
        let mut this = Self {
            first: datagram.to_vec(),
            message_sequence: first.message_sequence,
            message: vec![0; first.length],
            there: vec![false; first.length],
        };
        this.take(datagram);
        this
    }

    /// Takes what a datagram has of this hello.
    pub(super) fn take(&mut self, datagram: &[u8]) {
        for fragment in records(datagram).flat_map(|record| fragments(&record)) {
            let Fragment { kind, length, message_sequence, offset, bytes } = fragment;
            let is_of_it = kind == CLIENT_HELLO && message_sequence == self.message_sequence;
            if is_of_it && length == self.message.len() {
                let place = offset..offset + bytes.len();
                self.message[place.clone()].copy_from_slice(bytes);
                self.there[place].fill(true);
            }
        }
    }

    /// The whole hello in one record, when all of it has come.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        if self.there.contains(&false) {
            return None;
        }
        Some(in_one_record(&ClientHello::parse(&self.first)?, &self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hello::tests::{FIRST, Made};
    use super::*;

    const LENGTH: usize = 25;

    /// A record of its own for these bytes of a hello.
    fn fragment(hello: &[u8], number: u8, from: usize, to: usize) -> Vec<u8> {
        let mut record = hello[..LENGTH].to_vec();
        record[10] = number;
        record[11..13].copy_from_slice(&((12 + to - from) as u16).to_be_bytes());
        record[19..22].copy_from_slice(&(from as u32).to_be_bytes()[1..]);
        record[22..25].copy_from_slice(&((to - from) as u32).to_be_bytes()[1..]);
        record.extend(&hello[LENGTH + from..LENGTH + to]);
        record
    }

    fn whole() -> (Vec<u8>, usize) {
        let hello = Made { sequence: 5, message_sequence: 1, cookie: b"cookie", ..FIRST }.datagram();
        let length = hello.len() - LENGTH;
        (hello, length)
    }

    // E-034
    #[test]
    fn fragments_in_any_order_and_more_than_once_make_the_hello() {
        let (hello, length) = whole();
        let first = fragment(&hello, 5, 0, 60);
        let parsed = ClientHello::parse(&first).unwrap();
        assert!(!parsed.is_whole && parsed.cookie == b"cookie" && parsed.server_name().is_none());
        let mut put = Fragments::new(&parsed, &first);
        for (from, to) in [(70, length), (50, 65), (70, length), (64, 65)] {
            put.take(&fragment(&hello, 6, from, to));
            assert_eq!(put.whole(), None);
        }
        put.take(&fragment(&hello, 7, 60, 72));
        assert_eq!(put.whole().unwrap(), hello);
        // Several records in one datagram.
        let datagram = [fragment(&hello, 5, 0, 55), fragment(&hello, 6, 55, length)].concat();
        let parsed = ClientHello::parse(&datagram).unwrap();
        assert_eq!(Fragments::new(&parsed, &datagram).whole().unwrap(), hello);
    }

    // E-035
    #[test]
    fn what_is_no_fragment_of_it_is_left_alone() {
        let (hello, length) = whole();
        let first = fragment(&hello, 5, 0, 60);
        let mut put = Fragments::new(&ClientHello::parse(&first).unwrap(), &first);
        let rest = fragment(&hello, 6, 60, length);
        // Another message, another number, another length, encrypted, beyond its end.
        for (at, value) in [(13, 2), (18, 2), (16, 200), (4, 1), (21, 200)] {
            let mut other = rest.clone();
            other[at] = value;
            put.take(&other);
        }
        assert_eq!(put.whole(), None);
        put.take(&rest);
        assert_eq!(put.whole().unwrap(), hello);
        // Nor is a first one that ends before the cookie does, or has an offset.
        for cut in 0..44 {
            assert!(ClientHello::parse(&fragment(&hello, 5, 0, cut)).is_none(), "{cut}");
        }
        assert!(ClientHello::parse(&fragment(&hello, 5, 0, 44)).is_some());
        assert!(ClientHello::parse(&fragment(&hello, 5, 1, 60)).is_none());
    }
}
