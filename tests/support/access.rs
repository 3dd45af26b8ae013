//! An authorization server (RFC 7635), which seals access tokens byte by byte.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::REALM;

/// What a client is given.
#[derive(Clone, Debug)]
pub struct Access {
    pub kid: &'static str,
    /// ACCESS-TOKEN.
    pub token: Vec<u8>,
    /// Signs its messages.
    pub mac_key: Vec<u8>,
}

/// A key that the authorization server shares with the server.
#[derive(Clone, Copy, Debug)]
pub struct TokenKey {
    pub kid: &'static str,
    /// 32 bytes for A256GCM, 16 for A128GCM.
    pub key: &'static [u8],
}

pub const FIRST: TokenKey = TokenKey { kid: "first", key: b"k3Vq9xTz0LmN4wBpR7sYc2HdJ5fGa8Ue" };
pub const SECOND: TokenKey = TokenKey { kid: "second", key: b"w8Xe5RtU1iOp6AsD" };
pub const THIRD: TokenKey = TokenKey { kid: "third", key: b"Qz1Wx2Ec3Rv4Tb5Yn6Um7Ik8Ol9Pa0Sd" };

/// What is sealed, and for whom.
#[derive(Clone, Debug)]
pub struct Token {
    pub key: TokenKey,
    /// The realm, unless the server has another name.
    pub server_name: &'static str,
    pub mac_key: Vec<u8>,
    /// Seconds from now; how long ago when it is negative.
    pub made: i64,
    pub lifetime: u32,
}

impl TokenKey {
    /// As it stands in `auth.oauth-keys`.
    pub fn entry(self) -> toml::Table {
        let algorithm = if self.key.len() == 32 { "A256GCM" } else { "A128GCM" };
        toml::Table::from_iter([
            ("kid".to_owned(), self.kid.into()),
            ("key".to_owned(), BASE64_STANDARD.encode(self.key).into()),
            ("algorithm".to_owned(), algorithm.into()),
        ])
    }

    /// A token that is good for an hour from now, with a key of its own.
    pub fn token(self) -> Token {
        let mac_key: [u8; 20] = rand::random();
        Token { key: self, server_name: REALM, mac_key: mac_key.into(), made: 0, lifetime: 3600 }
    }

    pub fn access(self) -> Access {
        self.token().access()
    }

    /// Whatever `block` is, sealed for this server name.
    pub fn seal(self, server_name: &str, block: &[u8]) -> Vec<u8> {
        let algorithm = if self.key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, self.key).expect("a key"));
        let nonce: [u8; 12] = rand::random();
        let mut sealed = block.to_vec();
        let aad = Aad::from(server_name.as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).expect("sealed");
        [&[0, 12], &nonce[..], &sealed].concat()
    }
}

impl Token {
    /// RFC 7635 §6.2, before it is sealed.
    pub fn block(&self) -> Vec<u8> {
        let made = now().checked_add_signed(self.made).expect("since 1970");
        let mut block = (self.mac_key.len() as u16).to_be_bytes().to_vec();
        block.extend(&self.mac_key);
        block.extend((made << 16).to_be_bytes());
        block.extend(self.lifetime.to_be_bytes());
        block
    }

    pub fn access(&self) -> Access {
        let token = self.key.seal(self.server_name, &self.block());
        Access { kid: self.key.kid, token, mac_key: self.mac_key.clone() }
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
