//! `floe reload`, SIGHUP and SIGUSR2: each setting that can change is seen to
//! change from outside, and what can't be used changes nothing.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use floe::wire::AttributeType;
use serde_json::Value;
use toml::Table;

use crate::commands::{ask, json, text};
use crate::credentials;
use crate::rest_password;
use crate::signals::signal;
use crate::support::authority::{shown, text as path};
use crate::support::{ALICE, Authority, BOB, Client, Config, Peer, Request, SECRET, Server, User};

const CAROL: User<'_> = User { name: "carol", password: "nine quiet lighthouse keepers" };
const OTHER_SECRET: &str = "0c4b1f7d92a84e6f8d3b5a7c9e1f2d40";

/// Puts another configuration in place of the server's, and reloads it.
pub(crate) fn reload(server: &Server, change: impl FnOnce(&mut Config)) -> Value {
    server.rewrite(change);
    json(server, &["reload"])
}

pub(crate) fn refused(server: &Server, change: impl FnOnce(&mut Config)) -> Output {
    server.rewrite(change);
    let output = ask(server, &["reload"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    output
}

pub(crate) fn reloads(server: &Server, what: &str, result: &str) -> f64 {
    let labels = [format!("what=\"{what}\""), format!("result=\"{result}\"")];
    server.metric("floe_reloads_total", &labels.each_ref().map(String::as_str))
}

/// What an Allocate of this user is answered; 0 is success.
fn allocate(server: &Server, user: User<'_>) -> u16 {
    Client::udp(server).user(user).call(Request::allocate()).code()
}

fn users(all: &[User<'_>]) -> Table {
    Table::from_iter(all.iter().map(|user| (user.name.to_owned(), user.password.into())))
}

#[test]
fn users_come_and_go_and_calls_stay() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    let relayed = alice.allocate();
    let peer = Peer::new();
    alice.permit(peer.ip());
    let mut bob = Client::udp(&server).user(BOB);
    bob.allocate();
    assert_eq!(allocate(&server, CAROL), 401);

    server.rewrite(|config| _ = config.set("auth.users", users(&[ALICE, CAROL])));
    let told = ask(&server, &["reload"]);
    assert_eq!((told.status.code(), text(&told).as_str()), (Some(0), "changed: auth.users\n"));
    assert_eq!((allocate(&server, CAROL), allocate(&server, BOB)), (0, 401));
    alice.exchange(relayed, &peer);
    alice.call(Request::refresh(600)).ok();
    assert_eq!(bob.call(Request::refresh(600)).code(), 401, "who is gone can't refresh");
    assert_eq!(reloads(&server, "configuration", "success"), 1.0);
    assert_eq!(text(&ask(&server, &["reload"])), "nothing has changed\n");
}

#[test]
fn secrets_rotate_and_whoever_mints_uses_the_new_one() {
    let server = Server::start(|config| _ = config.secret_only());
    let name = "2000000000:dave";
    let by = |secret: &str| rest_password(secret, name);
    let (old, new) = (by(SECRET), by(OTHER_SECRET));
    let user = |password| User { name, password };
    let mut live = Client::udp(&server).user(user(&old));
    live.allocate();
    assert_eq!(allocate(&server, user(&new)), 401);

    let with = |secrets: &'static [&str]| {
        move |config: &mut Config| _ = config.secret_only().set("auth.secrets", secrets.to_vec())
    };
    assert_eq!(
        reload(&server, with(&[OTHER_SECRET, SECRET]))["changed"],
        serde_json::json!(["auth.secrets"])
    );
    assert_eq!((allocate(&server, user(&new)), allocate(&server, user(&old))), (0, 0));
    // The nonce is of the old secret, which is still one of them.
    live.call(Request::refresh(600)).ok();
    let key = format!("Authorization: Bearer {}\r\n", server.runtime().token);
    let (_, minted) = server.ask("GET", "/turn?service=turn&username=erin", &key, "");
    let minted: Value = serde_json::from_str(&minted).expect("JSON");
    let expected = rest_password(OTHER_SECRET, minted["username"].as_str().expect("a name"));
    assert_eq!(minted["password"], expected.as_str());

    reload(&server, with(&[OTHER_SECRET]));
    assert_eq!((allocate(&server, user(&new)), allocate(&server, user(&old))), (0, 401));
}

/// RFC 8489 §9.2.5: a client goes on with another nonce after one 438.
#[test]
fn another_nonce_secret_asks_each_client_once() {
    let server = Server::start(|config| _ = config.set("auth.nonce-secret", OTHER_SECRET));
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    reload(&server, |config| _ = config.set("auth.nonce-secret", SECRET));
    assert_eq!(client.call(Request::refresh(600)).code(), 438);
    client.challenge();
    client.call(Request::refresh(600)).ok();
}

/// Without any secret the key of nonces is made up, and stays.
#[test]
fn nonces_stay_good_over_a_reload() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    reload(&server, |config| _ = config.set("drain-timeout", 7));
    client.call(Request::refresh(600)).ok();
}

