//! MAPPED-ADDRESS and its XOR forms (RFC 8489 §14.1, §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::MAGIC_COOKIE;
use super::attribute::MalformedValue;
use super::message::TransactionId;

const FAMILY_V4: u8 = 0x01;
const FAMILY_V6: u8 = 0x02;

/// An encoded address: 8 bytes for IPv4, 20 for IPv6.
pub type EncodedAddress = arrayvec::ArrayVec<u8, 20>;

/// Writes an address as it is.
pub fn encode(address: SocketAddr) -> EncodedAddress {
    let mut value = EncodedAddress::new();
    let family = if address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    value.extend([0, family]);
    value.extend(address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    value
}

/// Reads an address as it is.
pub fn decode(value: &[u8]) -> Result<SocketAddr, MalformedValue> {
    let [_, family, port_high, port_low, ip @ ..] = value else {
        return Err(MalformedValue);
    };
    let ip = match *family {
        FAMILY_V4 => <[u8; 4]>::try_from(ip).map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        FAMILY_V6 => <[u8; 16]>::try_from(ip).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        _ => return Err(MalformedValue),
    };
    let ip = ip.map_err(|_| MalformedValue)?;
    Ok(SocketAddr::new(ip, u16::from_be_bytes([*port_high, *port_low])))
}

/// Writes an address XORed with the cookie and, for IPv6, the transaction id.
pub fn encode_xor(address: SocketAddr, id: TransactionId) -> EncodedAddress {
    encode(xor(address, id))
}

/// Reads what [`encode_xor`] writes.
pub fn decode_xor(value: &[u8], id: TransactionId) -> Result<SocketAddr, MalformedValue> {
    decode(value).map(|address| xor(address, id))
}

/// Its own inverse.
fn xor(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id.0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, port)
}
