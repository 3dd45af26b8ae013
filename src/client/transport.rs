//! A connection to a TURN server as one [`Conn`] that carries whole messages:
//! one `recv` gives one STUN message or ChannelData message.
//!
//! A further transport is a variant of [`Transport`] and an arm of [`connect`].

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore};
use webrtc_util::Conn;

use crate::client::framing::FramedConn;

/// A shared [`Conn`], as webrtc-rs hands them around.
pub type SharedConn = Arc<dyn Conn + Send + Sync>;

/// What runs between a client and its TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 8656 over UDP.
    Udp,
    /// RFC 8656 over TCP, framed as in §12.5 for ChannelData.
    Tcp,
    /// The same over TLS over TCP.
    Tls,
}

impl Transport {
    /// Whether the transport itself repeats what is lost.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

impl FromStr for Transport {
    type Err = String;

    /// # Errors
    /// A sentence that names the transports there are.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            _ => Err(format!("transport {text:?} is not supported; write udp, tcp or tls")),
        }
    }
}

/// A TURN server's listener, resolved.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How it is spoken to.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to believe; for [`Transport::Tls`] alone.
    pub tls: Option<Tls>,
}

/// How a server proves itself over TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// The server must have a certificate for `host`, a name or an IP address,
    /// from an authority in the PEM file `ca`, else from one of the system's. (The
    /// list in the crate `webpki-roots` would do without a system, but knows no
    /// authority of one's own and ages with the binary.)
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn new(host: &str, ca: Option<&Path>) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host} is no name that a certificate can be for"))?;
        let mut roots = RootCertStore::empty();
        match ca {
            Some(path) => {
                let unusable = |error: &dyn fmt::Display| format!("cannot use {}: {error}", path.display());
                let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
                for certificate in read {
                    let certificate = certificate.map_err(|error| unusable(&error))?;
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
            }
            None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        }
        if roots.is_empty() {
            return Err("there is no certificate authority to believe: give one with --ca \
                        (or install the package ca-certificates)"
                .to_owned());
        }
        // Explicitly: a process's default depends on the features of every crate.
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // RFC 7443 §3.
        config.alpn_protocols = vec![b"stun.turn".to_vec()];
        Ok(Self { name, config: Arc::new(config) })
    }

    /// The client's end of a connection, for who moves its bytes without tokio.
    ///
    /// # Errors
    /// rustls's.
    pub fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// Connects. UDP sockets are connected too, so that a closed port shows as
/// [`io::ErrorKind::ConnectionRefused`] on the first `recv`.
///
/// # Errors
/// Of the socket: refused, unreachable, no address of that family; of TLS: a
/// certificate that is not believed.
pub async fn connect(endpoint: &Endpoint) -> io::Result<SharedConn> {
    match endpoint.transport {
        Transport::Udp => {
            let any: SocketAddr = match endpoint.address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(endpoint.address).await?;
            Ok(Arc::new(socket))
        }
        Transport::Tcp | Transport::Tls => {
            let stream = TcpStream::connect(endpoint.address).await?;
            stream.set_nodelay(true)?;
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            let Some(Tls { name, config }) = &endpoint.tls else {
                return Ok(Arc::new(FramedConn::new(stream, local, remote)));
            };
            let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?;
            Ok(Arc::new(FramedConn::new(stream, local, remote)))
        }
    }
}

/// What went wrong with a connection, as the system has it.
pub fn io_error(error: webrtc_util::Error) -> io::Error {
    match error {
        webrtc_util::Error::Io(io) => io.0,
        other => io::Error::other(other),
    }
}