#[test]
fn limits_hold_from_then_on() {
    let server = Server::start(|_| {});
    let mut clients = [ALICE, ALICE].map(|user| Client::udp(&server).user(user));
    clients.iter_mut().for_each(|client| _ = client.allocate());
    reload(&server, |config| _ = config.set("limits.allocations-per-user", 2));
    assert_eq!((allocate(&server, ALICE), allocate(&server, BOB)), (486, 0));
    reload(&server, |config| _ = config.set("limits.allocations", 2));
    assert_eq!((allocate(&server, BOB), allocate(&server, ALICE)), (508, 508));
    reload(&server, |_| {});
    assert_eq!(allocate(&server, ALICE), 0);

    let mut first = Client::tcp(&server);
    first.ping();
    reload(&server, |config| _ = config.set("limits.tcp-connections-per-address", 1));
    Client::tcp(&server).expect_closed();
    first.ping();
    reload(&server, |_| {});
    Client::tcp(&server).ping();

    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate().lifetime(7200)).lifetime(), 3600);
    reload(&server, |config| _ = config.set("relay.max-lifetime", 7200));
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate().lifetime(7200)).lifetime(), 7200);

    // Over it there is silence: nothing comes for the second, and then an answer.
    reload(&server, |config| _ = config.set("limits.unauthenticated-per-second", 1));
    let mut stranger = Client::udp(&server);
    for _ in 0..20 {
        stranger.send(&Request::binding().bytes());
    }
    server.expect_some("floe_dropped_packets_total", &["reason=\"throttled\""]);
}

/// A live allocation's bandwidth is cut, and set free again.
#[test]
fn bandwidth_limits_hold_for_live_allocations() {
    for key in ["limits.bits-per-second-per-allocation", "limits.bits-per-second"] {
        let server = Server::start(|_| {});
        let mut client = Client::udp(&server).user(ALICE);
        let relayed = client.allocate();
        let peer = Peer::new();
        client.bind(0x4000, peer.address());
        client.exchange_on(0x4000, relayed, &peer);
        let over = || server.metric("floe_dropped_packets_total", &["reason=\"bandwidth\""]);
        reload(&server, |config| _ = config.set(key, 8));
        assert_eq!(over(), 0.0);
        // The burst is one datagram of the largest size.
        for _ in 0..70 {
            client.send_channel(0x4000, &[0; 1000]);
        }
        server.wait_until("it is over the limit", || over() > 0.0);
        reload(&server, |_| {});
        let dropped = over();
        client.send_channel(0x4000, b"free again");
        while peer.receive().0 != b"free again" {}
        assert_eq!(over(), dropped);
    }
}

