//! How this server does TLS over TCP (RFC 8489 §6.2.3): versions, ALPN, tickets.
//! The handshakes are `entrance`'s, the records `stream`'s.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite};
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::certificates::{Certificates, provider};
use super::challenges::{self, TlsChallenges};
use super::web::{Pass, Routes};

/// RFC 7443 §3. A client that offers others alone is refused (RFC 7301 §3.2),
/// one that offers none is served.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// What the admin room speaks (RFC 7301 §6).
const HTTP: &[u8] = b"http/1.1";

/// What handshakes are done with.
#[derive(Debug)]
pub(super) struct Tls {
    turn: Arc<ServerConfig>,
    /// `None` where nobody serves HTTP.
    either: Option<Arc<ServerConfig>>,
    /// `None` without ACME.
    challenge: Option<Arc<ServerConfig>>,
}

/// What a client wants that has said hello, and what its handshake is done with.
#[derive(Debug)]
pub(super) enum Wanted {
    /// TURN.
    Turn(Arc<ServerConfig>),
    /// TURN or HTTP, see [`is_http`].
    Either(Arc<ServerConfig>),
    /// A web server's; the handshake is with that one.
    Pass(Arc<Pass>),
    /// A certificate authority wants to see who answers for a name.
    Challenge(Arc<ServerConfig>),
}

impl Tls {
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(
        certificates: Arc<Certificates>,
        challenges: Option<Arc<TlsChallenges>>,
        http: bool,
    ) -> Result<Self, Error> {
        let mut turn = config(certificates)?;
        turn.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // Tickets hold the session with the client: nothing to keep here.
        turn.ticketer = Ticketer::new()?;
        let either = http.then(|| {
            let mut either = turn.clone();
            either.alpn_protocols.push(HTTP.to_vec());
            Arc::new(either)
        });
        let challenge = challenges.map(|challenges| {
            let mut challenge = config(challenges)?;
            challenge.alpn_protocols = vec![challenges::ALPN.to_vec()];
            Ok::<_, Error>(Arc::new(challenge))
        });
        Ok(Self { turn: Arc::new(turn), either, challenge: challenge.transpose()? })
    }

    /// What `hello` asks for; `routes` where one port is for everything.
    pub(super) fn wanted(&self, hello: &ClientHello<'_>, routes: Option<&Routes>) -> Wanted {
        let name = hello.server_name();
        if let Some(pass) = routes.zip(name).and_then(|(routes, name)| routes.pass(name)) {
            return Wanted::Pass(pass);
        }
        match (&self.challenge, &self.either) {
            // RFC 8737 §3: such a certificate is shown to nobody else.
            (Some(challenge), _) if offers(hello, challenges::ALPN) => {
                Wanted::Challenge(Arc::clone(challenge))
            }
            (_, Some(either)) if routes.is_some() => Wanted::Either(Arc::clone(either)),
            _ => Wanted::Turn(Arc::clone(&self.turn)),
        }
    }
}

/// Whether a session that may be either is HTTP: by what was agreed on, else by
/// its first byte. TURN begins with a STUN message, whose first byte is 0 to 3
/// (RFC 8489 §5), and an HTTP request with a letter (RFC 9110 §9.1).
pub(super) async fn is_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut TlsStream<S>,
) -> io::Result<bool> {
    if let Some(agreed) = stream.get_ref().1.alpn_protocol() {
        return Ok(agreed == HTTP);
    }
    Ok(stream.fill_buf().await?.first().is_some_and(u8::is_ascii_alphabetic))
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
