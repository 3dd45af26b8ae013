//! The protocol itself, as OpenSSL does it: datagrams in, datagrams out. Nothing
//! here has a socket, and nothing waits.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509CheckFlags, X509VerifyFlags};
use openssl::x509::{X509, X509VerifyResult};
use tokio_rustls::rustls::pki_types::{CertificateDer, IpAddr, ServerName};

use super::{Distrusted, MAX_MESSAGE};

/// RFC 7443 §3, as TLS has it.
const ALPN: &[u8] = b"\x09stun.turn";

/// Largest datagram of a handshake: what passes every path of IPv6.
const MTU: u32 = 1232;

/// Whom to believe, and what the server must be called.
#[derive(Clone)]
pub(in crate::client) struct Context(Arc<(SslContext, ServerName<'static>)>);

impl Context {
    pub(in crate::client) fn new(
        name: ServerName<'static>,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, String> {
        let context = Self::build(authorities).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new((context, name))))
    }

    fn build(authorities: &[CertificateDer<'_>]) -> Result<SslContext, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in authorities {
            // One that OpenSSL can't read vouches for nobody.
            if let Ok(certificate) = X509::from_der(authority) {
                store.add_cert(certificate)?;
            }
        }
        // As over TLS: who is named is believed, whether itself vouched for or not.
        store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        let mut context = SslContext::builder(SslMethod::dtls_client())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET);
        context.set_mode(SslMode::RELEASE_BUFFERS);
        context.set_verify(SslVerifyMode::PEER);
        context.set_cert_store(store.build());
        context.set_alpn_protos(ALPN)?;
        Ok(context.build())
    }

    fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let (context, name) = &*self.0;
        let mut ssl = Ssl::new(context)?;
        ssl.set_mtu(MTU)?;
        match name {
            ServerName::IpAddress(IpAddr::V4(ip)) => {
                ssl.param_mut().set_ip(std::net::Ipv4Addr::from(*ip.as_ref()).into())?;
            }
            ServerName::IpAddress(IpAddr::V6(ip)) => {
                ssl.param_mut().set_ip(std::net::Ipv6Addr::from(*ip.as_ref()).into())?;
            }
            name => {
                let name = name.to_str();
                ssl.set_hostname(&name)?;
                let param = ssl.param_mut();
                // RFC 9525 §6.3: the subject's own name is none.
                param.set_hostflags(
                    X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT,
                );
                param.set_host(&name)?;
            }
        }
        Ok(ssl)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("name", &self.0.1).finish_non_exhaustive()
    }
}

/// The client's end of a session.
#[derive(Debug)]
pub(in crate::client) struct Session {
    stream: SslStream<Pipe>,
    open: bool,
}

impl Session {
    pub(in crate::client) fn new(context: &Context) -> io::Result<Self> {
        let stream = SslStream::new(context.ssl()?, Pipe::default())?;
        Ok(Self { stream, open: false })
    }

    /// Whether messages may be sent.
    pub(in crate::client) fn is_open(&self) -> bool {
        self.open
    }

    /// Goes on with the handshake. To be called from time to time, as it repeats
    /// what was not answered, after a second first (RFC 6347 §4.2.4).
    pub(in crate::client) fn advance(&mut self) -> io::Result<()> {
        if self.open {
            return Ok(());
        }
        match self.stream.connect() {
            Ok(()) => self.open = true,
            Err(error) if is_waiting(&error) => {}
            Err(error) => return Err(self.failure(error)),
        }
        Ok(())
    }

    /// A datagram of the server's, to be read until there is nothing.
    pub(in crate::client) fn put(&mut self, datagram: &[u8]) {
        let pipe = self.stream.get_mut();
        pipe.arrived.clear();
        pipe.arrived.extend_from_slice(datagram);
        pipe.unread = true;
    }

    /// The next message; `into` has room for [`MAX_MESSAGE`]. What is no record
    /// of this session's is passed over (RFC 6347 §4.1.2.7). `None` of a session
    /// that is not open yet.
    pub(in crate::client) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.advance()?;
        if !self.open {
            return Ok(None);
        }
        match self.stream.ssl_read(into) {
            Ok(length) => Ok(Some(length)),
            Err(error) if is_waiting(&error) => Ok(None),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                Err(io::Error::new(ErrorKind::UnexpectedEof, "the server has closed the session"))
            }
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Encrypts a message, which has a record to itself (RFC 7350 §3).
    pub(in crate::client) fn write(&mut self, message: &[u8]) -> io::Result<()> {
        if message.len() > MAX_MESSAGE {
            return Err(io::Error::new(ErrorKind::InvalidInput, "no DTLS record holds so long a message"));
        }
        self.stream.ssl_write(message).map(drop).map_err(io::Error::other)
    }

    /// Says goodbye.
    pub(in crate::client) fn close(&mut self) {
        // One that is not open, or broken, has none to say.
        let _ = self.stream.shutdown();
    }

    /// The datagrams to be sent, in order; [`Session::sent`] forgets them.
    pub(in crate::client) fn leaving(&self) -> impl Iterator<Item = &[u8]> {
        let Pipe { leaving, ends, .. } = self.stream.get_ref();
        ends.iter().scan(0, |start, &end| Some(&leaving[std::mem::replace(start, end)..end]))
    }

    pub(in crate::client) fn sent(&mut self) {
        let pipe = self.stream.get_mut();
        pipe.leaving.clear();
        pipe.ends.clear();
    }

    fn failure(&self, error: Error) -> io::Error {
        match self.stream.ssl().verify_result() {
            X509VerifyResult::OK => io::Error::other(error),
            reason => io::Error::new(ErrorKind::InvalidData, Distrusted(reason.error_string().to_owned())),
        }
    }
}

fn is_waiting(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

/// What OpenSSL reads from and writes to in place of a socket.
#[derive(Debug, Default)]
struct Pipe {
    /// A datagram, when there is one to be read.
    arrived: Vec<u8>,
    unread: bool,
    /// Datagrams, one behind the other, and where each ends.
    leaving: Vec<u8>,
    ends: Vec<usize>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.unread) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = self.arrived.len().min(into.len());
        into[..length].copy_from_slice(&self.arrived[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.leaving.extend_from_slice(datagram);
        self.ends.push(self.leaving.len());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
