use super::super::Config;
use super::super::testing::{load_text, problems};

const GOOD_SECRET: &str = "a0b1c2d3e4f5a0b1c2d3";

#[test]
fn a_realm_is_text_that_can_be_quoted() {
    assert_eq!(
        problems("realm = \"a\\\"b\""),
        "floe.toml:1: realm: may not have \" in it; write a name, as \"example.org\""
    );
    assert_eq!(problems("realm = \"\""), "floe.toml:1: realm: is empty; write a name, as \"example.org\"");
    assert_eq!(
        problems(&format!("realm = \"{}\"", "a".repeat(128))),
        "floe.toml:1: realm: has more than 127 characters; write a name, as \"example.org\""
    );
    assert_eq!(problems(&format!("realm = \"{}\"", "ö".repeat(127))), "");
    for blank in ["realm = \"example.org \"", "realm = \"\u{a0}example.org\""] {
        let found = problems(blank);
        assert!(found.starts_with("floe.toml:1: realm: begins or ends with a blank"), "{found}");
    }
    let decomposed = load_text("realm = \"Bu\u{308}ro\"").unwrap().config.realm;
    assert_eq!(decomposed, "B\u{fc}ro", "as clients prepare it");
}

#[test]
fn a_listener_is_there_once_and_can_be_bound_somewhere() {
    assert_eq!(
        problems("[listen]\nudp = []\ntcp = []"),
        "floe.toml:2: listen.udp: is empty, and so are listen.tcp, listen.tls, listen.dtls and https.listen: nobody could reach the server"
    );
    assert_eq!(problems("[listen]\nudp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\ntcp = []"), "");
    let https = "[listen]\nudp = []\ntcp = []\n[https]\nlisten = [\"0.0.0.0:443\"]\n";
    let pair = "[tls]\ncertificate = \"a.pem\"\nprivate-key = \"a.key\"";
    assert_eq!(problems(&format!("{https}{pair}")), "", "TURN is served there too");
    assert_eq!(
        problems("[listen]\nudp = [\n\"0.0.0.0:3478\",\n\"0.0.0.0:3478\"]"),
        "floe.toml:4: listen.udp: 0.0.0.0:3478 is listed twice; remove one"
    );
    assert_eq!(
        problems("[listen]\ntcp = [\"224.0.0.1:1\"]"),
        "floe.toml:2: listen.tcp: 224.0.0.1 is no address of a single host"
    );
    assert_eq!(
        problems("[listen]\ntcp = [\"[::ffff:192.0.2.1]:1\"]"),
        "floe.toml:2: listen.tcp: ::ffff:192.0.2.1 is an IPv4 address in IPv6 form; write 192.0.2.1"
    );
    assert_eq!(
        problems("[listen]\nsocket-buffer = 1500"),
        "floe.toml:2: listen.socket-buffer: 1500 is out of bounds; write 65536 to 1073741823 bytes"
    );
}

#[test]
fn tls_takes_a_certificate_and_a_certificate_its_key() {
    assert_eq!(
        problems("[listen]\ntls = [\"0.0.0.0:5349\"]"),
        "floe.toml:2: listen.tls: needs a certificate; set tls.certificate and tls.private-key, or acme.names"
    );
    assert_eq!(
        problems("[listen]\ntls = [\"0.0.0.0:5349\"]\n[tls]\ncertificate = \"a.pem\""),
        "tls.private-key: is missing beside tls.certificate; give the file of each"
    );
    assert_eq!(
        problems("[tls]\ncertificate = \"a.pem\"\nprivate-key = \"a.key\""),
        "warning: floe.toml:2: tls.certificate: is of no use while listen.tls, listen.dtls and https.listen are empty"
    );
    let listen = "[listen]\ntls = [\"0.0.0.0:5349\"]\n[tls]\n";
    let pair = "{ certificate = \"a.pem\", private-key = \"a.key\" }";
    assert_eq!(problems(&format!("{listen}certificates = [{pair}]")), "");
    assert_eq!(
        problems(&format!("{listen}certificates = [\n{pair},\n{pair}]")),
        "floe.toml:6: tls.certificates: a.pem is listed twice; remove one"
    );
    assert_eq!(
        problems(&format!("{listen}certificates = [{{ certificate = \"\", private-key = \"a.key\" }}]")),
        "floe.toml:4: tls.certificates: has an empty path; give the files of certificate and private-key"
    );
    let same_port = "[listen]\ntls = [\"127.0.0.1:443\"]\n[admin]\nlisten = \"127.0.0.1:443\"";
    assert!(
        problems(same_port).contains("admin.listen: 127.0.0.1:443 is taken by 127.0.0.1:443 of listen.tls")
    );
}