#[test]
fn protocol_switches_turn_on_and_off() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    let peer = Peer::new();
    let old_number = || Request::channel_bind(0x5000, peer.address());
    assert_eq!(client.call(old_number()).code(), 400);
    let classic = [&[0, 1, 0, 0][..], &[7; 16]].concat();
    Client::udp(&server).expect_silence(&classic);
    assert!(!Client::udp(&server).ask(&Request::allocate()).has(AttributeType::THIRD_PARTY_AUTHORIZATION));

    let told = reload(&server, |config| {
        let key = Table::from_iter([
            ("kid".to_owned(), "a-kid".into()),
            ("key".to_owned(), "dGhpcnR5LXR3byBieXRlcyBtYWtlIGEgZ29vZCBrZXk=".into()),
        ]);
        config
            .set("relay.legacy-channels", true)
            .set("stun.classic", true)
            .set("auth.oauth-keys", vec![toml::Value::from(key)])
            .set("auth.oauth-server-name", "turn.tests.example");
    });
    assert_eq!(
        told["changed"],
        serde_json::json!([
            "relay.legacy-channels",
            "auth.oauth-keys",
            "auth.oauth-server-name",
            "stun.classic"
        ])
    );
    client.call(old_number()).ok();
    let mut old = Client::udp(&server);
    old.send(&classic);
    assert_eq!(&old.receive()[..2], [1, 1], "a Binding response of RFC 3489");
    let challenge = Client::udp(&server).ask(&Request::allocate());
    assert_eq!(challenge.text(AttributeType::THIRD_PARTY_AUTHORIZATION), "turn.tests.example");

    reload(&server, |_| {});
    assert_eq!(client.call(Request::channel_bind(0x5001, peer.address())).code(), 400);
    Client::udp(&server).expect_silence(&classic);
}

#[test]
fn a_draining_server_can_be_told_where_to_send_clients_and_how_long_to_wait() {
    let mut server = Server::start(|config| _ = config.set("drain-timeout", 3600));
    let mut live = Client::udp(&server).user(ALICE);
    live.allocate();
    assert!(ask(&server, &["drain"]).status.success());
    assert_eq!(allocate(&server, ALICE), 508);
    reload(&server, |config| {
        _ = config.set("drain-timeout", 0).set("relay.alternate-servers", vec!["192.0.2.9:3478"]);
    });
    assert_eq!(allocate(&server, ALICE), 300);
    signal(&server, "TERM");
    assert!(server.ended().success());
}

#[test]
fn api_keys_and_origins_come_and_go() {
    const APP: &str = "Origin: https://app.example.org";
    const METHOD: &str = "Access-Control-Request-Method: GET";
    let server = Server::start(|config| _ = config.set("admin.api-keys", vec!["the old key of an app"]));
    let status = |key: &str| {
        let key = format!("Authorization: Bearer {key}\r\n");
        server.ask("GET", "/api/status", &key, "").0
    };
    assert_eq!((status("the old key of an app"), status("the new key of an app")), (200, 401));
    let allowed = || {
        let (_, headers, _) = credentials::ask(server.admin(), "OPTIONS", "/turn", &[APP, METHOD], "");
        headers.contains("access-control-allow-origin: https://app.example.org")
    };
    assert!(!allowed());
    reload(&server, |config| {
        let cors = vec!["https://app.example.org"];
        config.set("admin.api-keys", vec!["the new key of an app"]).set("admin.cors", cors);
    });
    assert_eq!((status("the old key of an app"), status("the new key of an app")), (401, 200));
    assert!(allowed());
}

