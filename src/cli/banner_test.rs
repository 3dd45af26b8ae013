use super::*;

const LISTENERS: [(Transport, SocketAddr); 3] = [
    (Transport::Udp, SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 3478))),
    (
        Transport::Udp,
        SocketAddr::V6(std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, 3478, 0, 0)),
    ),
    (Transport::Tcp, SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 3478))),
];
const PORTS: PortRange = PortRange { first: 49152, last: 65535 };

fn relays(list: &[(&str, &str)]) -> Vec<(IpAddr, IpAddr)> {
    list.iter().map(|(local, advertised)| (local.parse().unwrap(), advertised.parse().unwrap())).collect()
}

fn minted(this_run: bool) -> Access {
    Access::Minted {
        username: "1764000000:floe".to_owned(),
        credential: "Zm9vYmFy+/8=".to_owned(),
        lasts: Duration::from_secs(86_400),
        this_run,
    }
}

fn show(relays: &[(IpAddr, IpAddr)], access: &Access, warnings: &[String]) -> String {
    banner(&Banner {
        version: "1.2.3",
        realm: "floe",
        listeners: &LISTENERS,
        relays,
        found: &[],
        ports: PORTS,
        urls: &crate::config::urls::urls(&LISTENERS, relays, None),
        access,
        admin: Some("http://127.0.0.1:8080"),
        page: Some("http://127.0.0.1:8080/#token=abc".to_owned()),
        open: true,
        warnings,
    })
}

#[cfg(feature = "client")]
#[test]
fn a_first_start_says_all_that_is_needed() {
    let relays = relays(&[("10.0.0.5", "203.0.113.7"), ("2001:db8::5", "2001:db8::5")]);
    let expected = r#"floe 1.2.3 is ready.

  listening  udp 0.0.0.0:3478
             udp [::]:3478
             tcp 0.0.0.0:3478
  relaying   10.0.0.5, advertised as 203.0.113.7, ports 49152-65535
             2001:db8::5, ports 49152-65535
  realm      floe
  admin      http://127.0.0.1:8080
  web page   http://127.0.0.1:8080/#token=abc

For new RTCPeerConnection(…) in a browser, or any other WebRTC client; good for 24 hours:

{
  "iceServers": [
    {
      "urls": [
        "stun:203.0.113.7:3478",
        "stun:[2001:db8::5]:3478",
        "turn:203.0.113.7:3478?transport=udp",
        "turn:[2001:db8::5]:3478?transport=udp",
        "turn:203.0.113.7:3478?transport=tcp"
      ],
      "username": "1764000000:floe",
      "credential": "Zm9vYmFy+/8="
    }
  ]
}

The secret that makes credentials is random and ends with this run; to keep one, set auth.secrets.

Try next:
  the web page at the address above (it holds this run's token: keep it to yourself)
      tests this server from your browser, makes calls through it, and shows who is on it
  floe pair
      two WebRTC peers connect through this server
  turnutils_uclient -y -s -c -u '1764000000:floe' -w 'Zm9vYmFy+/8=' -p 3478 203.0.113.7
      the same with coturn's test client
  curl http://127.0.0.1:8080/metrics
      what the server has counted
"#;
    assert_eq!(show(&relays, &minted(true), &[]), expected);
}

#[test]
fn what_a_journal_keeps_lets_nobody_in() {
    let relays = relays(&[("192.0.2.1", "192.0.2.1")]);
    let access = minted(true);
    let text = banner(&Banner {
        version: "1.2.3",
        realm: "floe",
        listeners: &LISTENERS,
        relays: &relays,
        ports: PORTS,
        urls: &crate::config::urls::urls(&LISTENERS, &relays, None),
        access: &access,
        admin: Some("http://127.0.0.1:8080"),
        page: Some("http://127.0.0.1:8080/#token=abc".to_owned()),
        open: false,
        found: &[],
        warnings: &[],
    });
    for secret in ["abc", "1764000000", "Zm9vYmFy"] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
    for part in
        ["http://127.0.0.1:8080/\n", "turn:192.0.2.1:3478?transport=udp", "floe credentials", "floe page"]
    {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn the_ice_servers_are_json() {
    let text = show(&relays(&[("192.0.2.1", "192.0.2.1")]), &minted(false), &[]);
    let (start, end) = (text.find("\n{\n").unwrap(), text.find("\n}\n").unwrap());
    let block: serde_json::Value = serde_json::from_str(&text[start..end + 2]).unwrap();
    let server = &block["iceServers"][0];
    assert_eq!(server["urls"][0], "stun:192.0.2.1:3478");
    assert_eq!(server["username"], "1764000000:floe");
    assert_eq!(server["credential"], "Zm9vYmFy+/8=");
    assert!(!text.contains("random"), "a configured secret stays");
}

#[test]
fn static_users_are_counted_and_not_shown() {
    let text = show(&relays(&[("192.0.2.1", "192.0.2.1")]), &Access::Users(2), &[]);
    let expected = "Clients log in as the 2 users of auth.users, whose passwords are not shown, at\n  \
                    stun:192.0.2.1:3478\n  turn:192.0.2.1:3478?transport=udp\n  turn:192.0.2.1:3478?transport=tcp\n\
                    With auth.secrets set, credentials that expire by themselves stand here instead.\n";
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains("turnutils_uclient"), "{text}");
}

#[test]
fn a_relay_on_loopback_is_warned_of_loudly() {
    let warning = "WARNING: relaying on loopback only. Nobody outside this machine can use this server.\n";
    let loopback = show(&relays(&[("127.0.0.1", "127.0.0.1")]), &minted(true), &[]);
    assert!(loopback.contains(warning), "{loopback}");
    let mixed = show(&relays(&[("127.0.0.1", "127.0.0.1"), ("192.0.2.1", "192.0.2.1")]), &minted(true), &[]);
    assert!(!mixed.contains("WARNING"), "{mixed}");
}

#[test]
fn other_warnings_stand_at_the_end() {
    let text = show(&relays(&[("192.0.2.1", "192.0.2.1")]), &minted(true), &["few descriptors".to_owned()]);
    assert!(text.ends_with("\n\nWARNING: few descriptors\n"), "{text}");
}

#[test]
fn lengths_are_in_words() {
    let words = |seconds| in_words(Duration::from_secs(seconds));
    assert_eq!(words(86_400), "24 hours");
    assert_eq!(words(3600), "1 hour");
    assert_eq!(words(5400), "90 minutes");
    assert_eq!(words(61), "61 seconds");
}
