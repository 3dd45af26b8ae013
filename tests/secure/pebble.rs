//! A certificate authority that speaks ACME: Let's Encrypt's own test server,
//! with a DNS in which every name is this one address.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig, RootCertStore};

use crate::support::authority::{Tls, text};
use crate::support::command::{bound_command, find};
use crate::support::{Authority, Config, own_address, skip};

/// A directory, an order with all its steps, and a wait between two attempts.
pub(crate) const AN_ORDER: Duration = Duration::from_secs(60);

/// Where it looks for `http-01` and `tls-alpn-01`.
pub(crate) const HTTP_PORT: u16 = 5002;
pub(crate) const TLS_PORT: u16 = 5001;
const ACME_PORT: u16 = 14000;
const MANAGEMENT_PORT: u16 = 15000;
const DNS_PORT: u16 = 8053;

/// An address with a certificate authority, or with room for one.
pub(crate) struct Site {
    pub(crate) address: Ipv4Addr,
    /// It certifies the ACME server itself.
    pub(crate) authority: Authority,
    processes: Vec<Child>,
}

impl Site {
    /// `None`, and said so, where there is no pebble.
    pub(crate) fn new() -> Option<Self> {
        if find("pebble").is_none() {
            skip("pebble", "not installed (Debian: apt-get install pebble)");
            return None;
        }
        Some(Self { address: own_address(), authority: Authority::new(), processes: Vec::new() })
    }

    /// Starts the ACME server.
    pub(crate) fn open(&mut self) {
        let ip = self.address;
        let (certificate, key) = self.authority.issue("acme", &[&ip.to_string()]);
        let settings = serde_json::json!({"pebble": {
            "listenAddress": format!("{ip}:{ACME_PORT}"),
            "managementListenAddress": format!("{ip}:{MANAGEMENT_PORT}"),
            "certificate": text(&certificate),
            "privateKey": text(&key),
            "httpPort": HTTP_PORT,
            "tlsPort": TLS_PORT,
        }});
        let file = self.authority.file("pebble.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        let dns = format!("{ip}:{DNS_PORT}");
        let log = std::fs::File::create(self.authority.file("pebble.log")).unwrap();
        let names = bound_command("pebble-challtestsrv")
            .args(["-dns01", &dns, "-defaultIPv4", &ip.to_string(), "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", &format!("{ip}:8055")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = bound_command("pebble")
            .args(["-dnsserver", &dns, "-config", text(&file)])
            // It would wait some seconds before it looks.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.extend([names, server]);
        for (what, port) in [("names are known", DNS_PORT), ("the ACME server answers", ACME_PORT)] {
            wait(what, || TcpStream::connect((ip, port)).is_ok());
        }
    }

    /// floe obtains certificates here, by this challenge.
    pub(crate) fn configure(&self, config: &mut Config, challenge: &str, names: &[&str]) {
        config
            .set("listen.tls", vec![self.tls().to_string()])
            .set("acme.names", names.to_vec())
            .set("acme.directory", format!("https://{}:{ACME_PORT}/dir", self.address))
            .set("acme.root-certificates", text(&self.authority.ca()))
            .set("acme.agree-to-terms", true)
            .set("acme.challenge", challenge)
            .set("acme.http-listen", vec![format!("{}:{HTTP_PORT}", self.address)]);
    }

    /// Where floe does TLS.
    pub(crate) fn tls(&self) -> SocketAddr {
        (self.address, TLS_PORT).into()
    }

    /// The body of a page of the ACME server.
    pub(crate) fn page(&self, port: u16, path: &str) -> String {
        let socket = TcpStream::connect((self.address, port)).unwrap();
        let host = self.address.to_string();
        let mut stream =
            self.authority.handshake(socket, &host, self.authority.client(ALL_VERSIONS)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn directory(&self) -> serde_json::Value {
        serde_json::from_str(&self.page(ACME_PORT, "/dir")).unwrap()
    }

    /// A session with floe that shows a certificate of this authority for `host`.
    pub(crate) fn connect(&self, host: &str) -> std::io::Result<Tls> {
        let root = self.page(MANAGEMENT_PORT, "/roots/0");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.authority.handshake(TcpStream::connect(self.tls())?, host, config)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.authority.file("pebble.log")).unwrap_or_default();
            eprintln!("--- the ACME server's log ---\n{log}------");
        }
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Asks again and again until it holds, for as long as an order may take.
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < AN_ORDER, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
