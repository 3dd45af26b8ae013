//! TURN server URLs (RFC 7065): `turn:HOST[:PORT][?transport=udp|tcp]`.

use std::fmt;
use std::str::FromStr;

use crate::client::transport::Transport;

/// The port of `turn:` when the URL names none (RFC 7065 §3.1).
const DEFAULT_PORT: u16 = 3478;

/// Where a TURN server is, as a user writes it; not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// A name, an IPv4 literal, or an IPv6 literal without its brackets.
    pub host: String,
    /// UDP or TCP port.
    pub port: u16,
    /// What `?transport=` says; `None` when it is absent, which means UDP.
    pub transport: Option<Transport>,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "turn:[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "turn:{}:{}", self.host, self.port)?;
        }
        self.transport.map_or(Ok(()), |transport| write!(f, "?transport={transport}"))
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// # Errors
    /// A sentence that says what to write instead.
    fn from_str(url: &str) -> Result<Self, String> {
        const FORM: &str = "write turn:HOST:PORT or turn:HOST:PORT?transport=tcp";
        let rest = match url.split_once(':') {
            Some(("turn", rest)) => rest,
            Some(("turns", _)) => {
                return Err(format!("turns: (TLS, DTLS) is not supported by this command; {FORM}"));
            }
            Some(("stun" | "stuns", _)) => return Err(format!("a STUN URL has no relay; {FORM}")),
            _ => return Err(format!("not a TURN URL; {FORM}")),
        };
        if rest.starts_with("//") {
            return Err(format!("a TURN URL has no //; {FORM}"));
        }
        let (authority, query) = rest.split_once('?').map_or((rest, None), |(a, q)| (a, Some(q)));
        let transport = match query {
            None => None,
            Some(query) => {
                let value = query
                    .strip_prefix("transport=")
                    .ok_or_else(|| format!("?{query} is not understood; {FORM}"))?;
                Some(value.parse()?)
            }
        };
        let (host, port) = split_port(authority).ok_or_else(|| FORM.to_owned())?;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(format!("the host is missing or malformed; {FORM}"));
        }
        Ok(Self { host: host.to_owned(), port, transport })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]` and `[V6]:PORT`.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if after.is_empty() { DEFAULT_PORT } else { port_number(after.strip_prefix(':')?)? };
        return Some((host, port));
    }
    match authority.split_once(':') {
        None => Some((authority, DEFAULT_PORT)),
        Some((host, port)) => Some((host, port_number(port)?)),
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_both_address_families() {
        let url: ServerUrl = "turn:turn.example.org".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.transport), ("turn.example.org", 3478, None));
        let url: ServerUrl = "turn:127.0.0.1:5000?transport=tcp".parse().unwrap();
        assert_eq!((url.port, url.transport), (5000, Some(Transport::Tcp)));
        let url: ServerUrl = "turn:[::1]:5000".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 5000));
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["turn:a:1", "turn:[::1]:3478?transport=udp", "turn:10.0.0.1:3478?transport=tcp"] {
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
            "turns:a:1",
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
