//! The task that takes in packets which other shards' engines routed here.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ring::{Crossed, Receiver};
use super::thread::Common;
use super::udp::BATCH;

/// Serves the rings of all other shards; `wake` tells that one was written to.
pub(super) async fn serve(common: Rc<Common>, mut rings: Vec<Receiver>, wake: Arc<Notify>) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut packets = Vec::with_capacity(BATCH);
    loop {
        wake.notified().await;
        loop {
            let mut more = false;
            for ring in &mut rings {
                more |= read_batch(&common, ring, &mut buffer, &mut packets);
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
        let Crossed { to, from, ref payload } = packets[at];
        if shard.crossed(now, to, from, at, &mut buffer[payload.clone()]) {
            shard.settle(now, |packet| &buffer[packets[packet].payload.clone()]);
        }
    }
    shard.flush(now, |packet| &buffer[packets[packet].payload.clone()]);
    packets.len() == BATCH
}
