use rustix::event::PollFlags;

use super::super::testing::*;
use super::super::{BATCH, Options, Received};
use super::*;

/// All were sent.
fn assert_sent(sent: &Sent, count: usize) {
    assert_eq!((sent.sent, sent.refused), (count, 0), "{sent:?}");
    assert!(sent.last_error.is_none());
}

/// One was refused for this reason, the others were sent.
fn assert_one_refused(sent: &Sent, count: usize, errno: i32) {
    assert_eq!((sent.sent, sent.refused), (count - 1, 1), "{sent:?}");
    assert_eq!(sent.last_error.as_ref().unwrap().raw_os_error(), Some(errno));
}

#[test]
fn nothing_to_send_is_nothing_sent() {
    assert_sent(&ours(V4, &Options::default()).0.send(&[]), 0);
}

#[test]
fn parts_arrive_as_one_packet() {
    for address in [V4, V6] {
        let (socket, from) = ours(address, &Options::default());
        let (peer, to) = theirs(address);
        let three: [&[u8]; 3] = [b"head", b"payload", b"\0\0\0"];
        let gaps: [&[u8]; 3] = [b"", b"middle", b""];
        let ends: [&[u8]; 3] = [b"first", b"", b"last"];
        let packets = [three, gaps, ends].map(|parts| Datagram { to, from: None, parts });
        assert_sent(&socket.send(&packets), 3);
        for packet in packets {
            assert_eq!(next(&peer), (packet.parts.concat(), from));
        }
    }
}

#[test]
fn empty_and_greatest_datagrams_arrive_whole() {
    for (address, greatest) in [(V4, 65_507), (V6, 65_527)] {
        let (socket, from) = ours(address, &Options::default());
        let (peer, to) = theirs(address);
        let bytes: Vec<u8> = (0..greatest).map(|i| (i % 251) as u8).collect();
        let (head, rest) = bytes.split_at(36);
        let packets = [
            datagram(to, b""),
            Datagram { to, from: None, parts: [head, rest, b""] },
            datagram(to, b""),
            datagram(to, b"x"),
        ];
        assert_sent(&socket.send(&packets), 4);
        for packet in packets {
            let (got, sender) = next(&peer);
            assert!(got == packet.parts.concat() && sender == from, "{} bytes over {address}", got.len());
        }
    }
}

#[test]
fn more_than_a_batch_goes_out_in_order() {
    let (socket, _) = ours(V4, &Options::default());
    let (one, one_address) = theirs(V4);
    let (two, two_address) = theirs(V4);
    let numbers: Vec<[u8; 4]> = (0..2 * BATCH as u32 + 3).map(u32::to_be_bytes).collect();
    let to = |i: usize| if i.is_multiple_of(2) { one_address } else { two_address };
    let packets: Vec<_> = numbers.iter().enumerate().map(|(i, bytes)| datagram(to(i), bytes)).collect();
    assert_sent(&socket.send(&packets), packets.len());
    for (i, number) in numbers.iter().enumerate() {
        let peer = if i.is_multiple_of(2) { &one } else { &two };
        assert_eq!(next(peer).0, number);
    }
}

#[test]
fn a_reply_leaves_from_the_address_asked() {
    for (wildcard, client, asked) in
        [("0.0.0.0:0", V4, "127.0.0.2"), ("0.0.0.0:0", "127.0.0.5:0", "127.0.0.4"), ("[::]:0", V6, "::1")]
    {
        let asked: IpAddr = asked.parse().unwrap();
        let options = Options { packet_info: true, ..Options::default() };
        let (socket, bound) = ours(wildcard, &options);
        let (client, _) = theirs(client);
        client.send_to(b"ping", (asked, bound.port())).unwrap();

        let mut batch = Received::new();
        wait(&socket);
        assert_eq!(socket.recv(&mut batch).unwrap(), 1);
        let meta = batch.meta(0);
        let reply = Datagram { to: meta.from, from: meta.to, parts: [b"re: ", batch.bytes(0), b""] };
        assert_sent(&socket.send(&[reply]), 1);
        assert_eq!(next(&client), (b"re: ping".to_vec(), SocketAddr::new(asked, bound.port())));
    }
}

