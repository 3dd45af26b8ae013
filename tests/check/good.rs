//! Servers that are right: floe, coturn and the `turn` crate's.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_static::RelayAddressGeneratorStatic;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

use crate::examination::{as_alice, check, url};
use crate::support::command::floe;
use crate::support::{ALICE, Authority, SECRET, Server};

/// A server that lets nobody reach its loopback.
fn careful() -> Server {
    Server::start(|config| {
        config.set("peers.allow", Vec::<String>::new()).set("auth.secrets", vec![SECRET]);
    })
}

#[test]
fn every_step_is_right_over_udp_and_tcp() {
    let server = careful();
    for (transport, address) in [("udp", server.udp()), ("tcp", server.tcp()), ("udp", server.udp6())] {
        let examined = check(&[&url(address, transport), "--secret", SECRET]);
        examined.assert_well(&["relay-ports"]);
        let seen: Vec<&str> = examined.steps().iter().map(|(step, _)| *step).collect();
        for step in ["binding", "challenge", "login", "clock", "allocation", "permission", "channel", "echo"]
        {
            assert!(seen.contains(&step), "{step} over {transport}: {seen:?}");
        }
        assert!(examined.step("echo")["found"].as_str().unwrap().starts_with("50 of 50 packets"));
        assert_eq!(seen.contains(&"second-opinion"), transport == "udp", "{seen:?}");
        assert_eq!(seen.contains(&"packet-size"), transport == "udp", "{seen:?}");
        assert_eq!(seen.last(), Some(&"deletion"));
    }
    server.expect_metric("floe_allocations", &[], 0.0);
}

#[test]
fn over_tls_the_certificate_is_told_of() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("peers.allow", Vec::<String>::new());
    });
    let address = format!("turns:{}", server.all("tls")[0]);
    let ca = authority.ca();
    // For a year or so: rcgen's certificates last for ever.
    let examined = check(&as_alice(&[&address, "--ca", ca.to_str().unwrap(), "--strict"]));
    examined.assert_well(&["relay-ports"]);
    let found = examined.step("certificate")["found"].as_str().unwrap();
    for part in ["turn.tests.example", "127.0.0.1", "CN=tests", "TLSv1", "ALPN stun.turn"] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn over_dtls_every_step_is_right_and_another_name_is_not() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0"]).set("peers.allow", Vec::<String>::new());
    });
    let port = server.all("dtls")[0].port();
    let ca = authority.ca();
    let examine = |host: &str| {
        let address = format!("turns:{host}:{port}?transport=udp");
        check(&as_alice(&[&address, "--ca", ca.to_str().unwrap()]))
    };
    let examined = examine("127.0.0.1");
    examined.assert_well(&["relay-ports"]);
    assert_eq!(examined.step("echo")["at"], format!("dtls 127.0.0.1:{port}"));
    examine("localhost").assert_failed("certificate", "certificate-name", &["localhost"]);
}

/// `floe check` alone, where this server is the one that runs.
fn of_the_running(server: &Server) -> (Option<i32>, String) {
    let mut command = floe();
    command.arg("check").env("FLOE_STATE_DIRECTORY", server.directory());
    let output = command.stdin(Stdio::null()).output().expect("floe runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn the_running_server_needs_no_url_and_no_password() {
    let server = Server::start(|config| {
        config.secret_only().set("peers.allow", Vec::<String>::new());
    });
    let (status, said) = of_the_running(&server);
    assert_eq!(status, Some(0), "{said}");
    for listener in [server.udp(), server.udp6()] {
        assert!(said.contains(&format!("udp {listener}\n")), "{said}");
    }
    assert!(said.contains(&format!("tcp {}\n", server.tcp())) && said.contains("\nall is well;"), "{said}");
    assert!(!said.contains("FAILED") && !said.contains("warning"), "{said}");
}

#[test]
fn a_draining_server_gives_no_login() {
    let server = Server::start(|config| _ = config.secret_only());
    assert_eq!(server.api("POST", "/api/drain").0, 200);
    let (_, said) = of_the_running(&server);
    assert!(said.contains("draining") && !said.contains("--secret"), "{said}");
}

#[test]
fn of_a_stun_server_no_relay_is_asked() {
    let server = Server::start(|_| {});
    let examined = check(&[&format!("stun:{}", server.udp()), "--transport", "udp"]);
    assert_eq!(examined.steps(), [("addresses", "ok"), ("binding", "ok")]);
    assert_eq!(examined.status, Some(0));
}

#[test]
fn without_credentials_the_rest_is_not_checked() {
    let server = Server::start(|_| {});
    let examined = check(&[&url(server.udp(), "udp")]);
    assert_eq!(examined.status, Some(0), "{examined:#?}");
    assert_eq!(examined.step("login")["status"], "skipped");
    assert_eq!(examined.report["verdict"], "all is well; 1 not checked");
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    for arguments in [
        &["http://127.0.0.1"][..],
        &["turn:127.0.0.1:3478", "--username", "alice"],
        &["turn:127.0.0.1:3478", "--password", "word"],
        &["turns:127.0.0.1", "--transport", "udp"],
        &["turn:127.0.0.1:3478", "--transport", "quic"],
    ] {
        let examined = check(arguments);
        assert_eq!(examined.status, Some(2), "{arguments:?}: {examined:#?}");
        assert!(examined.complained.starts_with("floe: "), "{examined:#?}");
    }
}

struct Users(Vec<u8>);

impl AuthHandler for Users {
    fn auth_handle(&self, username: &str, _: &str, _: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        if username == ALICE.name { Ok(self.0.clone()) } else { Err(turn::Error::ErrFakeErr) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_crates_server_works_and_lets_everybody_reach_everything() {
    let conn = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = url(conn.local_addr().unwrap(), "udp");
    let relays = RelayAddressGeneratorStatic {
        relay_address: Ipv4Addr::LOCALHOST.into(),
        address: "127.0.0.1".to_owned(),
        net: Arc::new(Net::new(None)),
    };
    let realm = "tests.example".to_owned();
    let server = turn::server::Server::new(ServerConfig {
        conn_configs: vec![ConnConfig { conn, relay_addr_generator: Box::new(relays) }],
        auth_handler: Arc::new(Users(generate_auth_key(ALICE.name, &realm, ALICE.password))),
        realm,
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    });
    let server = server.await.unwrap();
    let examine =
        move |password: &'static str| check(&[&address, "--username", ALICE.name, "--password", password]);
    let (examined, refused) =
        tokio::task::spawn_blocking(move || (examine(ALICE.password), examine("wrong"))).await.unwrap();
    for step in ["allocation", "permission", "channel", "echo", "second-opinion"] {
        assert_eq!(examined.step(step)["status"], "ok", "{examined:#?}");
    }
    examined.assert_warned("peer-filter", "open-peer-filter", &["169.254.169.254 (cloud metadata)"]);
    refused.assert_failed("login", "wrong-password", &["400"]);
    server.close().await.unwrap();
}
