//! How the admin room sees and steers live allocations. A trait, so that it
//! knows no shard and no socket: `server` implements it over `net`.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::relay::{AllocationDetail, AllocationId, AllocationSummary, Now, ShardId};

/// A running server. Every call waits for its shards, but never long: they
/// answer between two batches of packets.
pub trait Steering: Send + Sync {
    /// The clocks that the instants below are of.
    fn now(&self) -> Now;

    /// Every live allocation, by shard.
    fn sessions(&self) -> BoxFuture<'_, Vec<(ShardId, AllocationSummary)>>;

    /// One of them.
    fn session(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, Option<AllocationDetail>>;

    /// Ends one; false when it was not live.
    fn kick(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, bool>;

    /// Ends all of a user, as quotas count it or by a whole USERNAME; how many.
    fn kick_user(&self, user: Arc<str>) -> BoxFuture<'_, usize>;

    /// From now on no new allocations.
    fn drain(&self) -> BoxFuture<'_, ()>;
}
