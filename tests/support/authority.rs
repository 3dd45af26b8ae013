//! Certificates, and clients that believe who issued them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

use super::command::find;
use super::server::new_directory;
use super::{Client, Config, PATIENCE, skip};

/// The name that certificates are for where a test does not care.
pub const HOST: &str = "turn.tests.example";

/// A certificate authority with a directory for what it issues.
pub struct Authority {
    directory: PathBuf,
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A TLS session over TCP, as rustls has it.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    pub fn new() -> Self {
        Self::named("tests")
    }

    /// One that goes by this name.
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not what it issues is called: that would be its own issuer.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = new_directory();
        std::fs::write(directory.join("ca.pem"), certificate.pem()).expect("written");
        std::fs::write(directory.join("ca.key"), key.serialize_pem()).expect("written");
        Self { directory, certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, a file.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Issues a certificate for these names: NAME.pem and NAME.key, each whole
    /// or not there.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
        // rcgen's own: for all time.
        self.issue_with(name, hosts, |_| {})
    }

    /// The same, good for these days from today.
    pub fn issue_for(&self, name: &str, hosts: &[&str], days: Range<i64>) -> (PathBuf, PathBuf) {
        let today = SystemTime::now();
        let day = |day: i64| {
            let days = Duration::from_secs(day.unsigned_abs() * 86_400);
            (if day < 0 { today - days } else { today + days }).into()
        };
        self.issue_with(name, hosts, |params| {
            (params.not_before, params.not_after) = (day(days.start), day(days.end));
            params.use_authority_key_identifier_extension = true;
        })
    }

    fn issue_with(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        for (kind, text) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
            let new = self.file("new");
            std::fs::write(&new, text).expect("written");
            std::fs::rename(new, self.file(&format!("{name}.{kind}"))).expect("renamed");
        }
        (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")))
    }

    /// In place of the certificate of [`secure`](Self::secure) comes one whose key is
    /// RSA, by `openssl`. False, and said, where there is none.
    pub fn issue_rsa(&self) -> bool {
        if find("openssl").is_none() {
            skip("openssl", "not installed: nothing else here makes RSA keys");
            return false;
        }
        let (certificate, key) = (self.file("server.pem"), self.file("server.key"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=turn"])
            .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-CA", text(&self.ca()), "-CAkey", text(&self.file("ca.key"))])
            .args(["-keyout", text(&key), "-out", text(&certificate)])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        true
    }

    /// A server of this configuration listens for TLS on free ports, with a
    /// certificate for [`HOST`] and 127.0.0.1 in `server.pem` and `server.key`.
    pub fn secure(&self, config: &mut Config) {
        let (certificate, key) = self.issue("server", &[HOST, "127.0.0.1", "::1"]);
        config
            .set("listen.tls", vec!["127.0.0.1:0", "[::1]:0"])
            .set("tls.certificate", text(&certificate))
            .set("tls.private-key", text(&key));
    }

    /// The same with the authority's own certificate, which is for no server.
    pub fn secure_as_itself(&self, config: &mut Config) {
        config
            .set("listen.tls", vec!["127.0.0.1:0"])
            .set("tls.certificate", text(&self.ca()))
            .set("tls.private-key", text(&self.file("ca.key")));
    }

    /// What a client that believes this authority alone begins with.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("an authority");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// What a server begins with that shows a certificate for these names.
    pub fn server(&self, name: &str, hosts: &[&str]) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name, hosts);
        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("its key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Arc::new(config.expect("a pair"))
    }

    /// A handshake over TCP, with the errors of either.
    pub fn handshake(&self, socket: TcpStream, host: &str, config: ClientConfig) -> io::Result<Tls> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// A session with the server, which proves to be [`HOST`].
    pub fn connect(&self, server: SocketAddr) -> Tls {
        let socket = TcpStream::connect(server).expect("connected");
        self.handshake(socket, HOST, self.client(ALL_VERSIONS)).expect("a handshake")
    }

    /// A STUN client over TLS.
    pub fn over_tls(&self, server: SocketAddr) -> Client {
        client(self.connect(server))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A STUN client over this session.
pub fn client(stream: Tls) -> Client {
    let socket = stream.sock.try_clone().expect("a second handle");
    Client::over_stream(stream, socket)
}

/// What the server has shown.
pub fn shown(stream: &Tls) -> CertificateDer<'static> {
    stream.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
