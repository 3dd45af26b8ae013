use std::net::UdpSocket;

use rustix::event::PollFlags;

use super::super::testing::*;
use super::super::{Options, Outbox, segments};
use super::*;

const WITH_INFO: Options =
    Options { reuse_port: false, buffer: 0, packet_info: true, errors: false, join: false };
const JOINING: Options =
    Options { reuse_port: false, buffer: 0, packet_info: true, errors: false, join: true };

#[test]
fn nothing_to_receive_would_block() {
    for address in [V4, V6] {
        let (socket, _) = ours(address, &Options::default());
        let mut batch = Received::new();
        assert_eq!(socket.recv(&mut batch).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(batch.is_empty());
    }
}

#[test]
fn packets_come_with_their_sender() {
    for address in [V4, V6] {
        let (socket, to) = ours(address, &Options::default());
        let (one, one_address) = theirs(address);
        let (two, two_address) = theirs(address);
        one.send_to(b"one", to).unwrap();
        two.send_to(b"two", to).unwrap();
        let seen = receive(&socket, &mut Received::new(), 2);
        let expected = [(b"one", one_address), (b"two", two_address)].map(|(bytes, from)| Seen {
            bytes: bytes.to_vec(),
            from,
            to: None,
        });
        assert_eq!(seen, expected);
    }
}

#[test]
fn the_address_asked_is_learned_from_a_wildcard() {
    for (wildcard, mine, asked) in
        [("0.0.0.0:0", V4, "127.0.0.2"), ("0.0.0.0:0", V4, "127.0.0.1"), ("[::]:0", V6, "::1")]
    {
        let asked: IpAddr = asked.parse().unwrap();
        let (socket, bound) = ours(wildcard, &WITH_INFO);
        let (client, from) = theirs(mine);
        client.send_to(b"hello", (asked, bound.port())).unwrap();
        let seen = receive(&socket, &mut Received::new(), 1);
        assert_eq!(seen, [Seen { bytes: b"hello".to_vec(), from, to: Some(asked) }]);
    }
}

#[test]
fn more_than_a_batch_comes_in_several_and_in_order() {
    let (socket, to) = ours(V4, &WITH_INFO);
    let (client, from) = theirs(V4);
    let mut batch = Received::new();
    // Several times, since headers are used again.
    for round in 0..3u32 {
        let sent: Vec<u32> = (0..2 * BATCH as u32 + 3).map(|i| round * 1000 + i).collect();
        for number in &sent {
            client.send_to(&number.to_be_bytes(), to).unwrap();
        }
        let seen = receive(&socket, &mut batch, sent.len());
        for (seen, number) in seen.iter().zip(&sent) {
            let bytes = number.to_be_bytes().to_vec();
            assert_eq!(*seen, Seen { bytes, from, to: Some(to.ip()) });
        }
    }
}

#[test]
fn a_full_batch_says_so() {
    let (socket, to) = ours(V4, &Options::default());
    let (client, _) = theirs(V4);
    // Two batches at once, then counts alone, for what is left behind must
    // not be lost.
    for _ in 0..2 * BATCH {
        client.send_to(b"x", to).unwrap();
    }
    let mut batch = Received::new();
    let mut total = 0;
    while total < 2 * BATCH {
        wait(&socket);
        let count = socket.recv(&mut batch).unwrap();
        assert!((1..=BATCH).contains(&count));
        total += count;
    }
    assert_eq!(total, 2 * BATCH);
}

#[test]
fn empty_and_greatest_datagrams_arrive_whole() {
    for (address, greatest) in [(V4, 65_507), (V6, 65_527)] {
        let (socket, to) = ours(address, &Options::default());
        let (client, from) = theirs(address);
        let mut batch = Received::new();
        for length in [0, 1, greatest, 0, greatest] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            client.send_to(&bytes, to).unwrap();
            let seen = receive(&socket, &mut batch, 1);
            assert!(seen[0].bytes == bytes && seen[0].from == from, "{length} bytes over {address}");
        }
    }
}

