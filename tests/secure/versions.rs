//! Versions and cipher suites of TLS.

use std::net::TcpStream;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, ClientConfig, ProtocolVersion, RootCertStore};

use crate::one_port::answer;
use crate::support::authority::{HOST, client};
use crate::support::{Authority, Server};

// E-031
#[test]
fn both_versions_are_spoken() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
        let stream = authority.handshake(socket, HOST, authority.client(&[version])).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(number));
        client(stream).ping();
    }
}

// TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 is the declared deviation (BCP 195).
// E-031 E-032
#[test]
fn the_suite_of_the_rfc_works_with_an_rsa_certificate() {
    let (authority, mut has_rsa) = (Authority::new(), false);
    let server = Server::start(|config| {
        authority.secure(config);
        has_rsa = authority.issue_rsa();
    });
    if !has_rsa {
        return;
    }
    let suite = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    let provider = CryptoProvider {
        cipher_suites: ring::ALL_CIPHER_SUITES.iter().copied().filter(|s| s.suite() == suite).collect(),
        ..ring::default_provider()
    };
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(authority.ca()).unwrap();
    let ca = tokio_rustls::rustls::pki_types::pem::PemObject::from_pem_slice(&ca).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
    let stream = authority.handshake(socket, HOST, config).unwrap();
    assert_eq!(stream.conn.negotiated_cipher_suite().unwrap().suite(), suite);
    client(stream).ping();
}

/// A ClientHello of TLS 1.2 and before.
fn client_hello(version: [u8; 2], suites: &[[u8; 2]]) -> Vec<u8> {
    let suites = suites.concat();
    let body = [
        &version[..],
        &[0x42; 32],
        // No session.
        &[0],
        &(suites.len() as u16).to_be_bytes(),
        &suites,
        // Compression: none, and DEFLATE, which must not be chosen.
        &[2, 1, 0],
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let handshake = [&[1], &length[1..], &body].concat();
    [&[0x16, 3, 1], &(handshake.len() as u16).to_be_bytes()[..], &handshake].concat()
}

// E-032
#[test]
fn what_is_old_or_weak_is_refused() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let old = [[0xc0, 0x13], [0xc0, 0x09], [0x00, 0x2f], [0x00, 0x0a], [0x00, 0x05]];
    let weak = [[0x00, 0x00], [0x00, 0x01], [0x00, 0x3b], [0x00, 0x08], [0x00, 0x09], [0xc0, 0x06]];
    for (version, suites) in [
        ([3, 0], &old[..]),
        ([3, 1], &old),
        ([3, 2], &old),
        // TLS 1.2 with NULL, export, DES and RC4 alone.
        ([3, 3], &weak),
        ([3, 3], &old[2..]),
    ] {
        let answer = answer(server.all("tls")[0], &client_hello(version, suites));
        assert!(answer.len() <= 7 && answer.first().is_none_or(|kind| *kind == 0x15), "{answer:02x?}");
    }
}