#[test]
fn each_packet_of_a_batch_has_its_own_source() {
    let (socket, bound) = ours("0.0.0.0:0", &Options::default());
    let (peer, to) = theirs(V4);
    let sources = ["127.0.0.2", "127.0.0.3", "127.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
    let mut packets = sources.map(|from| Datagram { to, from: Some(from), parts: [b"x", b"", b""] }).to_vec();
    packets.push(datagram(to, b"y"));
    assert_sent(&socket.send(&packets), 4);
    for from in sources {
        assert_eq!(next(&peer), (b"x".to_vec(), SocketAddr::new(from, bound.port())));
    }
    assert_eq!(next(&peer).1.ip(), to.ip());
}

#[test]
fn a_packet_too_large_does_not_hold_up_the_others() {
    let large = [0u8; 65_508];
    for position in [0, 1, 2, BATCH - 1, BATCH, BATCH + 1] {
        let (socket, _) = ours(V4, &Options::default());
        let (peer, to) = theirs(V4);
        let numbers: Vec<[u8; 4]> = (0..BATCH as u32 + 2).map(u32::to_be_bytes).collect();
        let mut packets: Vec<_> = numbers.iter().map(|bytes| datagram(to, bytes)).collect();
        packets[position] = datagram(to, &large);
        assert_one_refused(&socket.send(&packets), packets.len(), libc::EMSGSIZE);
        for (i, number) in numbers.iter().enumerate() {
            if i != position {
                assert_eq!(next(&peer).0, number);
            }
        }
    }
}

#[test]
fn packets_that_cannot_be_sent_are_passed_over() {
    let (socket, _) = ours("0.0.0.0:0", &Options::default());
    let (peer, to) = theirs(V4);
    let elsewhere: IpAddr = "192.0.2.77".parse().unwrap();
    let refused = [
        ("port 0", datagram("127.0.0.1:0".parse().unwrap(), b"x"), libc::EINVAL),
        ("broadcast", datagram("255.255.255.255:9".parse().unwrap(), b"x"), libc::EACCES),
        ("other family", datagram("[::1]:9".parse().unwrap(), b"x"), libc::EAFNOSUPPORT),
        ("foreign source", Datagram { to, from: Some(elsewhere), parts: [b"x", b"", b""] }, libc::EINVAL),
    ];
    for (what, packet, errno) in refused {
        let sent = socket.send(&[datagram(to, b"before"), packet, datagram(to, b"after")]);
        assert_eq!(sent.sent, 2, "{what}: {sent:?}");
        let error = sent.last_error.and_then(|error| error.raw_os_error());
        // Without a route to anywhere a broadcast fails for that reason first.
        assert!(error == Some(errno) || error == Some(libc::ENETUNREACH), "{what}: {error:?}");
        assert_eq!(next(&peer).0, b"before");
        assert_eq!(next(&peer).0, b"after");
    }
    let all: Vec<_> = refused.iter().map(|(_, packet, _)| *packet).collect();
    let sent = socket.send(&all);
    assert_eq!((sent.sent, sent.refused), (0, refused.len()));
}

#[test]
fn an_ipv6_socket_carries_no_ipv4() {
    let (socket, _) = ours("[::]:0", &Options::default());
    let (_peer, to) = theirs(V4);
    let sent = socket.send(&[datagram(to, b"x")]);
    assert_eq!((sent.sent, sent.refused), (0, 1));
}

#[test]
fn an_error_pending_on_the_socket_costs_no_packet() {
    let (socket, _) = ours(V4, &Options::default());
    let (gone, closed) = theirs("127.0.0.31:0");
    drop(gone);
    // The kernel reports ICMP to connected sockets only, unless it is asked.
    rustix::net::connect(&socket, &closed).unwrap();
    assert_sent(&socket.send(&[datagram(closed, b"anyone?")]), 1);
    assert!(wait(&socket).contains(PollFlags::ERR));

    let (peer, to) = theirs(V4);
    assert_sent(&socket.send(&[datagram(to, b"one"), datagram(to, b"two")]), 2);
    assert_eq!(next(&peer).0, b"one");
    assert_eq!(next(&peer).0, b"two");
}

/// Sends packets of these sizes and says how many calls were refused.
fn send_all(outbox: &mut Outbox, socket: &Socket, to: SocketAddr, packets: &[Vec<u8>]) -> usize {
    let mut batch = outbox.batch();
    for packet in packets {
        let (head, rest) = packet.split_at(packet.len().min(4));
        batch.push(socket, 7, false, &Datagram { to, from: None, parts: [head, rest, b""] });
    }
    let mut count = 0;
    batch.send(|refused| {
        assert_eq!(refused.label, 7);
        count += refused.packets;
    });
    count
}

fn packets(sizes: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    sizes.into_iter().enumerate().map(|(i, size)| vec![i as u8; size]).collect()
}

#[test]
fn joined_or_not_each_packet_arrives_as_it_was() {
    let limit = segments::limit();
    let rows: [Vec<usize>; 9] = [
        vec![100; 8],
        vec![1; limit + 3],
        vec![1200, 1200, 5, 1200, 1200, 1300, 1],
        vec![0, 0, 3, 0, 3, 3, 0],
        vec![1472; 60],
        vec![32_753, 32_753, 32_753],
        vec![65_507, 65_507],
        vec![30_000, 30_000, 30_000],
        vec![9],
    ];
    for address in [V4, V6] {
        let (socket, from) = ours(address, &Options::default());
        let (peer, to) = theirs(address);
        for segments in [1, 2, limit] {
            let mut outbox = Outbox::joining(segments);
            for sizes in &rows {
                let packets = packets(sizes.iter().copied());
                assert_eq!(send_all(&mut outbox, &socket, to, &packets), 0, "{sizes:?}");
                for packet in &packets {
                    assert!(next(&peer) == (packet.clone(), from), "{segments} {address} {sizes:?}");
                }
            }
        }
    }
}

#[test]
fn destinations_sources_and_sockets_are_not_mixed_up() {
    let (one, one_bound) = ours("0.0.0.0:0", &Options::default());
    let (two, two_bound) = ours("0.0.0.0:0", &Options::default());
    let peers = [theirs(V4), theirs(V4)];
    let froms = [None, Some("127.0.0.8".parse::<IpAddr>().unwrap()), Some("127.0.0.9".parse().unwrap())];
    let mut outbox = Outbox::new();
    let mut batch = outbox.batch();
    let mut expected = [Vec::new(), Vec::new()];
    // Each way twice in a row, so that they could be joined.
    for n in 0..24_u8 {
        let way = usize::from(n / 2);
        let (socket, bound) = if way % 2 == 0 { (&one, one_bound) } else { (&two, two_bound) };
        let (peer, from) = (way / 2 % 2, froms[way / 4]);
        let bytes: &'static [u8] = vec![n; 40].leak();
        batch.push(socket, 0, false, &Datagram { to: peers[peer].1, from, parts: [b"", bytes, b""] });
        let from = from.unwrap_or("127.0.0.1".parse().unwrap());
        expected[peer].push((bytes.to_vec(), SocketAddr::new(from, bound.port())));
    }
    batch.send(|refused| panic!("{refused:?}"));
    for ((peer, _), expected) in peers.iter().zip(expected) {
        let seen: Vec<_> = expected.iter().map(|_| next(peer)).collect();
        assert_eq!(seen, expected);
    }
}

#[test]
fn what_can_not_be_joined_is_sent_singly_and_that_is_remembered() {
    // The kernel refuses to cut into packets that would be fragmented, and more
    // of them than its limit.
    for address in [V4, V6] {
        let (socket, _) = ours(address, &Options::default());
        let (peer, to) = theirs(address);
        let mut outbox = Outbox::joining(1000);
        for _ in 0..3 {
            let packets = packets(vec![50; 150]);
            assert_eq!(send_all(&mut outbox, &socket, to, &packets), 0);
            for packet in &packets {
                assert_eq!(next(&peer).0, *packet);
            }
        }
        assert!(!socket.may_join(50) && socket.may_join(49));
        // Not for ever.
        assert!((0..5000).any(|_| socket.may_join(50)));
        // An interface that can't do it at all.
        socket.do_not_join(50, true);
        assert!(!socket.may_join(1));
    }
}

#[test]
fn a_joined_packet_that_is_refused_counts_as_many() {
    let (socket, _) = ours(V4, &Options::default());
    let (peer, to) = theirs(V4);
    let mut outbox = Outbox::new();
    let mut batch = outbox.batch();
    let nowhere = "127.0.0.1:0".parse().unwrap();
    for (label, to) in [(1, to), (2, nowhere), (1, to)] {
        for _ in 0..5 {
            batch.push(&socket, label, false, &datagram(to, b"bytes"));
        }
    }
    let mut lost = Vec::new();
    batch.send(|refused| lost.push((refused.label, refused.packets, refused.bytes)));
    let total = lost.iter().fold((0, 0), |sum, lost| (sum.0 + lost.1, sum.1 + lost.2));
    assert_eq!(total, (5, 25), "{lost:?}");
    assert!(lost.iter().all(|(label, ..)| *label == 2));
    for _ in 0..10 {
        assert_eq!(next(&peer).0, b"bytes");
    }
}

#[test]
fn a_batch_that_is_given_up_sends_nothing() {
    let (socket, _) = ours(V4, &Options::default());
    let (peer, to) = theirs(V4);
    let mut outbox = Outbox::new();
    outbox.batch().push(&socket, 0, false, &datagram(to, b"given up"));
    let mut forgotten = outbox.batch();
    forgotten.push(&socket, 0, false, &datagram(to, b"forgotten"));
    std::mem::forget(forgotten);
    assert_eq!(send_all(&mut outbox, &socket, to, &packets([3])), 0);
    assert_eq!(next(&peer).0, [0, 0, 0]);
}
