//! A connection to a TURN server as one [`Conn`] that carries whole messages:
//! one `recv` gives one STUN message or ChannelData message.
//!
//! A further transport is a variant of [`Transport`] and an arm of [`connect`].

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use tokio::net::{TcpStream, UdpSocket};
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
}

impl Transport {
    /// Whether the transport itself repeats what is lost.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
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
            _ => Err(format!("transport {text:?} is not supported; write udp or tcp")),
        }
    }
}

/// A TURN server's listener, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is spoken to.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
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
/// Of the socket: refused, unreachable, no address of that family.
pub async fn connect(endpoint: Endpoint) -> io::Result<SharedConn> {
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
        Transport::Tcp => {
            let stream = TcpStream::connect(endpoint.address).await?;
            stream.set_nodelay(true)?;
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            Ok(Arc::new(FramedConn::new(stream, local, remote)))
        }
    }
}
