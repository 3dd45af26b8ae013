//! The task that takes in what other shards' engines routed here.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ring::{Crossed, Crossing, Receiver};
use super::thread::Common;
use super::udp::BATCH;
use crate::relay::{ClientPath, ShardId};

/// Serves the rings of all other shards; `wake` tells that one was written to.
pub(super) async fn serve(
    common: Rc<Common>,
    mut rings: Vec<(ShardId, Receiver)>,
    wake: Arc<Notify>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut packets = Vec::with_capacity(BATCH);
    loop {
        wake.notified().await;
        loop {
            let mut more = false;
            for (from, ring) in &mut rings {
                more |= read_batch(&common, *from, ring, &mut buffer, &mut packets);
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Takes one batch out of a ring; false when the ring is empty.
fn read_batch(
    common: &Common,
    writer: ShardId,
    ring: &mut Receiver,
    buffer: &mut Vec<u8>,
    packets: &mut Vec<Crossed>,
) -> bool {
    buffer.clear();
    packets.clear();
    packets.extend(std::iter::from_fn(|| ring.pop(buffer)).take(BATCH));
    if packets.is_empty() {
        return false;
    }
    let shard = &mut *common.shard.borrow_mut();
    let now = shard.clock.now();
    for at in 0..packets.len() {
        let Crossed { what, ref payload } = packets[at];
        let bytes = &mut buffer[payload.clone()];
        let effects = match what {
            Crossing::Relayed { to, from } => shard.crossed(now, to, from, at, bytes),
            Crossing::FromClient(link, five_tuple) => {
                shard.passed(now, ClientPath { link, five_tuple, via: Some(writer) }, at, bytes)
            }
            Crossing::Returned(link, five_tuple) => {
                shard.returned(now, writer, ClientPath::new(link, five_tuple), at, bytes)
            }
            Crossing::ToClient(link, client) => shard.for_session(writer, link, client, at, payload.len()),
            Crossing::Gone(link, five_tuple) => {
                shard.gone(now, ClientPath { link, five_tuple, via: Some(writer) })
            }
            Crossing::Owned(client) => shard.owned_elsewhere(now, client, writer, true),
            Crossing::Disowned(client) => shard.owned_elsewhere(now, client, writer, false),
        };
        if effects {
            shard.settle(now, |packet| &buffer[packets[packet].payload.clone()]);
        }
    }
    shard.flush(now, |packet| &buffer[packets[packet].payload.clone()]);
    packets.len() == BATCH
}
