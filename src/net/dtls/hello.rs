//! What is read of DTLS before there is a session: records, and the ClientHello
//! that begins one (RFC 6347 §4.1, §4.2; RFC 5246 §7.4.1.2). Of one that comes in
//! fragments, as those with post-quantum keys do, the first is read, and has to
//! reach beyond the cookie, as OpenSSL's `DTLSv1_listen` has it: nothing can be
//! kept before there is a cookie. With a good one `fragments` puts it together.

use arrayvec::ArrayVec;

use super::cookie::COOKIE;

/// Bytes of a record's header.
const RECORD_HEADER: usize = 13;

/// Bytes of a handshake message's header.
const MESSAGE_HEADER: usize = 12;

const HANDSHAKE: u8 = 22;
pub(super) const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// A HelloVerifyRequest says 1.0 whatever comes of it (RFC 6347 §4.2.1).
const DTLS_1_0: [u8; 2] = [254, 255];

/// A datagram with a HelloVerifyRequest.
pub(in crate::net) type Challenge = ArrayVec<u8, { RECORD_HEADER + MESSAGE_HEADER + 3 + COOKIE }>;

/// Largest hello: a few post-quantum keys of more than a kilobyte each.
pub(super) const LARGEST_HELLO: usize = 8 * 1024;

/// Of a signature algorithms extension, more than there are.
const MAX_SCHEMES: usize = 64;

/// Whether a datagram is DTLS, on a port that it shares (RFC 7983 §7).
pub(in crate::net) const fn is_record(datagram: &[u8]) -> bool {
    matches!(datagram, [20..=63, ..])
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub kind: u8,
    version: [u8; 2],
    /// 0 is plaintext.
    pub epoch: u16,
    /// 48 bits.
    pub sequence: u64,
    pub fragment: &'a [u8],
}

/// The records of a datagram, up to what is none.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut reader = Reader(datagram);
    std::iter::from_fn(move || {
        let [kind, v0, v1, e0, e1, s @ ..] = *reader.array::<11>()?;
        let [s0, s1, s2, s3, s4, s5] = s;
        Some(Record {
            kind,
            version: [v0, v1],
            epoch: u16::from_be_bytes([e0, e1]),
            sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
            fragment: reader.vector::<2>()?,
        })
    })
}

/// Adds `offset` to the sequence number of each plaintext record.
pub(super) fn renumber(datagram: &mut [u8], offset: u64) {
    let mut rest = datagram;
    while rest.len() >= RECORD_HEADER {
        if rest[3..5] == [0, 0] {
            let mut sequence = [0; 8];
            sequence[2..].copy_from_slice(&rest[5..11]);
            let moved = u64::from_be_bytes(sequence).wrapping_add(offset).to_be_bytes();
            rest[5..11].copy_from_slice(&moved[2..]);
        }
        let length = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
        rest = rest.get_mut(RECORD_HEADER + length..).unwrap_or_default();
    }
}

/// The message that a plaintext record begins with, if it is of a handshake: its
/// type and whole length.
pub(super) fn message(record: &Record<'_>) -> Option<(u8, usize)> {
    let [kind, l0, l1, l2, ..] = *record.fragment else { return None };
    let is_one = record.kind == HANDSHAKE && record.epoch == 0;
    is_one.then(|| (kind, u32::from_be_bytes([0, l0, l1, l2]) as usize))
}

/// A part of a handshake's message, or all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub kind: u8,
    /// Of the whole message.
    pub length: usize,
    /// How many came before it in this handshake, as its sender counts.
    pub message_sequence: u16,
    /// Where these bytes are in the message.
    pub offset: usize,
    pub bytes: &'a [u8],
}

/// The fragments in a plaintext record, up to what is none.
pub(super) fn fragments<'a>(record: &Record<'a>) -> impl Iterator<Item = Fragment<'a>> + use<'a> {
    let is_handshake = record.kind == HANDSHAKE && record.epoch == 0;
    let mut reader = Reader(if is_handshake { record.fragment } else { &[] });
    std::iter::from_fn(move || {
        let [kind, l0, l1, l2, m0, m1, o0, o1, o2] = *reader.array::<9>()?;
        let bytes = reader.vector::<3>()?;
        let number = |bytes| u32::from_be_bytes(bytes) as usize;
        let (length, offset) = (number([0, l0, l1, l2]), number([0, o0, o1, o2]));
        let message_sequence = u16::from_be_bytes([m0, m1]);
        let fits = offset + bytes.len() <= length;
        fits.then_some(Fragment { kind, length, message_sequence, offset, bytes })
    })
}

