//! The URLs by which clients reach a server (RFC 7064, RFC 7065), out of its
//! listeners and the addresses it relays from.

use std::net::{IpAddr, SocketAddr};

use crate::relay::Transport;

/// `stun:`, `turn:` and `turns:` URLs, each once: STUN first, then TURN over
/// UDP, TCP, TLS and DTLS. A listener on every address is named by the
/// advertised address of each relay of its family, one on an address behind NAT
/// by the external one.
///
/// `listeners` are those that are open, with their real ports; `relays` are
/// `(local, advertised)` pairs; `name` is that in the certificate, without which
/// clients would not believe it.
pub fn urls(
    listeners: &[(Transport, SocketAddr)],
    relays: &[(IpAddr, IpAddr)],
    name: Option<&str>,
) -> Vec<String> {
    let mut stun = Vec::new();
    let mut udp = Vec::new();
    let mut tcp = Vec::new();
    let mut tls = Vec::new();
    let mut dtls = Vec::new();
    let named = |host: SocketAddr| match name {
        Some(name) => format!("{name}:{}", host.port()),
        None => host.to_string(),
    };
    for &(transport, address) in listeners {
        for host in hosts(address.ip(), relays) {
            let host = SocketAddr::new(host, address.port());
            match transport {
                Transport::Udp => {
                    push_once(&mut stun, format!("stun:{host}"));
                    push_once(&mut udp, format!("turn:{host}?transport=udp"));
                }
                Transport::Tcp => push_once(&mut tcp, format!("turn:{host}?transport=tcp")),
                Transport::Tls => push_once(&mut tls, format!("turns:{}?transport=tcp", named(host))),
                Transport::Dtls => push_once(&mut dtls, format!("turns:{}?transport=udp", named(host))),
            }
        }
    }
    stun.append(&mut udp);
    stun.append(&mut tcp);
    stun.append(&mut tls);
    stun.append(&mut dtls);
    stun
}

fn hosts(listener: IpAddr, relays: &[(IpAddr, IpAddr)]) -> Vec<IpAddr> {
    let of_family = |ip: &IpAddr| ip.is_ipv4() == listener.is_ipv4();
    if listener.is_unspecified() {
        return relays.iter().map(|(_, advertised)| *advertised).filter(of_family).collect();
    }
    let external = relays.iter().find(|(local, _)| *local == listener).map(|(_, advertised)| *advertised);
    vec![external.unwrap_or(listener)]
}

fn push_once(list: &mut Vec<String>, url: String) {
    if !list.contains(&url) {
        list.push(url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listener_on_every_address_is_named_by_the_advertised_ones() {
        let listeners = [
            (Transport::Tcp, socket("0.0.0.0:3478")),
            (Transport::Udp, socket("0.0.0.0:3478")),
            (Transport::Udp, socket("[::]:3478")),
        ];
        let relays = [(ip("10.0.0.5"), ip("203.0.113.7")), (ip("2001:db8::5"), ip("2001:db8::5"))];
        assert_eq!(
            urls(&listeners, &relays, None),
            [
                "stun:203.0.113.7:3478",
                "stun:[2001:db8::5]:3478",
                "turn:203.0.113.7:3478?transport=udp",
                "turn:[2001:db8::5]:3478?transport=udp",
                "turn:203.0.113.7:3478?transport=tcp",
            ]
        );
    }

    #[test]
    fn tls_is_named_as_its_certificate_is() {
        let listeners = [
            (Transport::Dtls, socket("0.0.0.0:5349")),
            (Transport::Tls, socket("0.0.0.0:5349")),
            (Transport::Tls, socket("[::]:5349")),
        ];
        let relays = [(ip("203.0.113.7"), ip("203.0.113.7")), (ip("2001:db8::5"), ip("2001:db8::5"))];
        let named = urls(&listeners, &relays, Some("turn.example.org"));
        assert_eq!(
            named,
            ["turns:turn.example.org:5349?transport=tcp", "turns:turn.example.org:5349?transport=udp"]
        );
        let unnamed = urls(&listeners, &relays, None);
        assert_eq!(
            unnamed,
            [
                "turns:203.0.113.7:5349?transport=tcp",
                "turns:[2001:db8::5]:5349?transport=tcp",
                "turns:203.0.113.7:5349?transport=udp",
            ]
        );
    }

    #[test]
    fn a_listener_on_one_address_is_named_by_it_or_by_its_external_one() {
        let listeners =
            [(Transport::Udp, socket("10.0.0.5:4000")), (Transport::Udp, socket("127.0.0.1:4000"))];
        let relays = [(ip("10.0.0.5"), ip("203.0.113.7"))];
        assert_eq!(
            urls(&listeners, &relays, None),
            [
                "stun:203.0.113.7:4000",
                "stun:127.0.0.1:4000",
                "turn:203.0.113.7:4000?transport=udp",
                "turn:127.0.0.1:4000?transport=udp",
            ]
        );
    }
}