#[test]
fn the_log_level_changes_by_command_and_by_reload() {
    let server = Server::start(|_| {});
    let level = || text(&ask(&server, &["loglevel"]));
    assert_eq!(level(), "info\n");
    let set = ask(&server, &["loglevel", "debug"]);
    assert_eq!((set.status.code(), text(&set).as_str()), (Some(0), "debug\n"));
    let wrong = ask(&server, &["loglevel", "floe=loud"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    // In force is what the file says.
    assert_eq!(reload(&server, |config| _ = config.set("log.level", "warn"))["changed"][0], "log.level");
    assert_eq!(level(), "warn\n");
    Client::udp(&server).user(ALICE).allocate();
    let (_, log) = server.stop_and_log();
    assert!(!log.contains("\"opened\""), "an allocation is an info line: {log}");
}

fn shown_by(authority: &Authority, server: &Server) -> Vec<u8> {
    shown(&authority.connect(server.all("tls")[0])).to_vec()
}

#[test]
fn certificates_change_by_path_and_by_signal() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let first = shown_by(&authority, &server);
    let (certificate, key) = authority.issue("other", &[crate::support::authority::HOST]);
    let other = |config: &mut Config| {
        authority.secure(config);
        config.set("tls.certificate", path(&certificate)).set("tls.private-key", path(&key));
    };
    let told = reload(&server, other);
    assert_eq!(told["certificates"], serde_json::json!([path(&certificate)]));
    let second = shown_by(&authority, &server);
    assert_ne!(first, second);

    authority.issue("other", &[crate::support::authority::HOST]);
    signal(&server, "USR2");
    server.wait_until("they are read", || reloads(&server, "certificates", "success") == 1.0);
    let third = shown_by(&authority, &server);
    assert_ne!(second, third);

    fs::write(&key, "no key").unwrap();
    signal(&server, "USR2");
    server.wait_until("it fails", || reloads(&server, "certificates", "failure") == 1.0);
    assert_eq!(shown_by(&authority, &server), third);
    // The same by a reload, which then changes nothing else either.
    let why = text(&refused(&server, |config| {
        other(config);
        config.set("auth.users", users(&[CAROL]));
    }));
    assert!(why.contains("tls.private-key"), "{why}");
    assert_eq!((allocate(&server, CAROL), allocate(&server, ALICE)), (401, 0));
    assert_eq!(shown_by(&authority, &server), third);
}

#[test]
fn a_reload_is_finished_though_whoever_asked_is_gone() {
    const KEY: &str = "the key of a program";
    let server = Server::start(|config| _ = config.set("admin.api-keys", vec![KEY]));
    server.rewrite(|config| {
        config.set("admin.api-keys", vec![KEY]).set("auth.users", users(&[ALICE, CAROL]));
    });
    // Read as slowly as this test likes.
    let file = server.directory().join("floe.toml");
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let mut asking = TcpStream::connect(server.admin()).unwrap();
    write!(asking, "POST /api/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n").unwrap();
    asking.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut pipe = None;
    server.wait_until("the file is read", || {
        pipe = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&file).ok();
        pipe.is_some()
    });
    // For the server that is the end of it, and it says so by an end of its own.
    asking.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    pipe.take().unwrap().write_all(&content).unwrap();
    server.wait_until("it is in force", || reloads(&server, "configuration", "success") == 1.0);
    assert_eq!((allocate(&server, CAROL), allocate(&server, BOB)), (0, 401));
}

#[test]
fn a_broken_or_missing_file_changes_nothing() {
    let server = Server::start(|_| {});
    let started = server.metric("floe_reload_last_success_timestamp_seconds", &[]);
    assert!(started > 1.7e9);
    let why = text(&refused(&server, |config| {
        _ = config.set("auth.users", users(&[CAROL])).set("limits.allocations", "many");
    }));
    assert!(why.contains("limits.allocations") && why.contains("floe.toml:"), "{why}");
    fs::write(server.directory().join("floe.toml"), "[auth").unwrap();
    assert_eq!(ask(&server, &["reload"]).status.code(), Some(1));
    // As a full disk leaves it: every default would be in force.
    fs::write(server.directory().join("floe.toml"), "").unwrap();
    let empty = ask(&server, &["reload"]);
    assert!(text(&empty).contains("says nothing"), "{}", text(&empty));
    fs::remove_file(server.directory().join("floe.toml")).unwrap();
    let gone = ask(&server, &["reload"]);
    assert!(text(&gone).contains("cannot be read"), "{}", text(&gone));
    signal(&server, "HUP");
    server.wait_until("all have failed", || reloads(&server, "configuration", "failure") == 5.0);
    assert_eq!((allocate(&server, CAROL), allocate(&server, ALICE)), (401, 0));
    server.expect_metric("floe_reload_last_success_timestamp_seconds", &[], started);
    server.wait_until("the log says so", || server.log().matches("not reloaded").count() == 5);
}