#[test]
fn balancers_are_named_one_by_one() {
    assert_eq!(problems("[listen]\nproxy-protocol-from = [\"10.0.0.0/8\", \"2001:db8::1\"]"), "");
    assert_eq!(
        problems("[listen]\nproxy-protocol-from = [\"0.0.0.0/0\"]"),
        "warning: floe.toml:2: listen.proxy-protocol-from: 0.0.0.0/0 lets anyone say any address; \
         write those of your balancers"
    );
    assert_eq!(
        problems("[listen]\nproxy-protocol-from = [\"10.1.0.0/8\"]\ntcp = []"),
        "warning: floe.toml:2: listen.proxy-protocol-from: 10.1.0.0/8 covers all of 10.0.0.0/8; \
         write that, or the address alone\n\
         warning: floe.toml:2: listen.proxy-protocol-from: is of no use while listen.tcp, listen.tls and https.listen are empty"
    );
}

#[test]
fn relay_ports_are_a_range_above_the_systems() {
    assert_eq!(
        problems("[relay]\nports = \"60000-50000\""),
        "floe.toml:2: relay.ports: 60000-50000 ends before it begins; write \"50000-60000\""
    );
    assert_eq!(
        problems("[relay]\nports = \"1000-2000\""),
        "floe.toml:2: relay.ports: 1000-2000 begins below 1024, where the system's ports are"
    );
    assert_eq!(problems("[relay]\nports = \"1024-1024\""), "");
    assert_eq!(
        problems("[listen]\nudp = [\"0.0.0.0:50000\"]"),
        "warning: floe.toml:2: listen.udp: port 50000 is also one of relay.ports"
    );
    let dtls =
        problems("[listen]\ndtls = [\"0.0.0.0:50000\"]\n[acme]\nnames = [\"a.b\"]\nagree-to-terms = true");
    assert!(dtls.contains("listen.dtls: port 50000 is also one of relay.ports"), "{dtls}");
}

#[test]
fn external_addresses_match_the_local_ones() {
    assert_eq!(problems("[relay]\nexternal-addresses = [\"203.0.113.7\", \"2001:db8::7\"]"), "");
    assert_eq!(
        problems("[relay]\nexternal-addresses = [\"203.0.113.7\", \"203.0.113.8\"]"),
        "floe.toml:2: relay.external-addresses: has several addresses of one family; \
         list in relay.addresses the local address of each, in the same order"
    );
    assert_eq!(
        problems("[relay]\naddresses = [\"10.0.0.1\", \"10.0.0.2\"]\nexternal-addresses = [\"203.0.113.7\"]"),
        "floe.toml:3: relay.external-addresses: has 1 and relay.addresses has 2; \
         give one for each, in the same order (an address without NAT is its own)"
    );
    assert_eq!(
        problems("[relay]\naddresses = [\"10.0.0.1\"]\nexternal-addresses = [\"2001:db8::7\"]"),
        "floe.toml:3: relay.external-addresses: 2001:db8::7 and 10.0.0.1 of relay.addresses are of different families"
    );
    assert_eq!(
        problems("[relay]\naddresses = [\"0.0.0.0\"]"),
        "floe.toml:2: relay.addresses: 0.0.0.0 stands for any address; \
         write an address of this host, or leave the list empty"
    );
    assert_eq!(
        problems("[relay]\naddresses = [\"10.0.0.1\", \"10.0.0.1\"]"),
        "floe.toml:2: relay.addresses: 10.0.0.1 is listed twice; remove one"
    );
}

