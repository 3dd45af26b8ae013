//! The PROXY protocol: a balancer in front says, before anything else, whose
//! connection it passes on. Version 1 is a line of text, version 2 is binary.
//!
//! The crate `ppp` parses; of the two that were compared, `proxy-header` takes
//! any character after `PROXY` and hides the bytes that the checksum is over.
//! Nothing behind a header is read: TLS or the first frame begins there.
//!
//! Called by `entrance`; [`decode`] by the fuzzer as well.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;

/// Fixed part of version 2: signature, command, family, length.
const FIXED: usize = 16;

/// Type and length before the value of a TLV.
const TLV: usize = 3;

/// Longest rest of version 2. Addresses take 36 bytes, what balancers add about
/// the client's own TLS some hundred.
const LONGEST_REST: usize = 4096;

/// On whose behalf a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The balancer's own (a health check), or of a kind it can't name: the
    /// socket's addresses hold.
    Balancer,
    /// A client's.
    Client {
        /// Whose connection it is.
        client: SocketAddr,
        /// What the client connected to.
        server: SocketAddr,
    },
}

/// Reads one header, to its last byte and not further. `Err` of
/// [`io::ErrorKind::InvalidData`] when something else comes.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Origin> {
    let mut first = [0; 1];
    stream.peek(&mut first).await?;
    match first[0] {
        b'P' => decode(&line(stream).await?),
        b'\r' => {
            let mut header = vec![0; FIXED];
            stream.read_exact(&mut header).await?;
            let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
            if !header.starts_with(v2::PROTOCOL_PREFIX) || rest > LONGEST_REST {
                return Err(malformed());
            }
            header.resize(FIXED + rest, 0);
            stream.read_exact(&mut header[FIXED..]).await?;
            decode(&header)
        }
        // What is not there yet was read as 0, and nothing more will come.
        _ => Err(malformed()),
    }
}

/// What a whole header says: a line with its end, or a binary header with all that
/// its length covers. `Err` of [`io::ErrorKind::InvalidData`] for anything else.
pub fn decode(header: &[u8]) -> io::Result<Origin> {
    match header.first() {
        Some(b'P') => text(header),
        _ => binary(header),
    }
}

/// Takes the bytes up to the end of the first line.
async fn line(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut line = vec![0; LONGEST_LINE];
    let mut length = 0;
    loop {
        let room = &mut line[length..];
        let seen = stream.peek(room).await?;
        if seen == 0 {
            // The end of the stream, or of the room.
            return Err(malformed());
        }
        let end = room[..seen].iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let take = end.unwrap_or(seen);
        stream.read_exact(&mut room[..take]).await?;
        length += take;
        if end.is_some() {
            line.truncate(length);
            return Ok(line);
        }
    }
}

fn text(line: &[u8]) -> io::Result<Origin> {
    // It ends at its first \n and its first \r\n, which `ppp` does not ask of UNKNOWN.
    let inner = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    if inner.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(malformed());
    }
    let header = v1::Header::try_from(line).map_err(|_| malformed())?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => Origin::Balancer,
        v1::Addresses::Tcp4(ip) => Origin::Client {
            client: (ip.source_address, ip.source_port).into(),
            server: (ip.destination_address, ip.destination_port).into(),
        },
        v1::Addresses::Tcp6(ip) => Origin::Client {
            client: (ip.source_address, ip.source_port).into(),
            server: (ip.destination_address, ip.destination_port).into(),
        },
    })
}

fn binary(bytes: &[u8]) -> io::Result<Origin> {
    let header = v2::Header::try_from(bytes).map_err(|_| malformed())?;
    if header.len() != bytes.len() {
        return Err(malformed());
    }
    verify(&header)?;
    if header.command == v2::Command::Local {
        return Ok(Origin::Balancer);
    }
    Ok(match (header.protocol, header.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => Origin::Client {
            client: (ip.source_address, ip.source_port).into(),
            server: (ip.destination_address, ip.destination_port).into(),
        },
        (v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => Origin::Client {
            client: (ip.source_address, ip.source_port).into(),
            server: (ip.destination_address, ip.destination_port).into(),
        },
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Origin::Balancer,
        // Nobody's datagrams come in over a connection.
        _ => return Err(malformed()),
    })
}

/// Whole TLVs, and the checksum where there is one. A header under LOCAL need
/// have none, whatever it carries.
fn verify(header: &v2::Header<'_>) -> io::Result<()> {
    if header.command == v2::Command::Local {
        return Ok(());
    }
    let bytes = header.as_bytes();
    let mut at = header.len() - header.tlv_bytes().len();
    for tlv in header.tlvs() {
        let tlv = tlv.map_err(|_| malformed())?;
        let value = at + TLV..at + TLV + tlv.len();
        at = value.end;
        if tlv.kind != u8::from(v2::Type::CRC32C) {
            continue;
        }
        let said: [u8; 4] = tlv.value.as_ref().try_into().map_err(|_| malformed())?;
        let parts = [&bytes[..value.start], &[0; 4], &bytes[value.end..]];
        if !parts.into_iter().flatten().fold(!0, crc32c) != u32::from_be_bytes(said) {
            return Err(malformed());
        }
    }
    Ok(())
}

/// CRC32c (RFC 3720 §B.4), bit by bit: a few hundred bytes once for a connection
/// are not worth the crate, which has unsafe code for every processor.
fn crc32c(sum: u32, byte: &u8) -> u32 {
    (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY header")
}

#[cfg(test)]
#[path = "proxy_test.rs"]
mod tests;
