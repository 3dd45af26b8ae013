//! TURN over DTLS (RFC 7350).

use std::net::SocketAddr;

use floe::wire::{AttributeType, Method};
use openssl::ssl::SslVersion;

use crate::one_port::side_by_side;
use crate::support::authority::{HOST, text};
use crate::support::dtls::{Session, socket, until_done};
use crate::support::{ALICE, Authority, Client, Config, Peer, Request, Server, own_address};
use crate::tls::whole_call;

/// A server of this configuration listens for DTLS on free ports.
pub(crate) fn secure(authority: &Authority, config: &mut Config) {
    authority.secure(config);
    config.set("listen.dtls", vec!["127.0.0.1:0", "[::1]:0"]);
}

pub(crate) fn server(authority: &Authority) -> Server {
    Server::start(|config| secure(authority, config))
}

// B-001 E-034
#[test]
fn an_allocation_relays_from_its_first_request_to_its_last() {
    let authority = Authority::new();
    let server = server(&authority);
    for address in server.all("dtls") {
        whole_call(authority.over_dtls(address));
    }
    server.expect_metric("floe_allocations_opened_total", &["transport=\"dtls\""], 2.0);
    server.expect_metric("floe_tls_handshakes_total", &["transport=\"dtls\"", "outcome=\"done\""], 2.0);
    server.expect_some("floe_client_bytes_total", &["transport=\"dtls\"", "direction=\"out\""]);
    server.logs("\"transport\":\"dtls\"");
}

//
#[test]
fn one_address_serves_both() {
    let authority = Authority::new();
    let address = SocketAddr::new(own_address().into(), 3478);
    let server = Server::start(|config| {
        secure(&authority, config);
        config.set("listen.udp", vec![address.to_string()]).set("listen.dtls", vec![address.to_string()]);
    });
    assert_eq!((server.all("udp"), server.all("dtls")), (vec![address], vec![address]));
    let plain = Client::udp_from([127, 0, 0, 1].into(), address);
    side_by_side(&server, [(plain, "udp"), (authority.over_dtls(address), "dtls")]);
}

// E-038
#[test]
fn plaintext_on_a_port_of_dtls_alone_gets_no_byte() {
    let authority = Authority::new();
    let server = server(&authority);
    let plain = socket(server.all("dtls")[0]);
    plain.send(&Request::binding().bytes()).unwrap();
    server.expect_metric("floe_dropped_packets_total", &["not_dtls"], 1.0);
    plain.set_nonblocking(true).unwrap();
    assert!(plain.recv(&mut [0; 64]).is_err());
    // Nor has a port without it anything to say to a hello.
    Client::udp(&server).expect_silence(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

//
#[test]
fn a_request_of_rfc_3489_gets_500() {
    let authority = Authority::new();
    for classic in [false, true] {
        let server = Server::start(|config| {
            secure(&authority, config);
            config.set("stun.classic", classic);
        });
        let mut client = authority.over_dtls(server.all("dtls")[0]);
        let request = [&[0, 1, 0, 0][..], &[7; 16]].concat();
        client.send(&request);
        let answer = client.receive();
        assert_eq!((&answer[..2], &answer[4..20]), (&[1, 0x11][..], &[7; 16][..]));
        // ERROR-CODE, with class 5 and number 0.
        assert_eq!((&answer[20..22], &answer[26..28]), (&[0, 9][..], &[5, 0][..]));
        // An indication is no request.
        client.expect_silence(&[&[0, 0x11, 0, 0][..], &[7; 16]].concat());
    }
}

// C-002
#[test]
fn tcp_is_not_relayed_over_dtls() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        secure(&authority, config);
        config.set("relay.tcp", true);
    });
    let mut client = authority.over_dtls(server.all("dtls")[0]).user(ALICE);
    let tcp = Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    assert_eq!(client.call(tcp).code(), 400);
    client.allocate();
}

// RFC 7350 §3: a message has a record to itself.
#[test]
fn the_largest_message_is_that_of_a_record() {
    let authority = Authority::new();
    let server = server(&authority);
    let mut client = authority.over_dtls(server.all("dtls")[0]).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    let largest = vec![7; (1 << 14) - 4];
    client.send_channel(0x4000, &largest);
    peer.expect(&largest, relayed);
    peer.send(relayed, &[7; (1 << 14) - 3]);
    peer.send(relayed, &largest);
    client.expect_channel(0x4000, &largest);
    server.expect_metric("floe_dropped_packets_total", &["too_large"], 1.0);
}

