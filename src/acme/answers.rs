//! What floe answers while a certificate authority looks whether a name is ours:
//! by HTTP, a text under `/.well-known/acme-challenge/` (RFC 8555 §8.3), or by
//! TLS, a certificate (RFC 8737 §3). An answer is there as long as its [`Held`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::net::{TlsChallenges, provider};

/// Key authorizations by their token.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, String>>);

impl Tokens {
    pub(super) fn get(&self, token: &str) -> Option<String> {
        self.now().get(token).cloned()
    }

    /// Whole between any two statements, so a poisoned lock is as good as
    /// another.
    fn now(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where answers are given.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    Http(Arc<Tokens>),
    Tls(Arc<TlsChallenges>),
}

/// An answer; taken back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    answers: Answers,
    key: String,
}

impl Answers {
    /// The kind of challenge that is answered.
    pub(super) const fn kind(&self) -> ChallengeType {
        match self {
            Self::Http(_) => ChallengeType::Http01,
            Self::Tls(_) => ChallengeType::TlsAlpn01,
        }
    }

    /// Answers for `name`, until what comes back is dropped.
    pub(super) fn hold(
        &self,
        name: &str,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Held, rcgen::Error> {
        let key = match self {
            Self::Http(tokens) => {
                tokens.now().insert(token.to_owned(), authorization.as_str().to_owned());
                token
            }
            Self::Tls(challenges) => {
                let digest = authorization.digest();
                challenges.show(name, Arc::new(certificate(name, digest.as_ref())?));
                name
            }
        };
        Ok(Held { answers: self.clone(), key: key.to_owned() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match &self.answers {
            Answers::Http(tokens) => drop(tokens.now().remove(&self.key)),
            Answers::Tls(challenges) => challenges.hide(&self.key),
        }
    }
}

/// Self-signed, for this one name, with the digest where nobody else puts one.
fn certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let secret = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider().key_provider.load_private_key(secret);
    let key = key.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
