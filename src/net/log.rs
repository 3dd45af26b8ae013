//! The lines that the log has of each allocation: one when it is opened, moved or
//! closed, one for each data connection, none for a packet. Written by `shard`.

use crate::relay::{
    AllocationId, AllocationSummary, ClientPath, CloseReason, ConnectionId, FiveTuple, Origin, PeerAddr,
    ShardId,
};

/// A line about an allocation: which it is, then fields of its own.
macro_rules! line {
    ($shard:ident, $summary:ident, $($own:tt)+) => {
        tracing::info!(
            target: "floe::allocation",
            id = %format_args!("{}-{}", $shard.0, $summary.id),
            user = &*$summary.username,
            client = %$summary.five_tuple.client,
            server = %$summary.five_tuple.server,
            transport = $summary.five_tuple.transport.name(),
            relays = %Relayed($summary),
            $($own)+
        )
    };
}

/// An allocation was made.
pub(super) fn opened(shard: ShardId, summary: &AllocationSummary) {
    line!(shard, summary, "opened");
}

/// An allocation has gone to another 5-tuple (RFC 8016).
pub(super) fn moved(shard: ShardId, from: FiveTuple, to: &AllocationSummary) {
    line!(shard, to, from_client = %from.client, from_transport = from.transport.name(), "moved");
}

/// An allocation has ended.
pub(super) fn closed(shard: ShardId, summary: &AllocationSummary, reason: CloseReason) {
    let traffic = &summary.traffic;
    line!(
        shard,
        summary,
        seconds = summary.until.since(summary.opened).as_secs(),
        up_packets = traffic.up_packets,
        up_bytes = traffic.up_bytes,
        down_packets = traffic.down_packets,
        down_bytes = traffic.down_bytes,
        reason = reason.name(),
        "closed"
    );
}

/// A data connection was bound (RFC 6062 §5.4).
pub(super) fn joined(
    shard: ShardId,
    allocation: AllocationId,
    connection: ConnectionId,
    client: &ClientPath,
    peer: PeerAddr,
    origin: Origin,
) {
    tracing::info!(
        target: "floe::allocation",
        id = %format_args!("{}-{allocation}", shard.0),
        %connection,
        client = %client.five_tuple.client,
        %peer,
        origin = origin.name(),
        "data connection opened"
    );
}

/// The relayed addresses of an allocation, with a comma between two.
struct Relayed<'a>(&'a AllocationSummary);

impl std::fmt::Display for Relayed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, relay) in self.0.relays.iter().flatten().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{relay}")?;
        }
        Ok(())
    }
}