/// A ClientHello, or what its first fragment has of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientHello<'a> {
    record: Record<'a>,
    /// How many came before it in this handshake, as the client counts.
    pub message_sequence: u16,
    /// Of the whole message.
    pub length: usize,
    pub version: [u8; 2],
    pub random: &'a [u8; 32],
    pub session_id: &'a [u8],
    pub cookie: &'a [u8],
    /// What is there behind the cookie: cipher suites, compression methods,
    /// extensions.
    rest: &'a [u8],
    pub is_whole: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the first record of a datagram; `None` when it holds anything else,
    /// more than a hello, or a part of one that ends before its cookie does.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let record = records(datagram).next()?;
        let fragment = fragments(&record).next()?;
        let Fragment { kind: CLIENT_HELLO, length, message_sequence, offset: 0, bytes } = fragment else {
            return None;
        };
        if length > LARGEST_HELLO || bytes.len() + MESSAGE_HEADER != record.fragment.len() {
            return None;
        }
        let mut reader = Reader(bytes);
        let hello = Self {
            record,
            message_sequence,
            length,
            version: *reader.array()?,
            random: reader.array()?,
            session_id: reader.vector::<1>()?,
            cookie: reader.vector::<1>()?,
            rest: reader.0,
            is_whole: bytes.len() == length,
        };
        let ends_well = !hello.is_whole || hello.extensions().is_some();
        (ends_well && hello.session_id.len() <= 32).then_some(hello)
    }

    /// With their length, if they are there; `None` when the hello is not whole, or
    /// not well-formed.
    fn extensions(&self) -> Option<&'a [u8]> {
        let mut reader = Reader(self.rest);
        // Cipher suites and compression methods.
        reader.vector::<2>()?;
        reader.vector::<1>()?;
        let extensions = reader.0;
        let ends_well = extensions.is_empty() || {
            reader.vector::<2>()?;
            reader.0.is_empty()
        };
        (self.is_whole && ends_well).then_some(extensions)
    }

    /// Its record's number.
    pub(super) const fn sequence(&self) -> u64 {
        self.record.sequence
    }

    /// The host that the client believes to speak to (RFC 6066 §3).
    pub(super) fn server_name(&self) -> Option<&'a str> {
        const HOST_NAME: u8 = 0;
        let mut names = Reader(Reader(self.extension(0)?).vector::<2>()?);
        loop {
            let [kind] = *names.array()?;
            let name = names.vector::<2>()?;
            if kind == HOST_NAME {
                return str::from_utf8(name).ok();
            }
        }
    }

    /// The signatures that the client can verify (RFC 5246 §7.4.1.4.1); `None`
    /// when it does not say.
    pub(super) fn signature_schemes(&self) -> Option<impl Iterator<Item = u16> + use<'a>> {
        let list = Reader(self.extension(13)?).vector::<2>()?;
        let schemes = list.chunks_exact(2).map(|scheme| u16::from_be_bytes([scheme[0], scheme[1]]));
        Some(schemes.take(MAX_SCHEMES))
    }

    fn extension(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut extensions = Reader(Reader(self.extensions()?).vector::<2>()?);
        loop {
            let kind = u16::from_be_bytes(*extensions.array()?);
            let value = extensions.vector::<2>()?;
            if kind == wanted {
                return Some(value);
            }
        }
    }

    /// The datagram that asks for this hello again, with a cookie: shorter than
    /// it, and numbered by it, so that none of the numbers of a handshake's own
    /// records is spent (RFC 6347 §4.2.1).
    pub(super) fn challenge(&self, cookie: &[u8; COOKIE]) -> Challenge {
        const BODY: usize = 3 + COOKIE;
        let mut datagram = Challenge::new();
        record_header(DTLS_1_0, self.record.sequence, MESSAGE_HEADER + BODY, &mut datagram);
        message_header(HELLO_VERIFY_REQUEST, self.message_sequence, BODY, &mut datagram);
        datagram.extend(DTLS_1_0);
        datagram.extend([COOKIE as u8]);
        datagram.extend(*cookie);
        datagram
    }

    /// This whole hello as it was before there was a cookie in it: number `before` of
    /// the handshake's, in a record of its own.
    pub(super) fn without_cookie(&self, before: u16) -> Vec<u8> {
        let body = self.record.fragment.len() - MESSAGE_HEADER - self.cookie.len();
        let mut datagram = Vec::with_capacity(RECORD_HEADER + MESSAGE_HEADER + body);
        let sequence = self.record.sequence - u64::from(self.message_sequence - before);
        record_header(self.record.version, sequence, MESSAGE_HEADER + body, &mut datagram);
        message_header(CLIENT_HELLO, before, body, &mut datagram);
        datagram.extend(self.version);
        datagram.extend(self.random);
        datagram.push(self.session_id.len() as u8);
        datagram.extend(self.session_id);
        datagram.push(0);
        datagram.extend(self.rest);
        datagram
    }
}

/// The message of a hello that came in fragments, numbered as its first was and in
/// one record.
pub(super) fn in_one_record(first: &ClientHello<'_>, message: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(RECORD_HEADER + MESSAGE_HEADER + message.len());
    record_header(first.record.version, first.record.sequence, MESSAGE_HEADER + message.len(), &mut datagram);
    message_header(CLIENT_HELLO, first.message_sequence, message.len(), &mut datagram);
    datagram.extend(message);
    datagram
}

/// The header of a handshake's plaintext record.
fn record_header(version: [u8; 2], sequence: u64, length: usize, datagram: &mut impl Extend<u8>) {
    datagram.extend([HANDSHAKE]);
    datagram.extend(version);
    // Epoch 0, then 48 bits.
    datagram.extend(sequence.to_be_bytes());
    datagram.extend((length as u16).to_be_bytes());
}

/// The header of a message that is whole.
fn message_header(kind: u8, sequence: u16, length: usize, datagram: &mut impl Extend<u8>) {
    let [_, length @ ..] = (length as u32).to_be_bytes();
    datagram.extend([kind]);
    datagram.extend(length);
    datagram.extend(sequence.to_be_bytes());
    datagram.extend([0; 3]);
    datagram.extend(length);
}

/// Bytes yet to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }

    /// Bytes behind their length, itself of `N` bytes.
    fn vector<const N: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.array::<N>()?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (vector, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(vector)
    }
}

#[cfg(test)]
#[path = "hello_test.rs"]
pub(super) mod tests;
