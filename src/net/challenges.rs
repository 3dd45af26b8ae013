//! What TLS shows a certificate authority that asks whose a name is
//! (TLS-ALPN-01, RFC 8737): for each name in question a certificate that nobody
//! else has a use for. `acme` puts them here while an order is under way, and
//! `tls` takes them for handshakes that offer nothing but this.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The protocol's name (RFC 8737 §6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// Certificates by the server name they are asked for with.
#[derive(Debug, Default)]
pub struct TlsChallenges(Mutex<HashMap<String, Arc<CertifiedKey>>>);

impl TlsChallenges {
    /// Shows `certificate` to whoever asks about `name`, a host name or an IP
    /// address.
    pub fn show(&self, name: &str, certificate: Arc<CertifiedKey>) {
        self.now().insert(server_name(name), certificate);
    }

    /// Shows nothing for `name` any more.
    pub fn hide(&self, name: &str) {
        self.now().remove(&server_name(name));
    }

    /// Whole between any two statements, so a poisoned lock is as good as
    /// another.
    fn now(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for TlsChallenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

/// How SNI says a name: an IP address by its name in the reverse tree
/// (RFC 8738 §6).
fn server_name(name: &str) -> String {
    match name.parse() {
        Err(_) => name.to_ascii_lowercase(),
        Ok(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(ip)) => {
            let mut reverse = String::new();
            for byte in ip.octets().iter().rev() {
                // Into a String: it can't fail.
                let _ = write!(reverse, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
            reverse + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(server_name("Turn.Example.org"), "turn.example.org");
        assert_eq!(server_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(server_name("2001:db8::1"), v6);
    }
}
