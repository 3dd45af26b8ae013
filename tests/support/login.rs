//! Long-term credentials from the client's side (RFC 8489 §9.2).

use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};
use floe::wire::{AttributeType, Method};

use super::{Access, Request};

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
    /// In the password's place.
    pub access: Option<Access>,
}

impl Login {
    pub fn new(user: User<'_>, realm: &str, nonce: &str) -> Self {
        Self {
            name: user.name.into(),
            realm: realm.into(),
            nonce: nonce.into(),
            keys: LongTermKeys::derive(user.name, realm, user.password),
            scheme: Scheme::Legacy,
            access: None,
        }
    }

    /// What signs in this scheme.
    pub fn key(&self) -> &[u8] {
        match (&self.access, self.scheme) {
            (Some(access), _) => &access.mac_key,
            (None, Scheme::Legacy) => &self.keys.md5,
            (None, _) => &self.keys.sha256,
        }
    }

    /// The request with the attributes that say who asks: a token with Allocate and
    /// Refresh (RFC 7635 §9), unless the request has one.
    pub fn name_on(&self, request: Request) -> Request {
        let request = match self.scheme {
            Scheme::UserHash => request.put(AttributeType::USERHASH, &userhash(&self.name, &self.realm)),
            _ => request.put(AttributeType::USERNAME, self.name.as_bytes()),
        };
        let request = request
            .put(AttributeType::REALM, self.realm.as_bytes())
            .put(AttributeType::NONCE, self.nonce.as_bytes());
        let shown = [Method::ALLOCATE, Method::REFRESH].contains(&request.method())
            && !request.has(AttributeType::ACCESS_TOKEN);
        let request = match &self.access {
            Some(access) if shown => request.put(AttributeType::ACCESS_TOKEN, &access.token),
            _ => request,
        };
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
            Scheme::Legacy => request.sign_sha1(self.key()),
            _ => request.sign_sha256(self.key()),
        }
    }

    /// Whether the reply was signed with this user's key, the way it was asked.
    pub fn has_signed(&self, reply: &super::Reply) -> bool {
        let message = reply.message();
        match self.scheme {
            Scheme::Legacy => message.verify_sha1(self.key()) && !message.has_sha256(),
            _ => message.verify_sha256(self.key()) && !message.has_sha1(),
        }
    }
}