// E-030
#[test]
fn alpn_is_as_over_tls() {
    let authority = Authority::new();
    let server = server(&authority);
    let offers: [(&[u8], Option<&[u8]>); 4] = [
        (b"\x09stun.turn", Some(b"stun.turn")),
        (b"\x02h2\x12stun.nat-discovery", Some(b"stun.nat-discovery")),
        (b"", None),
        (b"\x02h2", None),
    ];
    for (offered, chosen) in offers {
        let shaken = authority.dtls_handshake(socket(server.all("dtls")[0]), |context, _| {
            if !offered.is_empty() {
                context.set_alpn_protos(offered).unwrap();
            }
        });
        if offered == b"\x02h2" {
            let error = shaken.unwrap_err().to_string();
            assert!(error.contains("no application protocol"), "{error}");
            continue;
        }
        let session = shaken.unwrap();
        assert_eq!(session.ssl().selected_alpn_protocol(), chosen);
        Client::over_dtls(session).ping();
    }
}

/// 1.0 is refused, and so is all that has no forward secrecy.
// E-032
#[test]
fn what_is_old_or_weak_is_refused() {
    let authority = Authority::new();
    let server = server(&authority);
    let refused = |version, ciphers: &str| {
        let shaken = authority.dtls_handshake(socket(server.all("dtls")[0]), |context, _| {
            context.set_min_proto_version(Some(version)).unwrap();
            context.set_max_proto_version(Some(version)).unwrap();
            context.set_cipher_list(ciphers).unwrap();
        });
        shaken.unwrap_err().to_string()
    };
    let error = refused(SslVersion::DTLS1, "ALL:@SECLEVEL=0");
    assert!(error.contains("alert protocol version"), "{error}");
    for weak in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "aNULL", "DHE+AESGCM"] {
        let error = refused(SslVersion::DTLS1_2, &format!("{weak}:@SECLEVEL=0"));
        assert!(error.contains("alert handshake failure"), "{weak}: {error}");
    }
    server.expect_metric("floe_dtls_sessions", &[], 0.0);
}

fn shown(session: &Session) -> Vec<u8> {
    session.ssl().peer_certificate().unwrap().to_der().unwrap()
}

// E-032 Q-16
#[test]
fn certificates_are_chosen_by_name_and_read_again() {
    let authority = Authority::new();
    let (certificate, private_key) = authority.issue("more", &["other.tests.example"]);
    let server = Server::start(|config| {
        secure(&authority, config);
        let pair = [("certificate", text(&certificate)), ("private-key", text(&private_key))];
        let pair = toml::Table::from_iter(pair.map(|(key, path)| (key.to_owned(), path.into())));
        config.set("tls.certificates", vec![toml::Value::from(pair)]);
    });
    let address = server.all("dtls")[0];
    let asking_for = |name| {
        let socket = socket(address);
        shown(&authority.dtls_handshake(socket, |_, host| *host = name).unwrap())
    };
    let (default, more) = (asking_for(Some(HOST)), asking_for(Some("other.tests.example")));
    assert_ne!(default, more);
    assert_eq!(asking_for(None), default);

    let mut client = authority.over_dtls(address).user(ALICE);
    let relayed = client.allocate();
    authority.issue("server", &[HOST]);
    server.wait_until("the new one is shown", || asking_for(Some(HOST)) != default);
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
}

// E-031 E-032
#[test]
fn the_suite_of_the_rfc_works_with_an_rsa_certificate() {
    let (authority, mut has_rsa) = (Authority::new(), false);
    let server = Server::start(|config| {
        secure(&authority, config);
        has_rsa = authority.issue_rsa();
    });
    if !has_rsa {
        return;
    }
    let session = authority.dtls_handshake(socket(server.all("dtls")[0]), |context, _| {
        context.set_cipher_list("ECDHE-RSA-AES128-GCM-SHA256").unwrap();
    });
    Client::over_dtls(session.unwrap()).ping();
}

#[test]
fn people_are_told() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        secure(&authority, config);
        config.secret_only();
    });
    let port = server.all("dtls")[0].port();
    server.logs(&format!("turns:{HOST}:{port}?transport=udp"));
    let (status, log) = Server::refused(|config| _ = config.set("listen.dtls", vec!["127.0.0.1:0"]));
    assert_eq!(status, Some(2));
    assert!(log.contains("listen.dtls: needs a certificate"), "{log}");
}

/// A server that ends says so to everyone.
#[test]
fn the_end_is_told() {
    let authority = Authority::new();
    let server = server(&authority);
    let mut session = authority.dtls(server.all("dtls")[0]);
    server.expect_metric("floe_dtls_sessions", &[], 1.0);
    server.stop();
    let error = until_done(|| session.ssl_read(&mut [0; 64])).unwrap_err();
    assert_eq!(error.code(), openssl::ssl::ErrorCode::ZERO_RETURN);
}
