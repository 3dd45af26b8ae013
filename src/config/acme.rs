//! `[acme]`: its keys, and what can be wrong with them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::DnsName;

use super::check::Check;

/// Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Names in one certificate: what Let's Encrypt takes.
const MAX_NAMES: usize = 100;

/// Where certificate authorities look (RFC 8555 §8.3, RFC 8737 §3).
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// `[acme]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Acme {
    /// Host names and IP addresses that the certificate is for; empty: off.
    pub names: Vec<String>,
    /// Mail addresses that the server may write to.
    pub contact: Vec<String>,
    /// URL of the server's directory.
    pub directory: String,
    /// The operator agrees to the server's terms of service.
    pub agree_to_terms: bool,
    /// How it is shown that the names are ours.
    pub challenge: Challenge,
    /// Where `http-01` is answered; not listened on otherwise.
    pub http_listen: Vec<SocketAddr>,
    /// One of the server's certificate profiles; empty: its default.
    pub profile: String,
    /// PEM file of whoever certifies the server; empty: the system's.
    pub root_certificates: PathBuf,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            contact: Vec::new(),
            directory: LETS_ENCRYPT.to_owned(),
            agree_to_terms: false,
            challenge: Challenge::default(),
            http_listen: vec![
                SocketAddr::from(([0; 4], HTTP_PORT)),
                SocketAddr::from(([0_u16; 8], HTTP_PORT)),
            ],
            profile: String::new(),
            root_certificates: PathBuf::new(),
        }
    }
}

impl Acme {
    /// Whether floe obtains certificates.
    pub const fn is_on(&self) -> bool {
        !self.names.is_empty()
    }
}

/// `acme.challenge`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// By a handshake at a TLS listener (RFC 8737).
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a page on `http-listen` (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
}

const NAMES: &str = "acme.names";

impl Check<'_> {
    pub(super) fn acme(&mut self) {
        let acme = &self.config.acme;
        if !acme.is_on() {
            return;
        }
        if !cfg!(feature = "acme") {
            self.error(NAMES, "can't be had: this floe was built without ACME (feature acme)");
        }
        if acme.names.len() > MAX_NAMES {
            self.error(NAMES, format!("has {} names; at most {MAX_NAMES}", acme.names.len()));
        }
        for (index, name) in acme.names.iter().enumerate() {
            if acme.names.iter().take(index).any(|other| other.eq_ignore_ascii_case(name)) {
                self.entry_error(NAMES, index, format!("{name} is listed twice; remove one"));
            }
            if name.starts_with("*.") {
                let text = format!("{name} takes the DNS challenge, which floe has not; list the hosts");
                self.entry_error(NAMES, index, text);
            } else if name.parse::<IpAddr>().is_err()
                && (DnsName::try_from(name.as_str()).is_err() || !name.contains('.'))
            {
                let text = format!("{name:?} is no host name; write one, as \"turn.example.org\"");
                self.entry_error(NAMES, index, text);
            }
        }
        if !acme.agree_to_terms {
            self.error(
                "acme.agree-to-terms",
                format!("read the terms of service of {} and set this to true", acme.directory),
            );
        }
        for (index, contact) in acme.contact.iter().enumerate() {
            let address = contact.strip_prefix("mailto:").unwrap_or(contact);
            if address.split_once('@').is_none_or(|(user, host)| user.is_empty() || host.is_empty()) {
                let text = format!("{contact:?} is no mail address; write one, as \"admin@example.org\"");
                self.entry_error("acme.contact", index, text);
            }
        }
        if !acme.directory.starts_with("https://") {
            self.error("acme.directory", format!("{:?} is no https:// URL", acme.directory));
        }
        self.acme_challenge();
    }

    fn acme_challenge(&mut self) {
        let acme = &self.config.acme;
        let listen = &self.config.listen;
        let tls = || listen.tls.iter().chain(&self.config.https.listen);
        match acme.challenge {
            Challenge::TlsAlpn01 if tls().next().is_none() => {
                self.error(
                    "acme.challenge",
                    "tls-alpn-01 is answered at listen.tls and https.listen, which are empty; \
                     listen at port 443, or choose \"http-01\"",
                );
            }
            Challenge::TlsAlpn01 if tls().all(|address| address.port() != HTTPS_PORT) => {
                self.warn(
                    "acme.challenge",
                    "tls-alpn-01 is asked for at port 443, which is none of listen.tls and https.listen: \
                     it must be forwarded to one of them",
                );
            }
            Challenge::Http01 if acme.http_listen.is_empty() => {
                self.error("acme.http-listen", "is empty, but http-01 is answered there");
            }
            Challenge::Http01 if acme.http_listen.iter().all(|address| address.port() != HTTP_PORT) => {
                self.warn(
                    "acme.http-listen",
                    "http-01 is asked for at port 80, which is none of these: \
                     it must be forwarded to one of them",
                );
            }
            Challenge::TlsAlpn01 | Challenge::Http01 => {}
        }
    }
}

#[cfg(test)]
#[path = "acme_test.rs"]
mod tests;
