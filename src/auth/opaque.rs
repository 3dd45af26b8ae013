//! The form in which names, realms and passwords enter a key.

use std::borrow::Cow;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::{Error, profile::PrecisFastInvocation};

/// A string that the OpaqueString profile does not allow.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotOpaque {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// This character, at this place counted in characters from 0.
    #[error("has the character U+{0:04X} at position {1}, which RFC 8265 (OpaqueString) does not allow")]
    Character(u32, usize),
    /// A character where its context does not allow it (a joiner, say).
    #[error("has a character that RFC 8265 (OpaqueString) does not allow there")]
    Context,
}

/// Brings a user name, realm or password into the form of RFC 8489 §9.2.2:
/// OpaqueString (RFC 8265 §4.2), that is non-ASCII spaces become U+0020, then
/// NFC; controls, soft hyphens and characters without a meaning in Unicode 6.3
/// (which the PRECIS tables of RFC 8264 are fixed to) are refused. Printable
/// ASCII stays as it is.
///
/// Clients of RFC 5389 used SASLprep instead, and browsers use nothing at all:
/// the three agree on printable ASCII, so that is what to recommend.
///
/// `precis-profiles` is the whole profile, with context rules and the tables made
/// from the Unicode database; `unicode-normalization` alone would be half of it.
pub fn opaque_string(text: &str) -> Result<Cow<'_, str>, NotOpaque> {
    OpaqueString::enforce(text).map_err(|error| match error {
        Error::Invalid => NotOpaque::Empty,
        Error::BadCodepoint(at) => NotOpaque::Character(at.cp, at.position),
        Error::Unexpected(_) => NotOpaque::Context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    //
    #[test]
    fn strings_are_normalised_as_rfc_8265_says() {
        assert_eq!(opaque_string("correct horse").unwrap(), "correct horse");
        assert_eq!(opaque_string("e\u{301}").unwrap(), "\u{e9}");
        assert_eq!(opaque_string("a\u{a0}b\u{3000}c").unwrap(), "a b c");
        // Not NFKC: what SASLprep would turn into "TheMatrIX" stays.
        assert_eq!(opaque_string("TheM\u{aa}tr\u{2168}").unwrap(), "TheM\u{aa}tr\u{2168}");
    }

    //
    #[test]
    fn disallowed_characters_are_named() {
        assert_eq!(opaque_string("The\u{ad}M"), Err(NotOpaque::Character(0xad, 3)));
        assert_eq!(opaque_string("a\nb"), Err(NotOpaque::Character(0x0a, 1)));
        assert_eq!(opaque_string("\0"), Err(NotOpaque::Character(0, 0)));
        assert_eq!(opaque_string("\u{200d}"), Err(NotOpaque::Context));
        assert_eq!(opaque_string(""), Err(NotOpaque::Empty));
    }
}
