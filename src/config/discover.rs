//! One of `relay.discover`: who may know this server's public address.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::check::Check;

/// Port of a STUN server that is named without one (RFC 8489 §8.1).
const STUN_PORT: u16 = 3478;
/// Most of them; each is asked at the start.
const MAX_SOURCES: usize = 8;
const KEY: &str = "relay.discover";

/// Who is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddressSource {
    /// A STUN server elsewhere, from the relay address: what it sees.
    Stun {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// UDP port.
        port: u16,
    },
    /// The metadata service of this cloud.
    Cloud(Cloud),
    /// A variable of the environment, which holds the address: Kubernetes'
    /// downward API sets it.
    Environment(String),
    /// A file that holds the address: a volume of the downward API.
    File(PathBuf),
}

/// A cloud whose metadata service tells an instance's public address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cloud {
    /// Amazon EC2, by IMDSv2.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// DigitalOcean.
    DigitalOcean,
    /// Google Compute Engine.
    Gcp,
    /// Hetzner Cloud.
    Hetzner,
    /// OpenStack, and others that have EC2's paths without its tokens.
    OpenStack,
}

impl Cloud {
    const ALL: [(&'static str, Self); 6] = [
        ("aws", Self::Aws),
        ("azure", Self::Azure),
        ("digitalocean", Self::DigitalOcean),
        ("gcp", Self::Gcp),
        ("hetzner", Self::Hetzner),
        ("openstack", Self::OpenStack),
    ];
}

impl fmt::Display for AddressSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stun { host, port } if host.contains(':') => write!(f, "stun:[{host}]:{port}"),
            Self::Stun { host, port } => write!(f, "stun:{host}:{port}"),
            Self::Cloud(cloud) => {
                let name = Cloud::ALL.iter().find(|(_, one)| one == cloud).map_or("", |(name, _)| name);
                f.write_str(name)
            }
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for AddressSource {
    type Err = String;

    /// # Errors
    /// What to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, cloud)) = Cloud::ALL.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Cloud(*cloud));
        }
        match text.split_once(':') {
            Some(("stun", server)) => {
                stun(server).ok_or_else(|| format!("{text:?} is no STUN server; write \"stun:HOST:PORT\""))
            }
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(format!(
                "{text:?} is not known; write \"stun:HOST:PORT\", \"aws\", \"azure\", \"digitalocean\", \"gcp\", \
                 \"hetzner\", \"openstack\", \"env:NAME\" or \"file:PATH\""
            )),
        }
    }
}

/// `HOST`, `HOST:PORT`, `[V6]` and `[V6]:PORT`.
fn stun(server: &str) -> Option<AddressSource> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(STUN_PORT), |port| port.parse().ok().filter(|port| *port != 0))?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', ' ', '?']);
    is_host.then(|| AddressSource::Stun { host: host.to_owned(), port })
}

impl Serialize for AddressSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Check<'_> {
    pub(super) fn discover(&mut self) {
        let relay = &self.config.relay;
        if relay.discover.is_empty() {
            return;
        }
        if relay.discover.len() > MAX_SOURCES {
            self.error(KEY, format!("has {} entries; at most {MAX_SOURCES}", relay.discover.len()));
        }
        self.once(KEY, &relay.discover);
        if !relay.external_addresses.is_empty() {
            self.error(KEY, "relay.external-addresses says already what it would find out; give one of both");
        }
        let many = [true, false]
            .into_iter()
            .any(|v4| relay.addresses.iter().filter(|address| address.is_ipv4() == v4).count() > 1);
        let tells_one = |source: &&AddressSource| !matches!(source, AddressSource::Stun { .. });
        if let Some(source) = relay.discover.iter().find(tells_one).filter(|_| many) {
            let text = format!(
                "{source} tells one address, and relay.addresses has several of a family; \
                 write relay.external-addresses, or \"stun:HOST:PORT\" alone"
            );
            self.error(KEY, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_as_they_are_read() {
        for text in [
            "stun:stun.example.org:3478",
            "stun:[2001:db8::1]:3479",
            "stun:192.0.2.1:5000",
            "aws",
            "azure",
            "digitalocean",
            "gcp",
            "hetzner",
            "openstack",
            "env:HOST_IP",
            "file:/etc/podinfo/ip",
        ] {
            assert_eq!(text.parse::<AddressSource>().unwrap().to_string(), text);
        }
        let short: AddressSource = "stun:stun.example.org".parse().unwrap();
        assert_eq!(short.to_string(), "stun:stun.example.org:3478");
    }

    #[test]
    fn what_is_no_source_is_told_with_those_that_are() {
        for text in [
            "",
            "stun:",
            "stun:a:0",
            "stun:a:b",
            "stun:[::1",
            "stun:http://a",
            "env:",
            "file:",
            "alibaba",
            "AWS",
        ] {
            let error = text.parse::<AddressSource>().unwrap_err();
            assert!(error.contains("stun:HOST:PORT"), "{text}: {error}");
        }
    }
}
