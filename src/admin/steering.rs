//! How the admin room sees and steers live allocations. A trait, so that it
//! knows no shard and no socket: `server` implements it over `net`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::relay::{AllocationDetail, AllocationId, AllocationSummary, Now, ShardId};

/// What a reload has found, as keys of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Reloaded {
    /// In force now.
    pub changed: Vec<&'static str>,
    /// In force after a restart; until then the old value is.
    pub needs_restart: Vec<&'static str>,
    /// Files of certificates that were read.
    pub certificates: Vec<String>,
    /// What is probably not as it was meant.
    pub warnings: Vec<String>,
}

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

    /// Reads the configuration again and puts in force what can change; an error, for
    /// a person, has changed nothing.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, String>>;

    /// What is logged: a level, or a list of `target=level`.
    fn log_level(&self) -> String;

    /// Logs that from now on; an error says what is wrong with it.
    fn set_log_level(&self, directives: &str) -> Result<(), String>;
}
