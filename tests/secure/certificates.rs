//! Which certificate a client is shown, and what happens when its file changes.

use std::net::TcpStream;

use tokio_rustls::rustls::ALL_VERSIONS;

use crate::support::authority::{HOST, Tls, client, shown, text};
use crate::support::{ALICE, Authority, Peer, Request, Server};

fn asking_for(authority: &Authority, server: &Server, host: &str) -> std::io::Result<Tls> {
    let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
    authority.handshake(socket, host, authority.client(ALL_VERSIONS))
}

// E-032 Q-16
#[test]
fn a_name_gets_its_certificate_and_any_other_the_default() {
    let authority = Authority::new();
    let (certificate, private_key) = authority.issue("more", &["other.tests.example", "*.wild.example"]);
    let server = Server::start(|config| {
        authority.secure(config);
        let pair = [("certificate", text(&certificate)), ("private-key", text(&private_key))];
        let pair = toml::Table::from_iter(pair.map(|(key, path)| (key.to_owned(), path.into())));
        config.set("tls.certificates", vec![toml::Value::from(pair)]);
    });
    let default = shown(&asking_for(&authority, &server, HOST).unwrap());
    let more = shown(&asking_for(&authority, &server, "other.tests.example").unwrap());
    assert_ne!(default, more);
    assert_eq!(shown(&asking_for(&authority, &server, "a.wild.example").unwrap()), more);
    // An address is no server name: nothing is asked for.
    assert_eq!(shown(&asking_for(&authority, &server, "127.0.0.1").unwrap()), default);
    let error = asking_for(&authority, &server, "unknown.example").unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "shown the default's: {error}");
}

// E-032
#[test]
fn a_new_certificate_is_taken_over_while_a_session_relays() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let stream = authority.connect(server.all("tls")[0]);
    let first = shown(&stream);
    let mut client = client(stream).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);

    let now = || shown(&authority.connect(server.all("tls")[0]));
    assert_eq!(now(), first);
    authority.issue("server", &[HOST]);
    server.wait_until("the new one is shown", || now() != first);
    client.exchange(relayed, &peer);
    let second = now();

    // A certificate without its key changes nothing.
    let (foreign, _) = authority.issue("foreign", &[HOST]);
    std::fs::copy(foreign, authority.file("server.pem")).unwrap();
    server.wait_until("the mistake is logged", || server.log().contains("is not the private key"));
    assert_eq!(now(), second);
    std::fs::remove_file(authority.file("server.key")).unwrap();
    server.wait_until("so is the next", || server.log().contains("can't be read"));
    assert_eq!(now(), second);
    client.exchange(relayed, &peer);
    client.call(Request::refresh(600)).ok();

    // And it recovers.
    authority.issue("server", &[HOST]);
    server.wait_until("the third is shown", || now() != second);
    client.exchange(relayed, &peer);
}

#[test]
fn what_cannot_be_used_at_the_start_names_its_key() {
    let authority = Authority::new();
    let (_, foreign) = authority.issue("foreign", &[HOST]);
    let missing = authority.file("missing.pem");
    for (key, value, told) in [
        ("tls.private-key", text(&foreign), "tls.private-key: "),
        ("tls.certificate", text(&missing), "tls.certificate: "),
        ("tls.certificate", text(&foreign), "tls.certificate: "),
        ("tls.certificate", "", "tls.certificate: is missing"),
    ] {
        let (status, log) = Server::refused(|config| {
            authority.secure(config);
            config.set(key, value);
        });
        assert_eq!(status, Some(2), "{log}");
        assert!(log.contains(told), "{told}: {log}");
    }
    let (status, log) = Server::refused(|config| _ = config.set("listen.tls", vec!["127.0.0.1:0"]));
    assert_eq!(status, Some(2));
    assert!(log.contains("listen.tls: needs a certificate"), "{log}");
}

#[test]
fn people_and_programs_are_told() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.secret_only();
    });
    let port = server.all("tls")[0].port();
    server.logs(&format!("turns:{HOST}:{port}?transport=tcp"));
    let name = format!("name=\"{}\"", text(&authority.file("server.pem")));
    let not_after = server.metric("floe_tls_certificate_not_after_seconds", &[&name]);
    assert!(not_after > 1_700_000_000.0, "{not_after}");
}
