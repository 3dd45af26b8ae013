use proptest::prelude::*;

use super::*;

/// What differs from one hello to another.
#[derive(Clone, Copy)]
pub(in crate::net::dtls) struct Made<'a> {
    pub sequence: u64,
    pub message_sequence: u16,
    pub cookie: &'a [u8],
    pub random: u8,
    pub ciphers: &'a [u8],
}

pub(in crate::net::dtls) const FIRST: Made<'_> =
    Made { sequence: 0, message_sequence: 0, cookie: &[], random: 7, ciphers: &[0xC0, 0x2B, 0xC0, 0x2F] };

impl Made<'_> {
    /// With a server name and signature algorithms.
    pub(in crate::net::dtls) fn datagram(self) -> Vec<u8> {
        let mut body = vec![254, 253];
        body.extend([self.random; 32]);
        body.extend([2, 0xAA, 0xBB]);
        body.push(self.cookie.len() as u8);
        body.extend(self.cookie);
        body.extend((self.ciphers.len() as u16).to_be_bytes());
        body.extend(self.ciphers);
        body.extend([1, 0]);
        body.extend([0, 30]);
        body.extend([0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
        body.extend([0, 0, 0, 16, 0, 14, 0, 0, 11]);
        body.extend(b"turn.test.x");
        let mut datagram = Vec::new();
        record_header(DTLS_1_0, self.sequence, MESSAGE_HEADER + body.len(), &mut datagram);
        message_header(CLIENT_HELLO, self.message_sequence, body.len(), &mut datagram);
        datagram.extend(body);
        datagram
    }
}

#[test]
fn a_hello_is_read() {
    let made = Made { sequence: 0x0102_0304_0506, message_sequence: 2, cookie: b"cookie", ..FIRST };
    let datagram = made.datagram();
    let hello = ClientHello::parse(&datagram).unwrap();
    assert_eq!((hello.sequence(), hello.message_sequence), (made.sequence, 2));
    assert_eq!((hello.version, hello.random), ([254, 253], &[7; 32]));
    assert_eq!((hello.session_id, hello.cookie), (&[0xAA, 0xBB][..], &b"cookie"[..]));
    assert!(hello.is_whole);
    assert_eq!(hello.server_name(), Some("turn.test.x"));
    assert_eq!(hello.signature_schemes().unwrap().collect::<Vec<_>>(), [0x0403, 0x0804]);
}

// E-035
#[test]
fn what_is_cut_off_is_no_hello() {
    let datagram = FIRST.datagram();
    for end in 0..datagram.len() {
        assert!(ClientHello::parse(&datagram[..end]).is_none(), "{end}");
    }
    let mut long = datagram.clone();
    long[15] = 33;
    assert!(ClientHello::parse(&long).is_none(), "8.5 KiB");
    let mut encrypted = datagram.clone();
    encrypted[4] = 1;
    assert!(ClientHello::parse(&encrypted).is_none());
    let mut other = datagram;
    other[13] = 2;
    assert!(ClientHello::parse(&other).is_none(), "another message");
}

// E-033
#[test]
fn a_challenge_is_shorter_than_its_hello_and_numbered_by_it() {
    let smallest = {
        let mut datagram = Vec::new();
        record_header(DTLS_1_0, 9, MESSAGE_HEADER + 41, &mut datagram);
        message_header(CLIENT_HELLO, 1, 41, &mut datagram);
        datagram.extend([254, 253]);
        datagram.extend([0; 32]);
        datagram.extend([0, 0, 0, 2, 0xC0, 0x2B, 0]);
        datagram
    };
    let hello = ClientHello::parse(&smallest).unwrap();
    let challenge = hello.challenge(&[5; COOKIE]);
    assert!(challenge.len() < smallest.len(), "{} bytes for {}", challenge.len(), smallest.len());
    let record = records(&challenge).next().unwrap();
    assert_eq!((record.kind, record.epoch, record.sequence), (HANDSHAKE, 0, 9));
    assert_eq!(message(&record), Some((HELLO_VERIFY_REQUEST, 3 + COOKIE)));
    assert_eq!(record.fragment[4..6], [0, 1]);
    assert_eq!(record.fragment[MESSAGE_HEADER..][..3], [254, 255, COOKIE as u8]);
    assert_eq!(record.fragment[MESSAGE_HEADER + 3..], [5; COOKIE]);
}

#[test]
fn without_its_cookie_a_hello_is_what_it_was_before() {
    let again = Made { sequence: 12, message_sequence: 2, cookie: b"cookie", ..FIRST };
    let datagram = again.datagram();
    let hello = ClientHello::parse(&datagram).unwrap();
    assert_eq!(hello.without_cookie(0), Made { sequence: 10, ..FIRST }.datagram());
    let second = Made { sequence: 11, message_sequence: 1, ..FIRST };
    assert_eq!(hello.without_cookie(1), second.datagram());
}

#[test]
fn plaintext_alone_is_renumbered() {
    let plain = FIRST.datagram();
    let mut encrypted = plain.clone();
    encrypted[4] = 1;
    let mut both = [plain, encrypted].concat();
    renumber(&mut both, 3);
    let numbers: Vec<_> = records(&both).map(|record| (record.epoch, record.sequence)).collect();
    assert_eq!(numbers, [(0, 3), (1, 0)]);
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), at: proptest::sample::Index, value: u8) {
        let mut hello = FIRST.datagram();
        let at = at.index(hello.len());
        hello[at] = value;
        for datagram in [&mut bytes, &mut hello] {
            if let Some(hello) = ClientHello::parse(datagram) {
                let _ = (hello.server_name(), hello.signature_schemes().map(Iterator::count));
                let _ = hello.challenge(&[0; COOKIE]);
            }
            records(datagram).for_each(|record| _ = message(&record));
            renumber(datagram, 1);
        }
    }
}