#[test]
fn each_relay_address_is_paired_with_the_one_clients_are_told() {
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    let text = "[relay]\naddresses = [\"10.0.0.1\", \"::1\"]\nexternal-addresses = [\"203.0.113.7\", \"2001:db8::7\"]";
    let relay = load_text(text).unwrap().config.relay;
    assert_eq!(
        relay.advertised(&[ip("10.9.9.9")]),
        [(ip("10.0.0.1"), ip("203.0.113.7")), (ip("::1"), ip("2001:db8::7"))]
    );
    let found = [ip("10.0.0.5"), ip("2001:db8::5")];
    let relay = load_text("[relay]\nexternal-addresses = [\"203.0.113.7\"]").unwrap().config.relay;
    assert_eq!(relay.advertised(&found), [(found[0], ip("203.0.113.7")), (found[1], found[1])]);
    assert_eq!(Config::default().relay.advertised(&found), [(found[0], found[0]), (found[1], found[1])]);
}

#[test]
fn lifetimes_are_what_the_rfc_asks() {
    assert_eq!(
        problems("[relay]\nmax-lifetime = 599"),
        "floe.toml:2: relay.max-lifetime: 599 is too short; write 600 seconds or more (RFC 8656 §7.2)"
    );
    assert_eq!(
        problems("[relay]\nmax-lifetime = 7200"),
        "warning: floe.toml:2: relay.max-lifetime: 7200 is longer than the 3600 seconds that RFC 8656 §7.2 recommends"
    );
}

#[test]
fn a_weak_secret_is_refused_unless_nobody_else_can_reach_it() {
    let weak = "secrets = [\"north\"]";
    let fault = crate::auth::weak_secret("north").unwrap();
    let advice = "make one with `openssl rand -hex 32`";
    assert_eq!(
        problems(&format!("[auth]\n{weak}")),
        format!("floe.toml:2: auth.secrets: secret 1 {fault}; {advice}, or set auth.allow-weak = true")
    );
    let warning = format!("warning: floe.toml:2: auth.secrets: secret 1 {fault}; {advice}");
    assert_eq!(problems(&format!("[auth]\n{weak}\nallow-weak = true")), warning);
    let loopback = "[listen]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"[::1]:0\"]";
    assert_eq!(problems(&format!("[auth]\n{weak}\n{loopback}")), warning);

    let fault = crate::auth::weak_password("pw").unwrap();
    assert_eq!(
        problems("[auth.users]\nalice = \"wonderland-4711\"\nbob = \"pw\""),
        format!(
            "floe.toml:3: auth.users: the password of \"bob\" {fault}; {advice}, or set auth.allow-weak = true"
        )
    );
    assert_eq!(
        problems("[auth]\nallow-weak = true\nsecrets = [{ name = \"new\", secret = \"\" }]"),
        format!("floe.toml:3: auth.secrets: the secret \"new\" is empty; {advice}")
    );
}

#[test]
fn secrets_and_keys_are_there_once() {
    assert_eq!(
        problems(&format!("[auth]\nsecrets = [\n\"{GOOD_SECRET}\",\n\"{GOOD_SECRET}\"]")),
        "warning: floe.toml:4: auth.secrets: secret 2 is listed twice; remove one"
    );
    assert_eq!(
        problems(&format!("[admin]\napi-keys = [\"{GOOD_SECRET}\", \"{GOOD_SECRET}\"]")),
        "warning: floe.toml:2: admin.api-keys: key 2 is listed twice; remove one"
    );
    assert_eq!(
        problems(&format!(
            "[auth]\nsecrets = [\n{{ name = \"shop\", secret = \"{GOOD_SECRET}1\" }},\n\
             {{ name = \"shop\", secret = \"{GOOD_SECRET}2\" }}]"
        )),
        "floe.toml:4: auth.secrets: two secrets have the name \"shop\"; give each its own"
    );
    assert_eq!(
        problems(&format!(
            "[auth]\nsecrets = [\n{{ name = \"secret 2\", secret = \"{GOOD_SECRET}1\" }},\n\"{GOOD_SECRET}2\"]"
        )),
        "floe.toml:4: auth.secrets: two secrets have the name \"secret 2\"; give each its own"
    );
    let many: Vec<String> = (0..17).map(|i| format!("{GOOD_SECRET}{i}")).collect();
    assert_eq!(
        problems(&format!("[auth]\nsecrets = {many:?}")),
        "floe.toml:2: auth.secrets: has 17 secrets; at most 16 (a login tries each)"
    );
}

