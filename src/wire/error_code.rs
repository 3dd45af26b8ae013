//! ERROR-CODE values (RFC 8489 §14.8, RFC 8656 §19).

use std::fmt;

/// The number of an ERROR-CODE attribute, 300 to 699.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ErrorCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $reason:literal;)+) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)+

            /// The recommended reason phrase, ASCII, below 128 bytes; empty for
            /// a code that has no name here.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($number => $reason,)+
                    _ => "",
                }
            }
        }
    };
}

codes! {
    /// RFC 8489 §14.8
    TRY_ALTERNATE = 300, "Try Alternate";
    /// RFC 8489 §14.8
    BAD_REQUEST = 400, "Bad Request";
    /// RFC 8489 §14.8
    UNAUTHENTICATED = 401, "Unauthenticated";
    /// RFC 8656 §19
    FORBIDDEN = 403, "Forbidden";
    /// RFC 8016 §3.4
    MOBILITY_FORBIDDEN = 405, "Mobility Forbidden";
    /// RFC 8489 §14.8
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute";
    /// RFC 8656 §19
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch";
    /// RFC 8489 §14.8
    STALE_NONCE = 438, "Stale Nonce";
    /// RFC 8656 §19
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported";
    /// RFC 8656 §19
    WRONG_CREDENTIALS = 441, "Wrong Credentials";
    /// RFC 8656 §19
    UNSUPPORTED_TRANSPORT = 442, "Unsupported Transport Protocol";
    /// RFC 8656 §19
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch";
    /// RFC 6062 §6.3
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists";
    /// RFC 6062 §6.3
    CONNECTION_TIMEOUT_OR_FAILURE = 447, "Connection Timeout or Failure";
    /// RFC 8656 §19
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached";
    /// RFC 8489 §14.8
    SERVER_ERROR = 500, "Server Error";
    /// RFC 8656 §19
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity";
}

impl ErrorCode {
    /// A code by its number; `None` outside 300 to 699.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            300..=699 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number, 300 to 699.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The two bytes that carry it in ERROR-CODE and ADDRESS-ERROR-CODE: the
    /// hundreds digit, 3 to 6, and the rest, 0 to 99.
    pub const fn class_and_number(self) -> [u8; 2] {
        [(self.0 / 100) as u8, (self.0 % 100) as u8]
    }

    /// From those two bytes; the reserved bits of the first are ignored. `None`
    /// outside 300 to 699, or when the second is above 99.
    pub const fn from_class_and_number([class, number]: [u8; 2]) -> Option<Self> {
        if number > 99 {
            return None;
        }
        Self::new((class & 0x07) as u16 * 100 + number as u16)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}
