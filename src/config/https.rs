//! `[https]`: its keys, and what can be wrong with them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::DnsName;

use super::acme::Challenge;
use super::check::Check;
use super::listen::clashes;

/// `[https]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Https {
    /// Where TURN over TLS, the admin room and web servers are; empty: off.
    pub listen: Vec<SocketAddr>,
    /// The admin room is served here.
    pub admin: bool,
    /// Web servers that some names are passed on to.
    pub web_servers: Vec<WebServer>,
}

impl Default for Https {
    fn default() -> Self {
        Self { listen: Vec::new(), admin: true, web_servers: Vec::new() }
    }
}

/// One of `https.web-servers`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebServer {
    /// Host names; `*.` at the front is any one label.
    pub names: Vec<String>,
    /// `HOST:PORT`.
    pub to: String,
    /// Whether it is told whose a connection is.
    #[serde(default)]
    pub proxy_protocol: bool,
}

const LISTEN: &str = "https.listen";
const SERVERS: &str = "https.web-servers";

impl Check<'_> {
    pub(super) fn https(&mut self) {
        let https = &self.config.https;
        let listen = &self.config.listen;
        for (index, address) in https.listen.iter().enumerate() {
            let others = listen.tcp.iter().chain(&listen.tls).chain(https.listen.iter().take(index));
            if let Some(other) = { others }.find(|other| clashes(*address, **other)) {
                let text =
                    format!("{address} is taken by {other}, which is listed elsewhere; give another port");
                self.entry_error(LISTEN, index, text);
            }
            self.local_address(LISTEN, index, address.ip());
        }
        if !https.listen.is_empty() && https.admin && self.config.admin.listen.is_none() {
            self.error(
                "https.admin",
                "shows the admin server, which admin.listen turns off; set one of them otherwise",
            );
        }
        self.web_servers();
    }

    fn web_servers(&mut self) {
        let servers = &self.config.https.web_servers;
        let mut known: Vec<String> = Vec::new();
        for (index, WebServer { names, to, .. }) in servers.iter().enumerate() {
            if names.is_empty() {
                self.entry_error(SERVERS, index, format!("{to} has no names; nobody could ask for it"));
            }
            for name in names {
                let host = name.strip_prefix("*.").unwrap_or(name);
                if DnsName::try_from(host).is_err() {
                    let text = format!("{name:?} is no host name; write one, as \"www.example.org\"");
                    self.entry_error(SERVERS, index, text);
                }
                if known.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    self.entry_error(SERVERS, index, format!("{name} is listed twice; remove one"));
                }
                known.push(name.clone());
            }
            let is_address = to.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
            });
            if !is_address {
                let text = format!("{to:?} is no address; write HOST:PORT, as \"127.0.0.1:8443\"");
                self.entry_error(SERVERS, index, text);
            }
        }
        let acme = &self.config.acme;
        let is_asked = acme.challenge == Challenge::TlsAlpn01 && !self.config.https.listen.is_empty();
        for (index, name) in acme.names.iter().enumerate().filter(|_| is_asked) {
            if known.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                let text = format!(
                    "{name} is one of {SERVERS}, which gets all connections for it, those of certificate \
                     authorities too; remove one"
                );
                self.entry_error("acme.names", index, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::problems;

    const CERTIFICATE: &str = "[tls]\ncertificate = \"a.pem\"\nprivate-key = \"a.key\"\n";

    fn with(keys: &str) -> String {
        problems(&format!("{CERTIFICATE}[https]\nlisten = [\"0.0.0.0:443\"]\n{keys}"))
    }

    #[test]
    fn a_port_alone_is_enough_and_so_is_one_with_web_servers() {
        assert_eq!(with(""), "");
        let servers = "web-servers = [{ names = [\"www.example.org\", \"*.example.net\"], to = \"web:8443\" }, \
                       { names = [\"b.example.org\"], to = \"[::1]:8443\", proxy-protocol = true }]";
        assert_eq!(with(servers), "");
    }

    #[test]
    fn a_mistake_is_named() {
        for (keys, told) in [
            ("admin = false\n[admin]\nlisten = \"0.0.0.0:443\"", "is taken by 0.0.0.0:443 of https.listen"),
            ("[admin]\nlisten = \"\"", "https.admin: shows the admin server, which admin.listen turns off"),
            ("[listen]\ntls = [\"0.0.0.0:443\"]", "0.0.0.0:443 is taken by 0.0.0.0:443"),
            ("[listen]\ntcp = [\"127.0.0.1:443\"]", "is taken by 127.0.0.1:443"),
            ("web-servers = [{ names = [], to = \"a:1\" }]", "a:1 has no names"),
            ("web-servers = [{ names = [\"a b\"], to = \"a:1\" }]", "\"a b\" is no host name"),
            ("web-servers = [{ names = [\"a.b\"], to = \"a\" }]", "\"a\" is no address"),
            ("web-servers = [{ names = [\"a.b\"], to = \"a:0\" }]", "\"a:0\" is no address"),
            ("web-servers = [{ names = [\"a.b\", \"A.b\"], to = \"a:1\" }]", "A.b is listed twice"),
            ("web-servers = [{ names = [\"a.b\"], to = \"a:1\", port = 2 }]", "unknown field port"),
            (
                "web-servers = [{ names = [\"a.b\"], to = \"a:1\" }]\n\
                 [acme]\nnames = [\"a.b\"]\nagree-to-terms = true",
                "acme.names: a.b is one of https.web-servers",
            ),
        ] {
            let problems = with(keys);
            assert!(problems.contains(told), "{told}: {problems}");
        }
        let bare = problems("[https]\nlisten = [\"0.0.0.0:443\"]");
        assert!(bare.contains("https.listen: needs a certificate"), "{bare}");
        let off = problems("[https]\nweb-servers = [{ names = [\"a.b\"], to = \"a:1\" }]");
        assert!(off.contains("https.web-servers: is of no use"), "{off}");
    }
}
