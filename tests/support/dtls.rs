//! DTLS as a client: OpenSSL's over a UDP socket, which blocks for a moment at
//! most, so that what was lost is sent again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;

use super::authority::HOST;
use super::ports::fresh_socket;
use super::{Authority, Client, PATIENCE};

/// How long a read waits before it looks whether something has to be repeated.
const MOMENT: Duration = Duration::from_millis(50);

/// A session.
pub type Session = SslStream<Datagrams>;

/// A connected UDP socket, each read and write of which is a datagram.
#[derive(Debug)]
pub struct Datagrams(pub UdpSocket);

impl Read for Datagrams {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.recv(into) {
            // What nobody listens for is lost, as by a net that says nothing.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Err(ErrorKind::WouldBlock.into()),
            result => result,
        }
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.send(datagram)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket on loopback that speaks to this server alone.
pub fn socket(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "127.0.0.1" } else { "::1" };
    let socket = fresh_socket(any.parse().expect("an address"));
    socket.connect(server).expect("connected");
    socket
}

/// Goes on until it ends, or fails, or the patience of a test is over.
pub fn until_done<T>(
    mut step: impl FnMut() -> Result<T, openssl::ssl::Error>,
) -> Result<T, openssl::ssl::Error> {
    let start = Instant::now();
    loop {
        match step() {
            Err(error) if error.code() == ErrorCode::WANT_READ && start.elapsed() < PATIENCE => {}
            result => return result,
        }
    }
}

impl Authority {
    /// A handshake over this socket with a server that proves to be [`HOST`];
    /// `change` may change what is offered.
    pub fn dtls_handshake(
        &self,
        socket: UdpSocket,
        change: impl FnOnce(&mut SslContextBuilder, &mut Option<&str>),
    ) -> Result<Session, openssl::ssl::Error> {
        let mut context = SslContext::builder(SslMethod::dtls_client()).expect("a context");
        let ca = std::fs::read(self.ca()).expect("an authority");
        context.cert_store_mut().add_cert(X509::from_pem(&ca).expect("a certificate")).expect("added");
        context.set_verify(SslVerifyMode::PEER);
        context.set_options(SslOptions::NO_QUERY_MTU);
        context.set_min_proto_version(Some(SslVersion::DTLS1_2)).expect("1.2");
        let mut host = Some(HOST);
        change(&mut context, &mut host);
        let mut ssl = Ssl::new(&context.build()).expect("a session");
        if let Some(host) = host {
            ssl.set_hostname(host).expect("a name");
            ssl.param_mut().set_host(host).expect("a name");
        }
        ssl.set_mtu(1232).expect("a size");
        socket.set_read_timeout(Some(MOMENT)).expect("a timeout");
        let mut stream = SslStream::new(ssl, Datagrams(socket)).expect("a stream");
        until_done(|| stream.connect())?;
        Ok(stream)
    }

    /// A session with the server.
    pub fn dtls(&self, server: SocketAddr) -> Session {
        self.dtls_handshake(socket(server), |_, _| {}).expect("a handshake")
    }

    /// A STUN client over DTLS.
    pub fn over_dtls(&self, server: SocketAddr) -> Client {
        Client::over_dtls(self.dtls(server))
    }
}
