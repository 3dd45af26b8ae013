//! Long-term credentials from the client's side (RFC 8489 §9.2): what a
//! challenge asks for, how requests are named and signed, and whether an answer
//! is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use crate::client::Credentials;
use crate::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};
use crate::wire::{AttributeType, Message, MessageWriter};

/// How requests are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheme {
    /// As the server offers: RFC 8489 where it does, else RFC 5389.
    #[default]
    AsOffered,
    /// MD5 key and MESSAGE-INTEGRITY, as clients of RFC 5389 (browsers) do it
    /// whatever the server offers.
    Rfc5389,
}

/// Why a challenge can't be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unanswerable {
    /// REALM or NONCE are missing, or no text.
    #[error("it has no REALM or no NONCE")]
    Incomplete,
    /// The nonce says that algorithms were offered, and they are gone: somebody
    /// on the way has taken them off (RFC 8489 §9.2.1).
    #[error("its nonce promises PASSWORD-ALGORITHMS, and there are none")]
    BidDown,
    /// None that is known here.
    #[error("it offers no password algorithm that is known here")]
    UnknownAlgorithms,
}

/// A user who has been challenged.
#[derive(Clone, Debug)]
pub(super) struct Login {
    realm: String,
    nonce: Vec<u8>,
    name: Name,
    keys: LongTermKeys,
    /// What PASSWORD-ALGORITHMS was, and what was chosen from it.
    algorithms: Option<(Vec<u8>, PasswordAlgorithm)>,
}

#[derive(Clone, Debug)]
enum Name {
    Plain(String),
    Hash([u8; 32]),
}

/// Begins the nonces of servers that follow RFC 8489 (§9.2).
const NONCE_COOKIE: &[u8] = b"obMatJos2";

/// What a nonce says of its server (RFC 8489 §18.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SecurityFeatures {
    /// It offers PASSWORD-ALGORITHMS.
    pub password_algorithms: bool,
    /// It wants USERHASH.
    pub username_anonymity: bool,
}

/// `None`: the nonce of a server that does not follow RFC 8489.
pub fn security_features(nonce: &[u8]) -> Option<SecurityFeatures> {
    let encoded = nonce.strip_prefix(NONCE_COOKIE)?.get(..4)?;
    let first = *BASE64.decode(encoded).ok()?.first()?;
    Some(SecurityFeatures {
        password_algorithms: first & PASSWORD_ALGORITHMS != 0,
        username_anonymity: first & USERNAME_ANONYMITY != 0,
    })
}

fn features(nonce: &[u8]) -> SecurityFeatures {
    security_features(nonce).unwrap_or_default()
}

const PASSWORD_ALGORITHMS: u8 = 0x80;
const USERNAME_ANONYMITY: u8 = 0x40;

/// Whether the nonce promises PASSWORD-ALGORITHMS that are not there.
pub(super) fn is_bid_down(message: &Message<'_>) -> bool {
    let nonce = message.get(AttributeType::NONCE).unwrap_or_default();
    features(nonce).password_algorithms && !message.has(AttributeType::PASSWORD_ALGORITHMS)
}

impl Login {
    /// The answer to a 401 or 438.
    pub(super) fn new(
        challenge: &Message<'_>,
        credentials: &Credentials,
        scheme: Scheme,
    ) -> Result<Self, Unanswerable> {
        let realm = challenge.get(AttributeType::REALM).and_then(|realm| std::str::from_utf8(realm).ok());
        let nonce = challenge.get(AttributeType::NONCE);
        let (Some(realm), Some(nonce)) = (realm, nonce) else { return Err(Unanswerable::Incomplete) };
        if is_bid_down(challenge) {
            return Err(Unanswerable::BidDown);
        }
        let algorithms = match challenge.get(AttributeType::PASSWORD_ALGORITHMS) {
            Some(list) if scheme == Scheme::AsOffered => {
                let chosen = PasswordAlgorithm::preferred(list).ok_or(Unanswerable::UnknownAlgorithms)?;
                Some((list.to_vec(), chosen))
            }
            _ => None,
        };
        let Credentials { username, password } = credentials;
        let name = if features(nonce).username_anonymity && scheme == Scheme::AsOffered {
            Name::Hash(userhash(username, realm))
        } else {
            Name::Plain(username.clone())
        };
        let keys = LongTermKeys::derive(username, realm, password);
        Ok(Self { realm: realm.to_owned(), nonce: nonce.to_vec(), name, keys, algorithms })
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn sign(&self, message: &mut MessageWriter<'_>) {
        match &self.name {
            Name::Plain(name) => message.put(AttributeType::USERNAME, name.as_bytes()),
            Name::Hash(hash) => message.put(AttributeType::USERHASH, hash),
        };
        message.put(AttributeType::REALM, self.realm.as_bytes()).put(AttributeType::NONCE, &self.nonce);
        match &self.algorithms {
            None => message.sign_sha1(&self.keys.md5),
            Some((list, chosen)) => message
                .put(AttributeType::PASSWORD_ALGORITHMS, list)
                .put(AttributeType::PASSWORD_ALGORITHM, &chosen.value())
                .sign_sha256(self.keys.key(*chosen)),
        };
    }

    /// Whether an answer is signed by who knows the password, in the way that
    /// was asked.
    pub(super) fn has_signed(&self, message: &Message<'_>) -> bool {
        match &self.algorithms {
            None => message.verify_sha1(&self.keys.md5),
            Some((_, chosen)) => message.verify_sha256(self.keys.key(*chosen)),
        }
    }
}
