//! The PROXY protocol's headers, and what they stand for. The balancer is
//! 127.0.0.1.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use tokio_rustls::rustls::ALL_VERSIONS;

use crate::support::authority::{HOST, client};
use crate::support::{ALICE, Authority, Client, Config, Peer, Request, Server};

pub(crate) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub(crate) fn balanced(config: &mut Config) {
    config.set("listen.proxy-protocol-from", vec!["127.0.0.1/32", "::1"]);
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A connection that begins with these bytes.
pub(crate) fn begin(server: SocketAddr, header: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(header).unwrap();
    socket
}

pub(crate) fn version_1(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = if client.is_ipv4() { ("TCP4", "203.0.113.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {} {server} {} 3478\r\n", client.ip(), client.port()).into_bytes()
}

fn version_2(command: u8, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, 0x11], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

/// 192.0.2.7:12345 to 203.0.113.1:3478.
const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 203, 0, 113, 1, 0x30, 0x39, 0x0d, 0x96];

// E-050 E-052 E-053 E-055
#[test]
fn the_client_is_who_the_header_says() {
    let server = Server::start(balanced);
    let with_tlvs = [&ADDRESSES[..], &[0xee, 0, 3, 1, 2, 3, 0x04, 0, 0]].concat();
    for (header, mapped) in [
        (version_1("192.0.2.7:12345"), "192.0.2.7:12345"),
        (version_1("[2001:db8::7]:54321"), "[2001:db8::7]:54321"),
        (version_2(0x21, &ADDRESSES), "192.0.2.7:12345"),
        (version_2(0x21, &with_tlvs), "192.0.2.7:12345"),
    ] {
        let mut client = Client::over(begin(server.tcp(), &header)).user(ALICE);
        assert_eq!(client.ping().mapped(), address(mapped));
        let relayed = client.allocate();
        let peer = Peer::new();
        client.permit(peer.ip());
        client.exchange(relayed, &peer);
        client.call(Request::refresh(0)).ok();
        server.wait_until("the log names the client, and what it connected to", || {
            let log = server.log();
            log.contains(mapped) && log.contains(":3478")
        });
        drop(client);
        server.expect_metric("floe_tcp_connections", &[], 0.0);
    }
}

// E-052 E-053
#[test]
fn a_balancer_that_speaks_for_itself_is_the_client() {
    let server = Server::start(balanced);
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        version_2(0x20, &ADDRESSES),
        [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
    ] {
        let mut client = Client::over(begin(server.tcp(), &header));
        assert_eq!(client.ping().mapped(), client.local());
    }
}

// E-054
#[test]
fn a_header_may_come_in_pieces_and_with_what_follows() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        balanced(config);
    });
    for header in [version_1("192.0.2.7:12345"), version_2(0x21, &ADDRESSES)] {
        let mut socket = TcpStream::connect(server.tcp()).unwrap();
        socket.set_nodelay(true).unwrap();
        for byte in &header {
            socket.write_all(&[*byte]).unwrap();
        }
        let mut pieces = Client::over(socket);
        assert_eq!(pieces.ping().mapped(), address("192.0.2.7:12345"));
        drop(pieces);
        server.expect_metric("floe_tcp_connections", &[], 0.0);

        let request = Request::binding().bytes();
        let mut together = Client::over(begin(server.tcp(), &[&header[..], &request].concat()));
        let reply = crate::support::Reply::to(&request, together.receive()).ok();
        assert_eq!(reply.mapped(), address("192.0.2.7:12345"));
        drop(together);
        server.expect_metric("floe_tcp_connections", &[], 0.0);
    }
}

// E-050 E-054 E-055
#[test]
fn a_header_comes_before_tls_too() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        balanced(config);
    });
    for header in [version_1("192.0.2.7:12345"), version_2(0x21, &ADDRESSES)] {
        let socket = begin(server.all("tls")[0], &header);
        let stream = authority.handshake(socket, HOST, authority.client(ALL_VERSIONS)).unwrap();
        let mut client = client(stream);
        assert_eq!(client.ping().mapped(), address("192.0.2.7:12345"));
        drop(client);
        server.expect_metric("floe_tcp_connections", &[], 0.0);
    }
}

/// 6to4 and Teredo, which no client on loopback can have of itself.
// B-050
#[test]
fn a_client_behind_a_tunnel_gets_no_relay() {
    let server = Server::start(balanced);
    for (from, code) in
        [("[2002:7f00:1::1]:5000", 403), ("[2001:0:808:808::1]:5000", 403), ("[2001:db8::7]:5000", 0)]
    {
        let mut client = Client::over(begin(server.tcp(), &version_1(from))).user(ALICE);
        // `call` sees to it that the answer is signed.
        assert_eq!(client.call(Request::allocate()).code(), code, "{from}");
    }
}

// E-052 E-053
#[test]
fn what_is_malformed_is_closed() {
    let server = Server::start(balanced);
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 120], b"\r\n"].concat();
    let checksum = [&ADDRESSES[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
    for header in [
        b"PROXY TCP4 192.0.2.7 203.0.113.1 12345\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 203.0.113.1 12345 123456\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 203.0.113.1 12345 3478\r\n".to_vec(),
        long,
        version_2(0x22, &ADDRESSES),
        version_2(0x21, &ADDRESSES[..8]),
        version_2(0x21, &checksum),
        version_2(0x21, &[0; 5000]),
    ] {
        Client::over(begin(server.tcp(), &header)).expect_closed();
    }
}
