//! How this server does TLS over TCP (RFC 8489 §6.2.3): versions, ALPN, tickets.
//! The handshakes are `entrance`'s, the records `stream`'s.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};

use super::certificates::{Certificates, provider};

/// RFC 7443 §3. A client that offers others alone is refused (RFC 7301 §3.2),
/// one that offers none is served.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// What handshakes are done with.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, Error> {
    // rustls has neither compression, renegotiation, DES, RC4 nor static RSA.
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Early data could be a replayed Allocate (RFC 8446 §8).
    config.max_early_data_size = 0;
    // Tickets hold the session with the client: nothing to keep here.
    config.ticketer = Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
