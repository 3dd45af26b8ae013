//! The protocol itself, as OpenSSL does it, behind what the rest of this room
//! needs: a context for each certificate, a handshake that takes datagrams in
//! and gives datagrams out, and the session that comes of it. Nothing here has a
//! socket, and nothing waits.

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    AlpnError, ErrorCode, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslStream,
    SslVersion, select_next_proto,
};
use openssl::x509::X509;

use super::hello::ClientHello;
use super::pipe::{Flight, Opened, Pipe, Progress};

/// RFC 7443 §3, as TLS has it: a client that offers others alone is refused, one
/// that offers none is served.
const ALPN: &[u8] = b"\x09stun.turn\x12stun.nat-discovery";

/// Forward secrecy and AEAD alone (RFC 8489 §6.2.3, RFC 9325 §4.2).
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20";

/// Largest datagram of a handshake: what passes every path of IPv6.
const MTU: u32 = 1232;

/// Largest plaintext of a record (RFC 6347 §4.1): a message has one to itself
/// (RFC 7350 §3).
pub(super) const RECORD: usize = 16 * 1024;

/// What handshakes are done with that show one certificate.
#[derive(Clone)]
pub(in crate::net) struct Context(SslContext);

impl Context {
    /// From DER: the certificates, the server's own first, and its private key.
    pub(in crate::net) fn new<'a>(
        chain: impl IntoIterator<Item = &'a [u8]>,
        private_key: &[u8],
    ) -> Result<Self, String> {
        Self::build(chain, private_key).map_err(|error| error.to_string())
    }

    fn build<'a>(chain: impl IntoIterator<Item = &'a [u8]>, private_key: &[u8]) -> Result<Self, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::dtls_server())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_cipher_list(CIPHERS)?;
        context.set_options(
            SslOptions::COOKIE_EXCHANGE
                | SslOptions::NO_QUERY_MTU
                | SslOptions::NO_RENEGOTIATION
                | SslOptions::NO_TICKET
                | SslOptions::NO_COMPRESSION
                | SslOptions::CIPHER_SERVER_PREFERENCE,
        );
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_mode(SslMode::RELEASE_BUFFERS);
        // Only a hello whose cookie was found good comes here; see `begin`.
        context.set_cookie_generate_cb(|_, cookie| {
            cookie[0] = 0;
            Ok(1)
        });
        context.set_cookie_verify_cb(|_, _| true);
        context.set_alpn_select_callback(|_, offered| {
            select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        let mut chain = chain.into_iter().map(X509::from_der);
        if let Some(own) = chain.next() {
            context.set_certificate(&*own?)?;
        }
        for certificate in chain {
            context.add_extra_chain_cert(certificate?)?;
        }
        context.set_private_key(&*PKey::private_key_from_der(private_key)?)?;
        context.check_private_key()?;
        Ok(Self(context.build()))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// A handshake whose client has proven by a cookie where it is.
#[derive(Debug)]
pub(super) struct Handshake {
    stream: SslStream<Pipe>,
    /// From OpenSSL's numbers of plaintext records to the client's.
    offset: u64,
}

impl Handshake {
    /// Begins with the hello that has brought the cookie back. To OpenSSL it is
    /// shown as the last of the hellos that it had to be: their HelloVerifyRequests
    /// were sent long ago, without it, and are thrown away.
    pub(super) fn begin(
        context: &Context,
        hello: &ClientHello<'_>,
        datagram: &[u8],
    ) -> Result<Self, ErrorStack> {
        let mut ssl = Ssl::new(&context.0)?;
        ssl.set_mtu(MTU)?;
        // RFC 6347 §4.2.1: the first ServerHello is numbered as the hello is.
        let offset = hello.sequence().wrapping_sub(hello.message_sequence.into());
        let mut this = Self { stream: SslStream::new(ssl, Pipe::default())?, offset };
        for before in 0..hello.message_sequence {
            this.receive(&hello.without_cookie(before));
            this.advance();
        }
        this.stream.get_mut().leaving.clear();
        this.receive(datagram);
        Ok(this)
    }

    pub(super) fn receive(&mut self, datagram: &[u8]) {
        self.stream.get_mut().put(datagram);
    }

    /// Goes on with what was received, and repeats what was not answered in time
    /// (RFC 6347 §4.2.4).
    pub(super) fn advance(&mut self) -> Progress {
        match self.stream.accept() {
            Ok(()) => Progress::Done,
            Err(error) => match error.code() {
                ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => Progress::Waiting,
                _ => Progress::Failed(error.to_string()),
            },
        }
    }

    /// What is to be sent.
    pub(super) fn take_flight(&mut self) -> Flight {
        let mut flight = std::mem::take(&mut self.stream.get_mut().leaving);
        flight.renumber(0, self.offset);
        flight
    }

    /// What comes of a handshake that is done.
    pub(super) fn into_session(mut self) -> Session {
        *self.stream.get_mut() = Pipe::default();
        Session { stream: self.stream, offset: self.offset }
    }
}

/// A client's session. It lends its shard's [`Pipe`] for each call: it has no
/// buffer of its own.
#[derive(Debug)]
pub(in crate::net) struct Session {
    stream: SslStream<Pipe>,
    offset: u64,
}

impl Session {
    /// The next message of the datagram in the pipe. Records that can't be decrypted, are no
    /// one's turn or came before are passed over (RFC 6347 §4.1.2). What is to be
    /// answered is in the pipe afterwards.
    pub(super) fn read(&mut self, pipe: &mut Pipe, into: &mut [u8]) -> Opened {
        let before = pipe.leaving.len();
        std::mem::swap(self.stream.get_mut(), pipe);
        let read = self.stream.ssl_read(into);
        std::mem::swap(self.stream.get_mut(), pipe);
        pipe.leaving.renumber(before, self.offset);
        match read {
            Ok(count) => Opened::Message(count),
            Err(error) => match error.code() {
                ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => Opened::Nothing,
                _ => Opened::End,
            },
        }
    }

    /// Encrypts a message into the pipe; false when it has no room in a record.
    pub(super) fn seal(&mut self, pipe: &mut Pipe, message: &[u8]) -> bool {
        if message.is_empty() || message.len() > RECORD {
            return false;
        }
        std::mem::swap(self.stream.get_mut(), pipe);
        let written = self.stream.ssl_write(message);
        std::mem::swap(self.stream.get_mut(), pipe);
        written.is_ok()
    }

    /// Says goodbye, into the pipe.
    pub(super) fn close(&mut self, pipe: &mut Pipe) {
        std::mem::swap(self.stream.get_mut(), pipe);
        // One that is broken has no more to say.
        let _ = self.stream.shutdown();
        std::mem::swap(self.stream.get_mut(), pipe);
    }
}
