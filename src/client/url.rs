//! TURN server URLs (RFC 7065): `turn:HOST[:PORT][?transport=udp|tcp]` and
//! `turns:HOST[:PORT][?transport=tcp|udp]`.

use std::fmt;
use std::str::FromStr;

use crate::client::transport::Transport;

/// The port of `turn:` when the URL names none (RFC 7065 §3.1).
const DEFAULT_PORT: u16 = 3478;

/// That of `turns:`.
const DEFAULT_TLS_PORT: u16 = 5349;

/// Where a TURN server is, as a user writes it; not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// A name, an IPv4 literal, or an IPv6 literal without its brackets.
    pub host: String,
    /// UDP or TCP port.
    pub port: u16,
    /// For `turns:` [`Transport::Tls`], or [`Transport::Dtls`] over UDP (RFC 7350
    /// §4.6), else what `?transport=` says; `None` when it is absent, which means UDP.
    pub transport: Option<Transport>,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, query) = match self.transport {
            None => ("turn", ""),
            Some(Transport::Udp) => ("turn", "?transport=udp"),
            Some(Transport::Tcp) => ("turn", "?transport=tcp"),
            Some(Transport::Tls) => ("turns", "?transport=tcp"),
            Some(Transport::Dtls) => ("turns", "?transport=udp"),
        };
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => write!(f, "{scheme}:[{host}]:{port}{query}"),
            false => write!(f, "{scheme}:{host}:{port}{query}"),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// # Errors
    /// A sentence that says what to write instead.
    fn from_str(url: &str) -> Result<Self, String> {
        const FORM: &str =
            "write turn:HOST:PORT or turns:HOST:PORT, and ?transport=tcp or ?transport=udp behind it";
        let (secure, rest) = match url.split_once(':') {
            Some(("turn", rest)) => (false, rest),
            Some(("turns", rest)) => (true, rest),
            Some(("stun" | "stuns", _)) => return Err(format!("a STUN URL has no relay; {FORM}")),
            _ => return Err(format!("not a TURN URL; {FORM}")),
        };
        if rest.starts_with("//") {
            return Err(format!("a TURN URL has no //; {FORM}"));
        }
        let (authority, query) = rest.split_once('?').map_or((rest, None), |(a, q)| (a, Some(q)));
        let transport = match (secure, query) {
            (false, None) => None,
            (false, Some("transport=udp")) => Some(Transport::Udp),
            (false, Some("transport=tcp")) => Some(Transport::Tcp),
            (true, None | Some("transport=tcp")) => Some(Transport::Tls),
            (true, Some("transport=udp")) => Some(Transport::Dtls),
            (_, Some(query)) => return Err(format!("?{query} is not understood; {FORM}")),
        };
        let default_port = if secure { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let (host, port) = split_port(authority).ok_or_else(|| FORM.to_owned())?;
        let port = port.unwrap_or(default_port);
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(format!("the host is missing or malformed; {FORM}"));
        }
        Ok(Self { host: host.to_owned(), port, transport })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]` and `[V6]:PORT`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if after.is_empty() { None } else { Some(port_number(after.strip_prefix(':')?)?) };
        return Some((host, port));
    }
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((host, port)) => Some((host, Some(port_number(port)?))),
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // B-165
    #[test]
    fn reads_names_and_both_address_families() {
        let url: ServerUrl = "turn:turn.example.org".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.transport), ("turn.example.org", 3478, None));
        let url: ServerUrl = "turn:127.0.0.1:5000?transport=tcp".parse().unwrap();
        assert_eq!((url.port, url.transport), (5000, Some(Transport::Tcp)));
        let url: ServerUrl = "turn:[::1]:5000".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 5000));
        let url: ServerUrl = "turns:turn.example.org".parse().unwrap();
        assert_eq!((url.port, url.transport), (5349, Some(Transport::Tls)));
        let url: ServerUrl = "turns:[::1]:443?transport=tcp".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.transport), ("::1", 443, Some(Transport::Tls)));
        let url: ServerUrl = "turns:turn.example.org?transport=udp".parse().unwrap();
        assert_eq!((url.port, url.transport), (5349, Some(Transport::Dtls)));
    }

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "turn:a:1",
            "turn:[::1]:3478?transport=udp",
            "turn:10.0.0.1:3478?transport=tcp",
            "turns:a:5349?transport=tcp",
            "turns:a:5349?transport=udp",
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_it_cannot_reach() {
        for text in [
            "",
            "turn:",
            "turn://a",
            "stun:a:1",
            "turns:a:1?transport=tls",
            "turns:a:1?transport=dtls",
            "turn:a:0",
            "turn:a:99999",
            "turn:::1:3478",
            "turn:a:1?transport=sctp",
            "turn:a:1?x=y",
            "turn:[::1",
            "turn:[a]:1",
            "http://a",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
