//! TCP and TLS on ports of their own, and on one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::{ALICE, Authority, Client, PATIENCE, Peer, Request, Server, own_address};

/// What a server says to these bytes before it closes, in their middle perhaps.
pub(crate) fn answer(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(server).unwrap();
    let _ = socket.write_all(bytes);
    until_closed(socket)
}

/// What else a server says.
pub(crate) fn until_closed(mut socket: TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("it should be closed: {error}"),
    }
}

/// The front of a ClientHello.
const HELLO: [u8; 16] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5];

// E-038
#[test]
fn what_belongs_on_another_port_gets_no_byte() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    // Ten seconds are given, to it as to all behind it.
    let mut silent = Client::tcp(&server);
    let channel_data = [0x40, 0, 0, 4, 1, 2, 3, 4];
    for bytes in
        [&Request::binding().bytes()[..], &channel_data, b"GET / HTTP/1.1\r\n\r\n", b"PROXY UNKNOWN\r\n"]
    {
        assert_eq!(answer(server.all("tls")[0], bytes), b"");
    }
    assert_eq!(answer(server.tcp(), &HELLO), b"");
    silent.ping();
    server.expect_metric("floe_tcp_connections_refused_total", &[], 4.0);
}

/// Two clients of one address, each over its own transport.
pub(crate) fn side_by_side(server: &Server, clients: [(Client, &str); 2]) {
    let peer = Peer::new();
    let [mut one, mut other] = clients.map(|(client, transport)| {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        server.expect_metric("floe_allocations", &[&format!("transport=\"{transport}\"")], 1.0);
        (client, relayed)
    });
    for _ in 0..3 {
        for (client, relayed) in [&mut one, &mut other] {
            client.permit(peer.ip());
            client.exchange(*relayed, &peer);
        }
    }
}

//
#[test]
fn one_address_serves_both() {
    let authority = Authority::new();
    let address = SocketAddr::new(own_address().into(), 3478);
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.tcp", vec![address.to_string()]).set("listen.tls", vec![address.to_string()]);
    });
    assert_eq!((server.all("tcp"), server.all("tls")), (vec![address], vec![address]));
    side_by_side(&server, [(Client::tcp_to(address), "tcp"), (authority.over_tls(address), "tls")]);
    assert_eq!(answer(address, b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(answer(address, &[0x80; 20]), b"");
}
