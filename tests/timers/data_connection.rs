//! A connection to a peer waits thirty seconds for the client's (RFC 6062 §5.2).

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};

use floe::wire::{AttributeType, Method};

use crate::clock::{Time, Timed};
use crate::support::{ALICE, Client, PATIENCE, Request};

/// Protocol number of TCP.
const TCP: u8 = 6;

fn connect(control: &mut Client, peer: SocketAddr) -> Vec<u8> {
    let reply = control.call(Request::new(Method::CONNECT).peer(peer)).ok();
    reply.get(AttributeType::CONNECTION_ID).unwrap().to_vec()
}

fn accept(peer: &TcpListener) -> TcpStream {
    let stream = peer.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn waits_for_30_seconds(time: Time) {
    let Some(mut timed) = Timed::start(time, |config| _ = config.set("relay.tcp", true)) else { return };
    let mut control = Client::tcp(&timed.server).user(ALICE);
    let asking = Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[TCP, 0, 0, 0]);
    control.call(asking).ok();
    let peers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ids = [&peers[0], &peers[1]].map(|peer| connect(&mut control, peer.local_addr().unwrap()));
    let [_in_time, mut too_late] = [&peers[0], &peers[1]].map(accept);
    timed.begin();
    let server = timed.server.tcp();
    let bind = |id: &[u8]| {
        let request = Request::new(Method::CONNECTION_BIND).put(AttributeType::CONNECTION_ID, id);
        Client::tcp_to(server).user(ALICE).call(request).code()
    };
    timed.until(29);
    assert_eq!(bind(&ids[0]), 0);
    control.ping();
    timed.until(31);
    control.ping();
    assert_eq!(too_late.read(&mut [0; 64]).unwrap(), 0, "the peer is let go");
    assert_eq!(bind(&ids[1]), 400);
    control.ping();
}