#[test]
fn a_packet_is_changed_in_place_and_then_read() {
    let (socket, to) = ours(V4, &Options::default());
    let (client, from) = theirs(V4);
    client.send_to(b"abc", to).unwrap();
    client.send_to(b"xyz", to).unwrap();
    let mut batch = Received::new();
    let mut count = 0;
    while count < 2 {
        wait(&socket);
        // On loopback both wait already; if not, a batch of one is as good.
        let received = socket.recv(&mut batch).unwrap();
        for i in 0..received {
            let (meta, bytes) = batch.packet(i);
            assert_eq!(meta.from, from);
            bytes.reverse();
        }
        for i in 0..received {
            assert_eq!(batch.bytes(i), [b"cba", b"zyx"][count + i]);
        }
        count += received;
    }
}

#[test]
fn a_batch_may_move_and_serve_several_sockets() {
    let (four, four_address) = ours("0.0.0.0:0", &WITH_INFO);
    let (six, six_address) = ours(V6, &WITH_INFO);
    let mut batch = Received::new();
    for round in 0..10u8 {
        let mut moved = Box::new(batch);
        let (client, from) = theirs(V4);
        client.send_to(&[round; 9], ("127.0.0.3", four_address.port())).unwrap();
        let to = Some("127.0.0.3".parse().unwrap());
        assert_eq!(receive(&four, &mut moved, 1), [Seen { bytes: vec![round; 9], from, to }]);

        let (client, from) = theirs(V6);
        client.send_to(&[round], six_address).unwrap();
        let to = Some(six_address.ip());
        assert_eq!(receive(&six, &mut moved, 1), [Seen { bytes: vec![round], from, to }]);
        batch = std::thread::spawn(move || *moved).join().unwrap();
    }
}

#[test]
fn what_a_failed_call_leaves_is_an_empty_batch() {
    let (socket, to) = ours(V4, &Options::default());
    let (client, _) = theirs(V4);
    let mut batch = Received::new();
    client.send_to(b"x", to).unwrap();
    wait(&socket);
    assert_eq!(socket.recv(&mut batch).unwrap(), 1);
    assert_eq!(batch.len(), 1);
    socket.recv(&mut batch).unwrap_err();
    assert_eq!(batch.len(), 0);
}

#[test]
#[should_panic(expected = "packet 0 of 0")]
fn a_packet_that_is_not_there_is_the_callers_fault() {
    Received::new().bytes(0);
}

#[test]
fn a_closed_port_of_a_peer_is_not_an_error() {
    let (socket, to) = ours(V4, &Options::default());
    let (gone, closed) = theirs("127.0.0.21:0");
    drop(gone);
    let mut batch = Received::new();
    for _ in 0..3 {
        assert_eq!(socket.send(&[datagram(closed, b"anyone?")]).sent, 1);
        assert_eq!(socket.recv(&mut batch).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    let (client, from) = theirs(V4);
    client.send_to(b"here", to).unwrap();
    assert_eq!(receive(&socket, &mut batch, 1), [Seen { bytes: b"here".to_vec(), from, to: None }]);
}

#[test]
fn an_error_pending_on_the_socket_is_passed_over() {
    let (socket, to) = ours(V4, &Options::default());
    let (gone, closed) = theirs("127.0.0.22:0");
    drop(gone);
    // The kernel reports ICMP to connected sockets only, unless it is asked.
    rustix::net::connect(&socket, &closed).unwrap();
    let mut batch = Received::new();

    socket.send(&[datagram(closed, b"anyone?")]);
    assert!(wait(&socket).contains(PollFlags::ERR));
    assert_eq!(socket.recv(&mut batch).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    // And it does not hide the packet behind it.
    socket.send(&[datagram(closed, b"anyone?")]);
    assert!(wait(&socket).contains(PollFlags::ERR));
    let back = UdpSocket::bind(closed).unwrap();
    back.send_to(b"here", to).unwrap();
    assert_eq!(receive(&socket, &mut batch, 1), [Seen { bytes: b"here".to_vec(), from: closed, to: None }]);
}

/// Sends packets of these sizes, joined as far as the kernel lets them be.
fn send_joined(socket: &Socket, to: SocketAddr, sizes: &[usize]) -> Vec<Vec<u8>> {
    let packets: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, size)| vec![i as u8; *size]).collect();
    let mut outbox = Outbox::new();
    let mut batch = outbox.batch();
    for packet in &packets {
        batch.push(socket, 0, false, &datagram(to, packet));
    }
    batch.send(|refused| panic!("{refused:?}"));
    packets
}

#[test]
fn joined_packets_come_apart() {
    let mut joined = 0;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (socket, bound) = ours(address, &JOINING);
        let ip: IpAddr = if bound.is_ipv4() { "127.0.0.6" } else { "::1" }.parse().unwrap();
        let (sender, from) = ours(if bound.is_ipv4() { V4 } else { V6 }, &Options::default());
        let mut batch = Received::new();
        for sizes in [&[1200; 8][..], &[1; 64], &[300, 300, 7], &[5], &[0, 9, 9, 0], &[1400; 46]] {
            let packets = send_joined(&sender, SocketAddr::new(ip, bound.port()), sizes);
            wait(&socket);
            let count = socket.recv(&mut batch).unwrap();
            joined += count - (BATCH - batch.room());
            assert_eq!(count, sizes.len());
            for (i, packet) in packets.iter().enumerate() {
                let meta = batch.meta(i);
                assert_eq!((meta.from, meta.to, meta.truncated), (from, Some(ip), false));
                assert_eq!(batch.bytes(i), packet);
                assert_eq!(batch.packet(i).1, packet);
            }
        }
    }
    // What was sent as one came as one, where the kernel can.
    assert!(joined > 0 || segments::limit() == 1);
}

