//! A client over TCP that doesn't read: what is relayed to it is lost and
//! counted instead of kept, others go on, and what it reads later is whole.

use std::io::{ErrorKind, Write as _};

use floe::wire::channel_data;
use socket2::SockRef;

use crate::bystander::{Bystander, alongside};
use crate::process::Memory;
use crate::support::{ALICE, Client, Peer, Request, Server, own_address};

/// Asked for on the client's side, so that little fits into the kernels.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// 1,200 bytes each: more than the kernel's buffers and the server's 256 KiB hold.
const PACKETS: u32 = 190 * WINDOW;

/// Packets sent without looking, so few that the relay's own queue has room.
const WINDOW: u32 = 64;

/// KiB. One connection may keep 320 KiB, in a buffer of at most twice that.
const GROWTH: usize = 2 * 1024;

const CHANNEL: u16 = 0x4000;

#[test]
fn loses_relayed_packets_only() {
    let other = own_address();
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, other);
    let mut slow = Client::tcp(&server).user(ALICE);
    SockRef::from(slow.stream()).set_recv_buffer_size(RECEIVE_BUFFER).expect("SO_RCVBUF");
    let relayed = slow.allocate();
    let peer = Peer::new();
    slow.bind(CHANNEL, peer.address());

    let dropped = |reason| server.metric("floe_dropped_packets_total", &[reason]);
    // Somebody without permission, whose packet is counted when the relay has
    // read all that came before it.
    let stranger = Peer::at(&own_address().to_string());
    let memory = Memory::of(&server);
    let packet = |number: u32| [number.to_be_bytes().as_slice(), &[7; 1196]].concat();
    alongside(&mut bystanders, || {
        for number in 0..PACKETS {
            peer.send(relayed, &packet(number));
            if number % WINDOW == WINDOW - 1 {
                stranger.send(relayed, b"is it read?");
                let strange = f64::from((number + 1) / WINDOW);
                server.wait_until("the relay is read", || dropped("\"no_permission\"") == strange);
            }
        }
    });
    memory.assert_grown("a reader that does not read", GROWTH);
    let lost = dropped("\"slow_client\"");
    println!("{lost} of {PACKETS} packets were dropped");
    assert!(lost > 0.0);

    // The stream goes on at a frame's border, and each frame is a whole packet.
    let refresh = slow.login().sign(Request::refresh(600));
    slow.send(&refresh);
    let (mut got, mut last) = (0u32, None);
    loop {
        let frame = slow.receive();
        if frame[8..20] == refresh[8..20] {
            break;
        }
        let (number, range) = channel_data::parse(&frame).expect("ChannelData");
        let payload = &frame[range];
        let count = u32::from_be_bytes(payload[..4].try_into().expect("four bytes"));
        assert_eq!((number.0, payload), (CHANNEL, packet(count).as_slice()));
        assert!(last.is_none_or(|last| last < count), "in order");
        last = Some(count);
        got += 1;
    }
    assert_eq!(f64::from(got) + lost, f64::from(PACKETS), "what was not dropped has come");
    // It is as good as any other client again.
    peer.send(relayed, b"afterwards");
    slow.expect_channel(CHANNEL, b"afterwards");
}

/// Answers have a little more room than relayed packets; a client that reads not
/// even those is closed. (One without an allocation is not read from until it
/// has read: that is among the conformance tests.)
#[test]
fn is_closed_when_it_leaves_answers_unread() {
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, own_address());
    let mut client = Client::tcp(&server).user(ALICE);
    client.allocate();
    SockRef::from(client.stream()).set_recv_buffer_size(RECEIVE_BUFFER).expect("SO_RCVBUF");
    let requests = Request::binding().bytes().repeat(3000);
    let memory = Memory::of(&server);
    let (sent, _) = alongside(&mut bystanders, || {
        let mut sent = 0;
        loop {
            assert!(sent < 64 << 20, "open after {sent} bytes of requests");
            match client.stream().write_all(&requests) {
                Ok(()) => sent += requests.len(),
                Err(error) => {
                    let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                    assert!(closed.contains(&error.kind()), "{error}");
                    return sent;
                }
            }
        }
    });
    println!("closed after {sent} bytes of requests");
    memory.assert_grown("answers that nobody reads", GROWTH);
    let others = bystanders.len() as f64;
    server.expect_metric("floe_allocations", &[], others);
}