#[test]
fn what_takes_a_restart_is_named_until_there_is_one() {
    let server = Server::start(|_| {});
    let change = |config: &mut Config| _ = config.set("realm", "another.example").set("relay.mobility", true);
    server.rewrite(change);
    let told = text(&ask(&server, &["reload"]));
    let lines = ["realm", "relay.mobility"]
        .map(|key| format!("takes a restart: {key}; the old value stays until then\n"));
    assert_eq!(told, lines.concat());
    assert_eq!(reload(&server, change)["needs_restart"], serde_json::json!(["realm", "relay.mobility"]));
    assert_eq!(allocate(&server, ALICE), 0, "in the realm that it was started with");
    assert_eq!(reload(&server, |_| {})["needs_restart"], serde_json::json!([]));
}

/// The stronger word stays it; a file that a variable names is read again.
#[test]
fn the_environment_keeps_its_rank() {
    let directory = crate::support::server::new_directory();
    let secrets = directory.join("secrets");
    fs::write(&secrets, SECRET).unwrap();
    let environment =
        [("FLOE_AUTH__SECRETS__FILE", secrets.as_os_str()), ("FLOE_RELAY__MAX_LIFETIME", "1800".as_ref())];
    let server = Server::start_in(&environment, |config| _ = config.secret_only());
    let name = "2000000000:dave";
    let lifetime = |secret: &str| {
        let password = rest_password(secret, name);
        let mut client = Client::udp(&server).user(User { name, password: &password });
        let reply = client.call(Request::allocate().lifetime(3600));
        if reply.is_success() { reply.lifetime() } else { u32::from(reply.code()) }
    };
    assert_eq!((lifetime(SECRET), lifetime(OTHER_SECRET)), (1800, 401));
    fs::write(&secrets, OTHER_SECRET).unwrap();
    let told = reload(&server, |config| _ = config.secret_only().set("relay.max-lifetime", 3600));
    assert_eq!(told["changed"], serde_json::json!(["auth.secrets"]));
    assert_eq!((lifetime(SECRET), lifetime(OTHER_SECRET)), (401, 1800));
    let _ = fs::remove_dir_all(directory);
}

/// A hundred allocations relay in rounds, which are counted, for as long as something
/// goes on: what all of them send in a round arrives, and comes back to each.
pub(crate) fn relayed_while(server: &Server, goes_on: impl FnOnce(&AtomicU32) + Send) {
    const CHANNEL: u16 = 0x4000;
    let peer = Peer::new();
    let mut clients: Vec<_> = (0..100).map(|_| Client::udp(server).user(ALICE)).collect();
    for client in &mut clients {
        client.allocate();
        client.bind(CHANNEL, peer.address());
    }
    let rounds = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let going_on = scope.spawn(|| goes_on(&rounds));
        while !going_on.is_finished() || rounds.load(Ordering::Relaxed) == 0 {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            let payload = |number: usize| format!("{round} of {number}").into_bytes();
            for (number, client) in clients.iter_mut().enumerate() {
                client.send_channel(CHANNEL, &payload(number));
            }
            for _ in 0..clients.len() {
                let (what, from) = peer.receive();
                peer.send(from, &what);
            }
            for (number, client) in clients.iter_mut().enumerate() {
                client.expect_channel(CHANNEL, &payload(number));
            }
        }
    });
    server.expect_metric("floe_dropped_packets_total", &[], 0.0);
}

#[test]
fn a_hundred_relaying_allocations_lose_nothing_while_settings_change() {
    const RELOADS: u32 = 30;
    let server = Server::start(|_| {});
    let reload_all = |rounds: &AtomicU32| {
        for number in 1..=RELOADS {
            server.wait_until("another round has begun", || rounds.load(Ordering::Relaxed) >= number);
            server.rewrite(|config| {
                let all: &[_] = if number % 2 == 0 { &[ALICE] } else { &[ALICE, CAROL] };
                config
                    .set("auth.users", users(all))
                    .set("limits.allocations", 1000 + number)
                    .set("limits.unauthenticated-per-second", 1000 + number)
                    .set("peers.deny", vec![format!("192.0.2.{number}/32")]);
            });
            let (status, told) = server.api("POST", "/api/reload");
            assert_eq!(status, 200, "{told}");
            assert_eq!(told["changed"].as_array().map(Vec::len), Some(4), "{told}");
        }
    };
    relayed_while(&server, reload_all);
    assert_eq!(reloads(&server, "configuration", "success"), f64::from(RELOADS));
}
