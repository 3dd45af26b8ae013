//! `[listen]` and `[tls]`: their keys, and what can be wrong with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::peers::prefixes;

/// Port of STUN and TURN without TLS (RFC 8656 §3.1).
const TURN_PORT: u16 = 3478;
/// Most shards: the relay pool keeps one's number in a byte.
const MAX_SHARDS: u8 = 254;
/// Bytes: less than the largest datagram does not fit, more than this the
/// kernel's `int` can't hold once it has doubled it.
const SOCKET_BUFFER: std::ops::RangeInclusive<u32> = 65_536..=(1 << 30) - 1;

/// `[listen]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listen {
    /// UDP listeners; port 0 is any free one.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners; port 0 is any free one.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners; an address that `tcp` has too serves both.
    pub tls: Vec<SocketAddr>,
    /// DTLS listeners; an address that `udp` has too serves both.
    pub dtls: Vec<SocketAddr>,
    /// Balancers whose PROXY header is believed, and required, over TCP and TLS.
    #[serde(deserialize_with = "prefixes")]
    pub proxy_protocol_from: Vec<IpNet>,
    /// Threads that serve; 0 is one per usable core. At most 254.
    pub shards: u8,
    /// Bytes asked of the kernel for each socket's send and receive buffer.
    pub socket_buffer: u32,
}

impl Default for Listen {
    fn default() -> Self {
        let everywhere = vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, TURN_PORT)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, TURN_PORT)),
        ];
        Self {
            udp: everywhere.clone(),
            tcp: everywhere,
            tls: Vec::new(),
            dtls: Vec::new(),
            proxy_protocol_from: Vec::new(),
            shards: 0,
            socket_buffer: 4 << 20,
        }
    }
}

/// `[tls]`
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// File of the certificate and its chain, PEM; empty: none.
    pub certificate: PathBuf,
    /// File of its private key, PEM.
    pub private_key: PathBuf,
    /// More of them, for clients that ask for a name in them.
    pub certificates: Vec<CertificatePair>,
}

/// One of `tls.certificates`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatePair {
    /// As [`Tls::certificate`].
    pub certificate: PathBuf,
    /// As [`Tls::private_key`].
    pub private_key: PathBuf,
}

impl Tls {
    /// Every pair, the default one first: that of `certificate`, else the first
    /// of `certificates`.
    pub fn pairs(&self) -> Vec<CertificatePair> {
        let own =
            CertificatePair { certificate: self.certificate.clone(), private_key: self.private_key.clone() };
        let own = Some(own).filter(|own| !own.certificate.as_os_str().is_empty());
        own.into_iter().chain(self.certificates.iter().cloned()).collect()
    }
}

impl Check<'_> {
    pub(super) fn listeners(&mut self) {
        let listen = &self.config.listen;
        let lists = [
            ("listen.udp", &listen.udp),
            ("listen.tcp", &listen.tcp),
            ("listen.tls", &listen.tls),
            ("listen.dtls", &listen.dtls),
        ];
        if lists.iter().all(|(_, addresses)| addresses.is_empty()) && self.config.https.listen.is_empty() {
            self.error(
                "listen.udp",
                "is empty, and so are listen.tcp, listen.tls, listen.dtls and https.listen: \
                 nobody could reach the server",
            );
        }
        if listen.shards > MAX_SHARDS {
            self.error("listen.shards", format!("{} are too many; at most {MAX_SHARDS}", listen.shards));
        }
        for (key, addresses) in lists {
            for (index, address) in addresses.iter().enumerate() {
                if address.port() != 0 && addresses.iter().take(index).any(|other| other == address) {
                    self.entry_error(key, index, format!("{address} is listed twice; remove one"));
                }
                self.local_address(key, index, address.ip());
            }
        }
        let bytes = listen.socket_buffer;
        if !SOCKET_BUFFER.contains(&bytes) {
            let (least, most) = SOCKET_BUFFER.into_inner();
            self.error(
                "listen.socket-buffer",
                format!("{bytes} is out of bounds; write {least} to {most} bytes"),
            );
        }
    }

    pub(super) fn balancers(&mut self) {
        const KEY: &str = "listen.proxy-protocol-from";
        let balancers = &self.config.listen.proxy_protocol_from;
        self.prefixes(KEY, balancers);
        for (index, prefix) in balancers.iter().enumerate().filter(|(_, prefix)| prefix.prefix_len() == 0) {
            let text = format!("{prefix} lets anyone say any address; write those of your balancers");
            self.entry_warning(KEY, index, text);
        }
    }

    pub(super) fn tls(&mut self) {
        let Tls { certificate, private_key, certificates } = &self.config.tls;
        let none = |path: &Path| path.as_os_str().is_empty();
        if none(certificate) != none(private_key) {
            let (key, other) = match none(certificate) {
                true => ("tls.certificate", "tls.private-key"),
                false => ("tls.private-key", "tls.certificate"),
            };
            self.error(key, format!("is missing beside {other}; give the file of each"));
        }
        for (index, pair) in certificates.iter().enumerate() {
            if none(&pair.certificate) || none(&pair.private_key) {
                self.entry_error(
                    "tls.certificates",
                    index,
                    "has an empty path; give the files of certificate and private-key",
                );
            }
            let before = certificates.iter().take(index).map(|other| &other.certificate);
            if !none(&pair.certificate) && before.chain([certificate]).any(|other| *other == pair.certificate)
            {
                let path = pair.certificate.display();
                self.entry_error("tls.certificates", index, format!("{path} is listed twice; remove one"));
            }
        }
        let Listen { tls, dtls, .. } = &self.config.listen;
        let given = !none(certificate) || !certificates.is_empty();
        let obtained = self.config.acme.is_on();
        let https = &self.config.https.listen;
        for (key, list) in [("listen.tls", tls), ("listen.dtls", dtls), ("https.listen", https)] {
            if !list.is_empty() && !given && !obtained && none(private_key) {
                self.error(
                    key,
                    "needs a certificate; set tls.certificate and tls.private-key, or acme.names",
                );
            }
        }
        if !dtls.is_empty() && !cfg!(feature = "dtls") {
            self.error("listen.dtls", "can't be served: this floe was built without DTLS (feature dtls)");
        }
    }

    /// Addresses that no socket of ours can be bound to, on any host.
    pub(super) fn local_address(&mut self, key: &'static str, index: usize, ip: IpAddr) {
        if ip.is_multicast() || ip == IpAddr::from([255; 4]) {
            self.entry_error(key, index, format!("{ip} is no address of a single host"));
        } else if ip.to_canonical() != ip {
            let plain = ip.to_canonical();
            self.entry_error(key, index, format!("{ip} is an IPv4 address in IPv6 form; write {plain}"));
        }
    }
}

/// Two TCP listeners that can't both be had.
pub(super) fn clashes(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |a: IpAddr, b: IpAddr| a == b || (a.is_unspecified() && a.is_ipv4() == b.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}