#[test]
fn packets_of_several_sockets_share_a_batch() {
    let sockets: Vec<_> = (0..3).map(|_| ours(V4, &JOINING)).collect();
    let (client, from) = theirs(V4);
    let mut batch = Received::new();
    let mut whose = Vec::new();
    for (at, (socket, to)) in sockets.iter().enumerate() {
        for _ in 0..=at {
            client.send_to(&[at as u8], to).unwrap();
        }
        wait(socket);
        let first = batch.len();
        assert!(socket.recv_more(&mut batch, 8).unwrap(), "fewer than asked for prove it empty");
        whose.extend((first..batch.len()).map(|_| at));
    }
    assert_eq!(whose, [0, 1, 1, 2, 2, 2]);
    assert_eq!(batch.room(), BATCH - 6);
    for (i, at) in whose.iter().enumerate() {
        assert_eq!((batch.bytes(i), batch.meta(i).from), (&[*at as u8][..], from));
    }
    batch.clear();
    assert!(batch.is_empty() && batch.room() == BATCH);
}

#[test]
fn a_share_leaves_the_rest_for_later() {
    let (socket, to) = ours(V4, &Options::default());
    let (client, _) = theirs(V4);
    for _ in 0..10 {
        client.send_to(b"x", to).unwrap();
    }
    let mut batch = Received::new();
    wait(&socket);
    assert!(!socket.recv_more(&mut batch, 4).unwrap());
    assert!(!socket.recv_more(&mut batch, 4).unwrap());
    assert!(socket.recv_more(&mut batch, 4).unwrap());
    assert_eq!(batch.len(), 10);
}

#[test]
fn what_the_socket_has_lost_is_told_once() {
    let (socket, to) = ours(V4, &Options { buffer: 4096, ..Options::default() });
    let (client, _) = theirs(V4);
    let mut batch = Received::new();
    let (mut seen, mut lost, mut sent) = (0, 0, 0);
    for _ in 0..3 {
        // On loopback a packet has arrived, or is dropped, when it is sent.
        for _ in 0..50 {
            client.send_to(&[0; 1000], to).unwrap();
            sent += 1;
        }
        while let Ok(count) = socket.recv(&mut batch) {
            seen += count;
            lost += batch.lost();
        }
    }
    // Those lost last are told with the packet behind them.
    client.send_to(b"last", to).unwrap();
    wait(&socket);
    seen += socket.recv(&mut batch).unwrap();
    lost += batch.lost();
    assert!(lost > 0);
    assert_eq!(seen + usize::try_from(lost).unwrap(), sent + 1);
    client.send_to(b"none lost since", to).unwrap();
    wait(&socket);
    socket.recv(&mut batch).unwrap();
    assert_eq!(batch.lost(), 0);
}
