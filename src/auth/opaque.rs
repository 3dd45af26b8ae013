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
    /// What it is turned into is itself not allowed.
    #[error(
        "has a character that Unicode replaces by one which RFC 8265 (OpaqueString) does not allow there"
    )]
    Unstable,
}

/// RFC 8264 §7: how often the rules are applied again before a string is given up.
const AGAIN: usize = 3;

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
///
/// What it returns it would return unchanged (RFC 8264 §7): a name that is
/// configured is the name that logs in.
pub fn opaque_string(text: &str) -> Result<Cow<'_, str>, NotOpaque> {
    let mut form = OpaqueString::enforce(text).map_err(|error| match error {
        Error::Invalid => NotOpaque::Empty,
        Error::BadCodepoint(at) => NotOpaque::Character(at.cp, at.position),
        Error::Unexpected(_) => NotOpaque::Context,
    })?;
    for _ in 0..AGAIN {
        let next = match OpaqueString::enforce(&*form) {
            Ok(next) if next == form => return Ok(form),
            Ok(next) => next.into_owned(),
            Err(_) => break,
        };
        form = next.into();
    }
    Err(NotOpaque::Unstable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_stable(text: &str) -> bool {
        match opaque_string(text) {
            Ok(form) => opaque_string(&form).as_deref() == Ok(&*form),
            Err(_) => true,
        }
    }

    //
    #[test]
    fn every_character_is_stable_or_refused() {
        // Unicode 6.3, which PRECIS is fixed to, has nothing but private use behind.
        for character in ('\0'..='\u{2ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            for text in [character.to_string(), format!("l{character}l")] {
                assert!(is_stable(&text), "{text:?}");
            }
        }
    }

    /// What composes, reorders, joins or needs a neighbour.
    const RESTLESS: &str = "l\u{387}\u{b7}\u{37a}\u{1fbd}\u{345}\u{301}\u{323}\u{1e9b}\u{a0}\u{2001}\u{3000}\
        \u{212b}\u{1100}\u{1161}\u{11a8}\u{94d}\u{200c}\u{200d}\u{30fb}\u{30a2}\u{660}\u{6f0}\u{5f3}\u{5d0}\u{375}\u{3b1}";

    proptest! {
        //
        #[test]
        fn every_string_is_stable_or_refused(
            text in proptest::collection::vec(
                prop_oneof![
                    3 => proptest::sample::select(RESTLESS.chars().collect::<Vec<_>>()),
                    1 => any::<char>(),
                ],
                0..12,
            ),
        ) {
            let text = String::from_iter(text);
            prop_assert!(is_stable(&text), "{text:?}");
        }
    }

    //
    #[test]
    fn what_turns_into_something_refused_is_refused() {
        // GREEK ANO TELEIA is a MIDDLE DOT to NFC, which may stand between two l's only.
        assert_eq!(opaque_string("\u{387}"), Err(NotOpaque::Unstable));
        assert_eq!(opaque_string("l\u{387}l").unwrap(), "l\u{b7}l");
    }

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
