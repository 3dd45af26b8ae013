//! The task of one UDP listener: reads batches and hands each datagram to the
//! engine, or first to DTLS.

use std::io;
use std::rc::Rc;

use super::bind::Takes;
use super::dtls;
use super::shard::UdpListener;
use super::thread::{Common, watch};
use super::udp::{BATCH, Socket};
use crate::relay::{ClientAddr, ClientPath, DropReason, FiveTuple, Link, ServerAddr, Transport};

/// Packets read before other tasks get their turn. A batch is not cut short for it:
/// where the kernel joins packets, its last one may bring many more.
const PACKETS_A_TURN: usize = 4 * BATCH;

/// Messages read at once from a socket whose last batch was of joined packets: each
/// may be 64 of them, and a batch is to be no longer for it.
const WHEN_JOINED: usize = BATCH / 8;

/// Serves the listener that is number `link` of its shard.
pub(super) async fn serve(common: Rc<Common>, link: u32) -> io::Result<()> {
    let (socket, server, takes) = match common.shard.borrow().listeners.get(link as usize) {
        Some(UdpListener { socket, local, takes }) => {
            (watch(Rc::clone(socket))?, ServerAddr::new(*local), *takes)
        }
        None => return Ok(()),
    };
    let mut slots = BATCH;
    loop {
        let mut guard = socket.readable().await?;
        let mut taken = 0;
        while taken < PACKETS_A_TURN {
            let (packets, empty) = read_batch(&common, socket.get_ref(), slots, Link(link), server, takes);
            slots = if packets > BATCH { WHEN_JOINED } else { BATCH };
            if empty {
                guard.clear_ready();
                break;
            }
            taken += packets;
        }
        drop(guard);
        if taken >= PACKETS_A_TURN {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads and handles one batch: how many packets it brought, and whether the socket is
/// empty for certain, which a batch that is not full proves without another read.
fn read_batch(
    common: &Common,
    socket: &Socket,
    slots: usize,
    link: Link,
    server: ServerAddr,
    takes: Takes,
) -> (usize, bool) {
    let received = &mut *common.received.borrow_mut();
    received.clear();
    let empty = match socket.recv_more(received, slots) {
        Ok(empty) => empty,
        Err(error) => {
            common.shard.borrow_mut().receive_failed(&error);
            return (0, true);
        }
    };
    let shard = &mut *common.shard.borrow_mut();
    let now = shard.clock.now();
    shard.counters.kernel_drops[0].add(received.lost());
    for at in 0..received.len() {
        let (meta, bytes) = received.packet(at);
        let secured = takes.secured && dtls::is_record(bytes);
        let transport = if secured { Transport::Dtls } else { Transport::Udp };
        shard.counters.client_in[transport.index()].count(bytes.len());
        if meta.truncated {
            shard.counters.dropped(DropReason::TooLarge);
            continue;
        }
        let asked = meta.to.unwrap_or(server.ip());
        let five_tuple = FiveTuple {
            client: ClientAddr::new(meta.from),
            server: ServerAddr::new((asked, server.port()).into()),
            transport,
        };
        if secured {
            shard.dtls_datagram(now, (link.0, five_tuple), at, received);
            continue;
        }
        if !takes.plain {
            // Not even an answer: it would be noise to whoever this is.
            shard.counters.dropped(DropReason::NotDtls);
            continue;
        }
        if shard.client(now, ClientPath::new(link, five_tuple), at, bytes) {
            shard.settle(now, |packet| received.bytes(packet));
        }
    }
    shard.flush(now, |packet| received.bytes(packet));
    (received.len(), empty)
}
