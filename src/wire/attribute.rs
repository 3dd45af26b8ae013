//! Attribute types and the values that are more than bytes (RFC 8489 §14,
//! RFC 8656 §18).

use std::fmt;

use super::error_code::ErrorCode;

/// STUN attribute type, 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

macro_rules! attribute_types {
    ($($name:ident = $number:literal;)+) => {
        #[allow(missing_docs)] // the names are the registry's own
        impl AttributeType {
            $(pub const $name: Self = Self($number);)+

            /// Every type named here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

attribute_types! {
    MAPPED_ADDRESS = 0x0001;
    CHANGE_REQUEST = 0x0003;
    USERNAME = 0x0006;
    MESSAGE_INTEGRITY = 0x0008;
    ERROR_CODE = 0x0009;
    UNKNOWN_ATTRIBUTES = 0x000A;
    CHANNEL_NUMBER = 0x000C;
    LIFETIME = 0x000D;
    XOR_PEER_ADDRESS = 0x0012;
    DATA = 0x0013;
    REALM = 0x0014;
    NONCE = 0x0015;
    XOR_RELAYED_ADDRESS = 0x0016;
    REQUESTED_ADDRESS_FAMILY = 0x0017;
    EVEN_PORT = 0x0018;
    REQUESTED_TRANSPORT = 0x0019;
    DONT_FRAGMENT = 0x001A;
    ACCESS_TOKEN = 0x001B;
    MESSAGE_INTEGRITY_SHA256 = 0x001C;
    PASSWORD_ALGORITHM = 0x001D;
    USERHASH = 0x001E;
    XOR_MAPPED_ADDRESS = 0x0020;
    RESERVATION_TOKEN = 0x0022;
    PRIORITY = 0x0024;
    USE_CANDIDATE = 0x0025;
    PADDING = 0x0026;
    RESPONSE_PORT = 0x0027;
    CONNECTION_ID = 0x002A;
    ADDITIONAL_ADDRESS_FAMILY = 0x8000;
    ADDRESS_ERROR_CODE = 0x8001;
    PASSWORD_ALGORITHMS = 0x8002;
    ALTERNATE_DOMAIN = 0x8003;
    ICMP = 0x8004;
    SOFTWARE = 0x8022;
    ALTERNATE_SERVER = 0x8023;
    FINGERPRINT = 0x8028;
    ICE_CONTROLLED = 0x8029;
    ICE_CONTROLLING = 0x802A;
    RESPONSE_ORIGIN = 0x802B;
    OTHER_ADDRESS = 0x802C;
    THIRD_PARTY_AUTHORIZATION = 0x802E;
    MOBILITY_TICKET = 0x8030;
}

impl AttributeType {
    /// Whether a receiver that does not know it must refuse the message
    /// (RFC 8489 §14): 0x0000 to 0x7FFF.
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// It is there, but its bytes are not what its type asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed value")]
pub struct MalformedValue;

/// A value of exactly four bytes, network order.
pub fn u32_value(value: &[u8]) -> Result<u32, MalformedValue> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| MalformedValue)
}

/// CHANNEL-NUMBER (RFC 8656 §18.1): the number; the RFFU bits are ignored.
pub fn channel_number_value(value: &[u8]) -> Result<u16, MalformedValue> {
    match value {
        [high, low, _, _] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(MalformedValue),
    }
}

/// REQUESTED-TRANSPORT, REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY
/// (RFC 8656 §18.6, §18.8, §18.11): one number and three reserved bytes.
pub fn first_of_four(value: &[u8]) -> Result<u8, MalformedValue> {
    match value {
        [number, _, _, _] => Ok(*number),
        _ => Err(MalformedValue),
    }
}

/// EVEN-PORT (RFC 8656 §18.7): whether the next port is to be reserved too.
pub fn even_port_value(value: &[u8]) -> Result<bool, MalformedValue> {
    match value {
        [flags] => Ok(flags & 0x80 != 0),
        _ => Err(MalformedValue),
    }
}

/// ERROR-CODE (RFC 8489 §14.8): the code and its reason phrase.
pub fn error_code_value(value: &[u8]) -> Result<(ErrorCode, &str), MalformedValue> {
    let [_, _, class, number, reason @ ..] = value else {
        return Err(MalformedValue);
    };
    let code = ErrorCode::from_class_and_number([*class, *number]).ok_or(MalformedValue)?;
    let reason = std::str::from_utf8(reason).map_err(|_| MalformedValue)?;
    Ok((code, reason))
}

/// ADDRESS-ERROR-CODE (RFC 8656 §18.12): the number of the family that could not
/// be had, and why. The reason phrase is not read.
pub fn address_error_code_value(value: &[u8]) -> Result<(u8, ErrorCode), MalformedValue> {
    let [family, _, class, number, ..] = value else {
        return Err(MalformedValue);
    };
    let code = ErrorCode::from_class_and_number([*class, *number]).ok_or(MalformedValue)?;
    Ok((*family, code))
}

/// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13): the types that were not understood.
pub fn unknown_attributes_value(
    value: &[u8],
) -> Result<impl Iterator<Item = AttributeType> + use<'_>, MalformedValue> {
    let (types, rest) = value.as_chunks();
    if !rest.is_empty() {
        return Err(MalformedValue);
    }
    Ok(types.iter().map(|kind| AttributeType(u16::from_be_bytes(*kind))))
}
