use std::net::SocketAddr;
use std::path::Path;

use super::*;
use crate::config::{Config, SharedSecret, load_text};

/// What floe would run with.
fn config(imported: &Imported) -> Config {
    load_text(Path::new("floe.toml"), &imported.toml)
        .unwrap_or_else(|e| panic!("{e}\n{}", imported.toml))
        .config
}

/// On a machine where every file is there.
fn imported(text: &str) -> Imported {
    import("turnserver.conf", text, &|_| true, &mut Counting(0))
}

struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 += 1;
            *byte = self.0;
        }
    }
}

fn left_out(imported: &Imported) -> Vec<(usize, &str)> {
    imported.left_out.iter().map(|unlike| (unlike.line, unlike.key.as_str())).collect()
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn lines_are_read_as_coturn_reads_them() {
    let all = imported(
        "  # a comment\n\nrealm   \"example.org\"  \nmin-port\t50000\nmax-port = 50100\n--total-quota=100\r\nmobility=no\n",
    );
    let read = config(&all);
    assert_eq!(read.realm, "example.org");
    assert_eq!((read.relay.ports.first, read.relay.ports.last), (50000, 50100));
    assert_eq!(read.limits.allocations, 100);
    assert_eq!(left_out(&all), []);
    assert_eq!(all.taken, 5);
    assert!(all.toml.contains("# line 4: min-port 50000"), "{}", all.toml);
}

#[test]
fn no_line_is_lost() {
    let text = "realm=a\nrealm=b\nno-such-key=1\nuser=x\nlistening-port=many\nuserdb=/x\ncli\nexternal-ip=name.example\n";
    let all = imported(text);
    assert_eq!(config(&all).realm, "b");
    assert_eq!(
        left_out(&all),
        [
            (1, "realm"),
            (3, "no-such-key"),
            (4, "user"),
            (5, "listening-port"),
            (6, "userdb"),
            (8, "external-ip")
        ]
    );
    assert_eq!(all.taken + all.left_out.len(), 8);
}

#[test]
fn secrets_win_over_users_and_the_newest_is_first() {
    let secrets = "static-auth-secret=0123456789abcdef01\nstatic-auth-secret=fedcba98765432100a\nuser=a:passwordpassword\n";
    let all = imported(secrets);
    let read = config(&all);
    let shown: Vec<_> = read.auth.secrets.iter().map(|entry| entry.secret.expose().to_owned()).collect();
    assert_eq!(shown, ["fedcba98765432100a", "0123456789abcdef01"]);
    assert_eq!(left_out(&all), [(3, "user")]);
    let comments: Vec<_> = all.toml.lines().filter(|line| line.starts_with('#')).collect();
    assert!(comments.iter().all(|line| !line.contains("0123456789abcdef01") && !line.contains("password")));

    let users =
        imported("lt-cred-mech\nuser=alice:gehe1m3sWort\nuser=bob:0xbc807ee29df3c9ffa736523fb2c4e8ee\n");
    let read = config(&users);
    assert_eq!(read.auth.users.keys().collect::<Vec<_>>(), ["alice"]);
    assert_eq!(left_out(&users), [(3, "user")]);
}

#[test]
fn samples_are_replaced_where_nothing_else_lets_anybody_in() {
    let new = |first: u8| (first..first + 32).map(|byte| format!("{byte:02x}")).collect::<String>();
    let secrets = |text: &str| {
        let shown = |entry: &SharedSecret| entry.secret.expose().to_owned();
        config(&imported(text)).auth.secrets.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(secrets("static-auth-secret=north\nstatic-auth-secret=<secret>\n"), [new(1)]);
    let both = "static-auth-secret=0123456789abcdef01\nstatic-auth-secret=north\n";
    assert_eq!(secrets(both), ["0123456789abcdef01"]);
    assert_eq!(left_out(&imported(both)), [(2, "static-auth-secret")]);

    let users = imported("user=bob:<password>\nuser=alice:gehe1m3sWort\nuser=carol:youhavetoberealistic\n");
    let read = config(&users);
    let shown: Vec<_> = read.auth.users.iter().map(|(name, password)| (&**name, password.expose())).collect();
    assert_eq!(shown, [("alice", "gehe1m3sWort"), ("bob", &new(1)), ("carol", &new(33))]);
    let last = &users.notes[users.notes.len() - 2..];
    assert!(last[0].contains("bob") && last[1].contains("carol"), "{last:?}");
    for note in last {
        let beside = note.replace("auth.users: ", "\n# ");
        assert_eq!(users.toml.matches(&beside).count(), 1, "{}", users.toml);
    }
}

#[test]
fn a_placeholder_is_no_realm() {
    for placeholder in ["<your domain>", "your.domain.org", "turn.<DOMAIN>", "${TURN_REALM}"] {
        let all = imported(&format!("realm={placeholder}\n"));
        assert_eq!(config(&all).realm, Config::default().realm);
        assert_eq!(left_out(&all), [(1, "realm")]);
    }
}

#[test]
fn words_may_follow_a_number() {
    let all = imported("user-quota=12 # streams\ntotal-quota=<number>\n");
    assert_eq!(config(&all).limits.allocations_per_user, 12);
    assert_eq!(left_out(&all), [(2, "total-quota")]);
}

#[test]
fn each_private_address_has_its_public_one() {
    let all = imported(
        "listening-ip=10.0.0.5\nlistening-ip=10.0.0.6\nexternal-ip=203.0.113.6/10.0.0.6\nexternal-ip=203.0.113.5/10.0.0.5\n",
    );
    let read = config(&all);
    assert_eq!(
        read.relay.advertised(&[]),
        [
            ("10.0.0.5".parse().unwrap(), "203.0.113.5".parse().unwrap()),
            ("10.0.0.6".parse().unwrap(), "203.0.113.6".parse().unwrap()),
        ]
    );
    assert_eq!(read.listen.udp, sockets(&["10.0.0.5:3478", "10.0.0.6:3478"]));

    let bare = config(&imported("external-ip=203.0.113.7\n"));
    assert!(bare.relay.addresses.is_empty());
    assert_eq!(bare.relay.external_addresses, ["203.0.113.7".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn an_allowed_range_wins_over_a_denied_one_within_it() {
    let all = imported(
        "denied-peer-ip=10.0.0.0-10.255.255.255\ndenied-peer-ip=192.168.1.7\nallowed-peer-ip=192.168.0.0-192.168.255.255\ndenied-peer-ip=9.9.9.9-1.1.1.1\n",
    );
    let read = config(&all);
    assert_eq!(read.peers.allow, ["192.168.0.0/16".parse().unwrap()]);
    assert_eq!(read.peers.deny, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(left_out(&all), [(4, "denied-peer-ip")]);
}

#[test]
fn bytes_of_each_direction_become_bits_of_both() {
    let read = config(&imported("max-bps=64000\nbps-capacity=1000000\n"));
    assert_eq!(read.limits.bits_per_second_per_allocation, 1_024_000);
    assert_eq!(read.limits.bits_per_second, 16_000_000);
}

#[test]
fn tls_is_served_where_coturn_serves_it() {
    let both = config(&imported(
        "cert=/etc/a.pem\npkey=/etc/a.key\ntls-listening-port=443\nlistening-ip=192.0.2.1\nno-udp\n",
    ));
    assert_eq!(both.listen.tls, sockets(&["192.0.2.1:443"]));
    assert_eq!(both.listen.dtls, sockets(&["192.0.2.1:443"]));
    assert!(both.listen.udp.is_empty());

    let none = imported("tls-listening-port=443\ncert=/etc/a.pem\n");
    assert!(config(&none).listen.tls.is_empty());
    assert_eq!(left_out(&none), [(1, "tls-listening-port"), (2, "cert")]);
}

#[test]
fn without_the_files_there_is_no_tls() {
    let text = "cert=/etc/a.pem\npkey=/etc/a.key\ntls-listening-port=443\n";
    let all = import("turnserver.conf", text, &|file| file != Path::new("/etc/a.key"), &mut Counting(0));
    assert_eq!(config(&all), Config::default());
    assert_eq!(left_out(&all), [(1, "cert"), (2, "pkey"), (3, "tls-listening-port")]);
    assert!(all.left_out[1].why.contains("no such file"), "{:?}", all.left_out);
}

#[test]
fn nothing_in_a_file_can_break_out_of_a_comment() {
    let all = imported("realm=x y\nnonsense\u{b}realm = \"evil\"\nlog-file=/a\u{7f}\u{85}b\n\u{0}\n");
    assert_eq!(config(&all), Config { realm: "x y".to_owned(), ..Config::default() });
    for strange in
        ["=", "\u{feff}", "user=:\nuser=a:\n", "min-port=70000", "external-ip=/", "aux-server=[::1]"]
    {
        let _ = load_text(Path::new("floe.toml"), &imported(strange).toml);
    }
}

#[test]
fn text_that_begins_like_no_is_not_off_and_no_secret_is_shown() {
    let lines = [
        "proc-user=nobody",
        "server-name=north.example",
        "web-admin-ip=0.0.0.0",
        "pkey-pwd=foo-password",
        "stateless-nonce-secret=f3a1b2c3d4e5f6a7",
        "psql-userdb=no-host password=database-password",
    ];
    let out = imported(&lines.join("\n"));
    assert_eq!(out.left_out.len(), lines.len(), "{}", out.toml);
    for secret in ["foo-password", "f3a1b2c3", "database-password"] {
        assert!(!out.toml.contains(secret), "{secret} in {}", out.toml);
    }
    assert_eq!(left_out(&imported("no-udp-relay=no\nno-auth=0\noauth=FALSE")), []);
}

#[test]
fn a_port_for_metrics_goes_with_its_address() {
    let both = imported("prometheus\nprometheus-address=127.0.0.1\nprometheus-port=9999");
    assert!(both.toml.contains("listen = \"127.0.0.1:9999\""), "{}", both.toml);
    assert!(!both.left_out.iter().any(|line| line.key == "prometheus-port"), "{}", both.toml);
    assert_eq!(imported("prometheus-port=9999").left_out.len(), 1);
}
