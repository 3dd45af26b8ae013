//! Long-term credentials from the client's side (RFC 8489 §9.2).

use floe::wire::AttributeType;
use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};

use super::Request;

/// A name and its password.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    pub name: &'a str,
    pub password: &'a str,
}

/// How a client signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// RFC 5389, as browsers do: MD5 key, MESSAGE-INTEGRITY.
    Legacy,
    /// RFC 8489: PASSWORD-ALGORITHMS echoed, SHA-256 chosen,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
    /// The same, with USERHASH in place of USERNAME.
    UserHash,
}

/// A user who has been challenged.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub realm: String,
    pub nonce: String,
    pub keys: LongTermKeys,
    pub scheme: Scheme,
}

impl Login {
    pub fn new(user: User<'_>, realm: &str, nonce: &str) -> Self {
        Self {
            name: user.name.into(),
            realm: realm.into(),
            nonce: nonce.into(),
            keys: LongTermKeys::derive(user.name, realm, user.password),
            scheme: Scheme::Legacy,
        }
    }

    /// The request with the attributes that say who asks.
    pub fn name_on(&self, request: Request) -> Request {
        let request = match self.scheme {
            Scheme::UserHash => request.put(AttributeType::USERHASH, &userhash(&self.name, &self.realm)),
            _ => request.put(AttributeType::USERNAME, self.name.as_bytes()),
        };
        let request = request
            .put(AttributeType::REALM, self.realm.as_bytes())
            .put(AttributeType::NONCE, self.nonce.as_bytes());
        match self.scheme {
            Scheme::Legacy => request,
            _ => request
                .put(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST)
                .put(AttributeType::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.value()),
        }
    }

    /// The whole message: named and signed.
    pub fn sign(&self, request: Request) -> Vec<u8> {
        let request = self.name_on(request);
        match self.scheme {
            Scheme::Legacy => request.sign_sha1(&self.keys.md5),
            _ => request.sign_sha256(&self.keys.sha256),
        }
    }

    /// Whether the reply was signed with this user's key, the way it was asked.
    pub fn has_signed(&self, reply: &super::Reply) -> bool {
        let message = reply.message();
        match self.scheme {
            Scheme::Legacy => message.verify_sha1(&self.keys.md5) && !message.has_sha256(),
            _ => message.verify_sha256(&self.keys.sha256) && !message.has_sha1(),
        }
    }
}
