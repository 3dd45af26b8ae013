//! How this server does TLS over TCP (RFC 8489 §6.2.3): versions, ALPN, tickets.
//! The handshakes are `entrance`'s, the records `stream`'s.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};

use super::certificates::{Certificates, provider};
use super::challenges::{self, TlsChallenges};

/// RFC 7443 §3. A client that offers others alone is refused (RFC 7301 §3.2),
/// one that offers none is served.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// What handshakes are done with.
#[derive(Debug)]
pub(super) struct Tls {
    turn: Arc<ServerConfig>,
    /// `None` without ACME.
    challenge: Option<Arc<ServerConfig>>,
}

/// What a client wants that has said hello, and what its handshake is done with.
#[derive(Debug)]
pub(super) enum Wanted {
    /// TURN.
    Turn(Arc<ServerConfig>),
    /// A certificate authority wants to see who answers for a name.
    Challenge(Arc<ServerConfig>),
}

impl Tls {
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(
        certificates: Arc<Certificates>,
        challenges: Option<Arc<TlsChallenges>>,
    ) -> Result<Self, Error> {
        let mut turn = config(certificates)?;
        turn.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // Tickets hold the session with the client: nothing to keep here.
        turn.ticketer = Ticketer::new()?;
        let challenge = challenges.map(|challenges| {
            let mut challenge = config(challenges)?;
            challenge.alpn_protocols = vec![challenges::ALPN.to_vec()];
            Ok::<_, Error>(Arc::new(challenge))
        });
        Ok(Self { turn: Arc::new(turn), challenge: challenge.transpose()? })
    }

    /// What `hello` asks for.
    pub(super) fn wanted(&self, hello: &ClientHello<'_>) -> Wanted {
        match &self.challenge {
            // RFC 8737 §3: such a certificate is shown to nobody else.
            Some(challenge) if offers(hello, challenges::ALPN) => Wanted::Challenge(Arc::clone(challenge)),
            _ => Wanted::Turn(Arc::clone(&self.turn)),
        }
    }
}

/// rustls has neither compression, renegotiation, DES, RC4 nor static RSA.
fn config(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    // Early data could be a replayed Allocate (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(config)
}

fn offers(hello: &ClientHello<'_>, protocol: &[u8]) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.any(|one| one == protocol))
}