#[test]
fn a_user_name_can_be_sent_and_is_no_time_limited_one() {
    assert_eq!(
        problems("[auth.users]\n\"1700000000:bob\" = \"wonderland-4711\"\n\"sip:bob\" = \"wonderland-4711\""),
        "warning: floe.toml:2: auth.users: the user name \"1700000000:bob\" looks like a time-limited credential; \
         choose one that does not begin with a number and a colon"
    );
    assert_eq!(
        problems("[auth.users]\n\"\" = \"wonderland-4711\""),
        "floe.toml:2: auth.users: the user name \"\" is empty"
    );
    let found = problems(&format!("[auth.users]\n{} = \"wonderland-4711\"", "a".repeat(509)));
    assert!(found.ends_with("has more than 508 bytes"), "{found}");
}

#[test]
fn the_admin_address_is_not_a_listeners() {
    assert_eq!(
        problems("[admin]\nlisten = \"127.0.0.1:3478\""),
        "floe.toml:2: admin.listen: 127.0.0.1:3478 is taken by 0.0.0.0:3478 of listen.tcp; give another port"
    );
    assert_eq!(problems("[listen]\ntcp = [\"0.0.0.0:8080\"]"), "", "the default makes way");
    assert_eq!(
        problems(&format!("[admin]\nlisten = \"\"\napi-keys = [\"{GOOD_SECRET}\"]")),
        "warning: floe.toml:3: admin.api-keys: is of no use while admin.listen is \"\" (off)"
    );
}

#[test]
fn a_value_that_nothing_reads_is_told() {
    for (text, told) in [
        ("[acme]\ncontact = [\"a@b.org\"]", "acme.contact: is of no use while acme.names is empty"),
        ("[https]\nadmin = false", "https.admin: is of no use while https.listen is empty"),
        ("[stun]\nalternate-port = 1", "stun.alternate-port: is of no use while stun.nat-discovery is false"),
        (
            "[admin]\ncors = [\"*\"]\nlisten = \"\"",
            "admin.cors: is of no use while admin.listen is \"\" (off)",
        ),
        (
            "[auth]\noauth-server-name = \"a\"",
            "auth.oauth-server-name: is of no use while auth.oauth-keys is empty",
        ),
    ] {
        assert_eq!(problems(text), format!("warning: floe.toml:2: {told}"));
    }
    assert_eq!(
        problems("[acme]\nhttp-listen = [\"0.0.0.0:80\", \"[::]:80\"]\n[https]\nadmin = true"),
        "",
        "they are the defaults"
    );
}

#[test]
fn peers_say_what_they_mean() {
    assert_eq!(
        problems("[peers]\ndeny = [\"203.0.113.9/24\"]"),
        "warning: floe.toml:2: peers.deny: 203.0.113.9/24 covers all of 203.0.113.0/24; \
         write that, or the address alone"
    );
    assert_eq!(
        problems("[peers]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\"]"),
        "warning: floe.toml:2: peers.allow: 10.0.0.0/8 opens nothing: it is in peers.deny too, or no list may open it"
    );
    assert_eq!(
        problems("[peers]\nallow = [\"127.0.0.0/8\"]"),
        "warning: floe.toml:2: peers.allow: 127.0.0.0/8 lets every client reach the services of this machine's loopback"
    );
}

#[test]
fn a_misspelt_level_is_not_taken_for_a_target() {
    assert_eq!(
        problems("[log]\nlevel = \"inof\""),
        "floe.toml:2: log.level: \"inof\" is no level; \
         write a level (error, warn, info, debug, trace) or a list, as \"info,floe::net=debug\""
    );
    let found = problems("[log]\nlevel = \"floe=loud\"");
    assert!(found.starts_with("floe.toml:2: log.level: \"floe=loud\" can't be read ("), "{found}");
    assert_eq!(problems("[log]\nlevel = \"INFO,floe::net=debug\""), "");
}
