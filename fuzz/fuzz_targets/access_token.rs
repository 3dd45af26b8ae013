//! Any bytes as the value of ACCESS-TOKEN (RFC 7635 §6.2): nothing panics, nothing
//! is read beyond what is there, and what is sealed is taken when it is whole.
//!
//! After an even first byte the rest is a token, after an odd one a block that is
//! sealed first, as no fuzzer guesses a tag.
#![cfg_attr(fuzzing, no_main)]

use floe::auth::{AccessToken, Algorithm, TokenKey};
use floe::relay::UnixTime;
use floe::relay::world::TokenFault;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// That of coturn's example, so that its token can be in the corpus.
const KEY: [u8; 32] = *b"HGkj32KJGiuy098sdfaqbNjOiaz71923";
const SERVER_NAME: &str = "example.com";
const NONCE: [u8; 12] = [0; 12];

pub(crate) fn check(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let Some(key) = TokenKey::new(Algorithm::A256Gcm, &KEY) else { panic!("a key of 32 bytes") };
    let opened = if how % 2 == 0 { check_token(&key, rest) } else { check_block(&key, rest) };
    let Some(token) = opened else { return };
    for now in [0, 249_231_600, u64::MAX / 1000] {
        let left = token.lasts(UnixTime::from_secs(now));
        assert!(left.is_ok_and(|left| !left.is_zero()) || left.is_err());
    }
    let again = token.seal(&key, SERVER_NAME, NONCE);
    assert!(AccessToken::open(&key, SERVER_NAME, &again) == Ok(token));
    assert_eq!(AccessToken::open(&key, "example.org", &again), Err(TokenFault::Sealed));
}

fn check_token(key: &TokenKey, token: &[u8]) -> Option<AccessToken> {
    let opened = AccessToken::open(key, SERVER_NAME, token);
    if !token.starts_with(&[0, 12]) {
        assert_eq!(opened, Err(TokenFault::Sealed));
    }
    opened.ok()
}

fn check_block(key: &TokenKey, block: &[u8]) -> Option<AccessToken> {
    let Ok(unbound) = UnboundKey::new(&AES_256_GCM, &KEY) else { panic!("a key of 32 bytes") };
    let mut sealed = block.to_vec();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    let aad = Aad::from(SERVER_NAME.as_bytes());
    if LessSafeKey::new(unbound).seal_in_place_append_tag(nonce, aad, &mut sealed).is_err() {
        return None;
    }
    let token = [&[0, 12], &NONCE[..], &sealed].concat();
    let opened = AccessToken::open(key, SERVER_NAME, &token);
    let key_length = block.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
    let whole =
        key_length.is_some_and(|length| (16..=64).contains(&length) && block.len() == 2 + length + 12);
    assert_eq!(opened.is_ok(), whole, "{opened:?}");
    opened.ok()
}
