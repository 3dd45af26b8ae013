use std::io::ErrorKind;
use std::net::UdpSocket;

use rustix::event::PollFlags;

use super::super::testing::*;
use super::super::{BATCH, Datagram, Options, Outbox, Received, Sent};
use super::*;

const WITH_ERRORS: Options =
    Options { reuse_port: false, buffer: 0, packet_info: false, errors: true, join: false };

fn closed_port(ip: &str) -> SocketAddr {
    let (gone, closed) = theirs(ip);
    drop(gone);
    closed
}

fn nothing(result: io::Result<NetworkError>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_closed_port_is_told_with_the_peers_address() {
    for (mine, peer, origin, kind, code) in
        [(V4, "127.0.0.41:0", Origin::Icmp, 3, 3), (V6, "[::1]:0", Origin::Icmp6, 1, 4)]
    {
        let (socket, _) = ours(mine, &WITH_ERRORS);
        let closed = closed_port(peer);
        assert!(nothing(socket.recv_error()));
        assert_eq!(socket.send(&[datagram(closed, b"anyone?")]).sent, 1);
        assert!(wait(&socket).contains(PollFlags::ERR));
        let error = socket.recv_error().unwrap();
        let expected =
            NetworkError { destination: closed, origin, kind, code, info: 0, errno: libc::ECONNREFUSED };
        assert_eq!(error, expected);
        assert!(nothing(socket.recv_error()));
    }
}

#[test]
fn errors_cost_no_packet_of_another_peer() {
    let (socket, address) = ours(V4, &WITH_ERRORS);
    let (peer, open) = theirs(V4);
    let closed = closed_port("127.0.0.42:0");
    let numbers: Vec<[u8; 4]> = (0..4 * BATCH as u32).map(u32::to_be_bytes).collect();
    let to = |i: usize| if i.is_multiple_of(2) { open } else { closed };
    let packets: Vec<_> = numbers.iter().enumerate().map(|(i, bytes)| datagram(to(i), bytes)).collect();
    let sent = socket.send(&packets);
    assert_eq!((sent.sent, sent.refused), (packets.len(), 0), "{sent:?}");
    for number in numbers.iter().step_by(2) {
        assert_eq!(next(&peer).0, number);
    }
    // Nor one that comes in meanwhile, whether errors are taken or not.
    peer.send_to(b"here", address).unwrap();
    let seen = receive(&socket, &mut Received::new(), 1);
    assert_eq!(seen[0].bytes, b"here");
    let mut errors = 0;
    while let Ok(error) = socket.recv_error() {
        assert_eq!(error.destination, closed);
        errors += 1;
    }
    assert!(errors > 0);
    // The queue is empty: the next wait is for a packet alone.
    peer.send_to(b"again", address).unwrap();
    assert_eq!(wait(&socket), PollFlags::IN);
}

#[test]
fn without_asking_there_is_nothing_to_take() {
    let (socket, _) = ours(V4, &Options::default());
    socket.send(&[datagram(closed_port("127.0.0.43:0"), b"anyone?")]);
    assert!(nothing(socket.recv_error()));
}

fn send_unfragmented(socket: &Socket, packets: &[Datagram<'_>]) -> Sent {
    let mut outbox = Outbox::new();
    let mut batch = outbox.batch();
    packets.iter().for_each(|packet| batch.push(socket, 0, true, packet));
    let mut sent = Sent { sent: packets.len(), ..Sent::default() };
    batch.send(|refused| {
        sent.sent -= refused.packets;
        sent.refused += refused.packets;
    });
    sent
}

#[test]
fn what_may_not_be_fragmented_is_refused_where_it_does_not_fit() {
    for (mine, largest) in [(V4, 65_507), (V6, 65_487)] {
        let (socket, _) = ours(mine, &WITH_ERRORS);
        let (peer, to) = theirs(mine);
        // Loopback's MTU is 65,536 with the headers; over IPv6 the largest
        // datagram does not fit in one piece.
        let large = vec![7; largest];
        let sent = send_unfragmented(&socket, &[datagram(to, &large), datagram(to, b"small")]);
        assert_eq!(sent.refused, 0, "{sent:?}");
        assert_eq!((next(&peer).0.len(), next(&peer).0.len()), (largest, 5));
    }
    let (socket, _) = ours(V6, &WITH_ERRORS);
    let (peer, to): (UdpSocket, _) = theirs(V6);
    let large = vec![7; 65_500];
    let sent = send_unfragmented(&socket, &[datagram(to, &large), datagram(to, b"small")]);
    assert_eq!((sent.sent, sent.refused), (1, 1));
    assert_eq!(next(&peer).0, b"small");
    let error = socket.recv_error().unwrap();
    assert_eq!((error.origin, error.errno, error.info), (Origin::Local, libc::EMSGSIZE, 65_536));
    assert_eq!(error.destination.ip(), to.ip());
    // And the next one is fragmented again.
    assert_eq!(socket.send(&[datagram(to, &large)]).sent, 1);
    assert_eq!(next(&peer).0, large);
}
