//! The ways to a TURN server: which one ([`Transport`]), where it ends
//! ([`Endpoint`], of a URL by [`resolve`]), whom to believe there ([`Tls`]); and a
//! connection as one [`Conn`] that carries whole messages: one `recv` gives one
//! STUN message or ChannelData message.
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
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, ClientConnection, RootCertStore};
use webrtc_util::Conn;

use crate::client::dtls::{self, DtlsConn};
use crate::client::framing::FramedConn;
use crate::client::url::ServerUrl;

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
    /// RFC 8656 over DTLS over UDP (RFC 7350).
    Dtls,
}

impl Transport {
    /// Whether the transport itself repeats what is lost.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp | Self::Dtls => false,
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
            Self::Dtls => "dtls",
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
            "dtls" => Ok(Self::Dtls),
            _ => Err(format!("transport {text:?} is not supported; write udp, tcp, tls or dtls")),
        }
    }
}

/// What a TURN client says over TLS that it wants to speak (RFC 7443 §3).
pub const ALPN: &[u8] = b"stun.turn";

/// A TURN server's listener, resolved.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How it is spoken to.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to believe; for [`Transport::Tls`] and [`Transport::Dtls`].
    pub tls: Option<Tls>,
}

/// How a server proves itself over TLS and DTLS.
#[derive(Clone, Debug)]
pub struct Tls {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    datagrams: dtls::Context,
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
        let believed = authorities(ca)?;
        let roots = roots(&believed, ca)?;
        let datagrams = dtls::Context::new(name.clone(), &believed)?;
        // Explicitly: a process's default depends on the features of every crate.
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { name, config: Arc::new(config), datagrams })
    }

    /// The client's end of a connection, for who moves its bytes without tokio.
    ///
    /// # Errors
    /// rustls's.
    pub fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }

    /// The same of a DTLS session.
    pub(super) fn session(&self) -> io::Result<dtls::Session> {
        dtls::Session::new(&self.datagrams)
    }
}

/// What rustls takes of these; of those in the file `ca`, all of them.
pub(super) fn roots(
    believed: &[CertificateDer<'static>],
    ca: Option<&Path>,
) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in believed {
        if let (Err(error), Some(path)) = (roots.add(certificate.clone()), ca) {
            return Err(format!("cannot use {}: {error}", path.display()));
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate authority to believe: give one with --ca \
                    (or install the package ca-certificates)"
            .to_owned());
    }
    Ok(roots)
}

/// Those in this PEM file, else the system's.
pub(super) fn authorities(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(path) = ca else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    certificates.map_err(|error| format!("cannot use {}: {error}", path.display()))
}

/// Why a server can't be reached, and what may help.
pub fn explain(error: &io::Error) -> String {
    if invalid_certificate(error).is_some_and(is_of_authority) {
        let (what, advice) = OF_AUTHORITY;
        return format!("{what}; {advice}");
    }
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => " (nothing listens there; is the server running?)",
        _ if is_distrust(error) => " (--ca FILE names whom else to believe)",
        _ => "",
    };
    format!("{error}{hint}")
}

/// Whether what is wrong with a connection is the server's certificate.
pub fn is_distrust(error: &io::Error) -> bool {
    invalid_certificate(error).is_some()
        || error.get_ref().is_some_and(|cause| cause.is::<dtls::Distrusted>())
}

fn invalid_certificate(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(fault) => Some(fault),
        _ => None,
    }
}

/// What is wrong with a certificate where [`is_of_authority`], and what to do.
pub(super) const OF_AUTHORITY: (&str, &str) = (
    "the server's certificate is that of an authority (CA:TRUE), which clients take from no server",
    "make one for a server: openssl req -x509 … -addext basicConstraints=critical,CA:FALSE",
);

/// What a plain `openssl req -x509` makes. rustls has no name for it.
pub(super) fn is_of_authority(fault: &CertificateError) -> bool {
    fault.to_string().contains("CaUsedAsEndEntity")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// Where this server is, by that transport; IPv4 first, which webrtc-rs reaches
/// by itself. `ca` is as for [`Tls::new`].
///
/// # Errors
/// A sentence that says what is missing.
pub async fn resolve(
    server: &ServerUrl,
    transport: Transport,
    ca: Option<&Path>,
) -> Result<Endpoint, String> {
    let tls = match transport {
        Transport::Tls | Transport::Dtls => Some(Tls::new(&server.host, ca)?),
        Transport::Udp | Transport::Tcp => None,
    };
    let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let found: Vec<_> = found.map_err(|error| format!("cannot resolve {}: {error}", server.host))?.collect();
    let address = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    let address = address.ok_or_else(|| format!("{} has no address", server.host))?;
    Ok(Endpoint { transport, address: *address, tls })
}

/// Connects. UDP sockets are connected too, so that a closed port shows as
/// [`io::ErrorKind::ConnectionRefused`] on the first `recv`, or in the handshake.
///
/// # Errors
/// Of the socket: refused, unreachable, no address of that family; of TLS and
/// DTLS: a certificate that is not believed, or no end of the handshake.
pub async fn connect(endpoint: &Endpoint) -> io::Result<SharedConn> {
    let nobody = || io::Error::new(io::ErrorKind::InvalidInput, "nobody is named whom to believe");
    match endpoint.transport {
        Transport::Udp => Ok(Arc::new(udp(endpoint.address).await?)),
        Transport::Dtls => {
            let Tls { datagrams, .. } = endpoint.tls.as_ref().ok_or_else(nobody)?;
            Ok(Arc::new(DtlsConn::connect(udp(endpoint.address).await?, datagrams).await?))
        }
        Transport::Tcp => {
            let stream = tcp(endpoint.address).await?;
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            Ok(Arc::new(FramedConn::new(stream, local, remote)))
        }
        Transport::Tls => {
            let Tls { name, config, .. } = endpoint.tls.as_ref().ok_or_else(nobody)?;
            let stream = tcp(endpoint.address).await?;
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?;
            Ok(Arc::new(FramedConn::new(stream, local, remote)))
        }
    }
}

async fn udp(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

async fn tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What went wrong with a connection, as the system has it.
pub fn io_error(error: webrtc_util::Error) -> io::Error {
    match error {
        webrtc_util::Error::Io(io) => io.0,
        other => io::Error::other(other),
    }
}
