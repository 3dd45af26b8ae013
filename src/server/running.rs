//! A server at work: what it tells, and how it is stopped.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Access;
use super::admin_room::AdminTask;
use super::reload::Reloader;
use super::steering::drain;
use crate::admin::runtime_file::RuntimeFile;
use crate::admin::{Reach, Readiness, Reloaded};
use crate::net;
use crate::relay::Transport;
use crate::relay::counters::Counter;

/// A server at work, until [`Running::stop`]: to drop it stops nothing.
pub struct Running {
    pub(super) net: net::Handle,
    pub(super) ended: watch::Receiver<Option<Result<(), String>>>,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) admin: Option<AdminTask>,
    pub(super) relays: Vec<(IpAddr, IpAddr)>,
    pub(super) found: Vec<String>,
    pub(super) reach: Arc<Reach>,
    pub(super) access: Access,
    pub(super) warnings: Vec<String>,
    pub(super) token: String,
    pub(super) reloader: Arc<Reloader>,
    /// Removed when this is dropped.
    pub(super) _runtime_file: Option<RuntimeFile>,
    /// Ended when this is dropped.
    pub(super) _acme: Option<JoinSet<()>>,
    /// Likewise.
    pub(super) _public_address: Option<JoinSet<()>>,
}

impl Running {
    /// Every listener with its real port, as it was started.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.reach.listeners
    }

    /// Relay addresses as `(local, advertised)`.
    pub fn relays(&self) -> &[(IpAddr, IpAddr)] {
        &self.relays
    }

    /// Public addresses that were found out, and by whom; lines for people.
    pub fn found(&self) -> &[String] {
        &self.found
    }

    /// `stun:` and `turn:` URLs as clients reach the server, likewise.
    pub fn urls(&self) -> &[String] {
        &self.reach.urls
    }

    /// How clients log in.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// URL of the admin server, if there is one.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_ref().map(|admin| admin.url.as_str())
    }

    /// URL of the web page, with the run's token in its fragment, if there is one.
    pub fn page(&self) -> Option<String> {
        self.admin
            .as_ref()
            .filter(|admin| admin.page)
            .map(|admin| format!("{}/#token={}", admin.url, self.token))
    }

    /// The run's token for the admin server.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the operator should know; lines for people.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until a part has failed, and says how. Never ends while all is well.
    pub async fn failure(&self) -> String {
        let mut ended = self.ended.clone();
        let failed = ended.wait_for(|ended| matches!(ended, Some(Err(_)))).await;
        match failed.as_deref() {
            Ok(Some(Err(text))) => text.clone(),
            // Stopped without a failure: there is none to come.
            _ => std::future::pending().await,
        }
    }

    /// Reads the configuration again and puts in force what can change; an error has
    /// changed nothing. Both are in the log.
    pub async fn reload(&self) -> Result<Reloaded, String> {
        self.reloader.reload().await
    }

    /// Reads the files of the certificates again; what can't be used leaves what was
    /// there. Both are in the log.
    pub async fn reload_certificates(&self) -> Result<Vec<String>, String> {
        self.reloader.reload_certificates().await
    }

    /// How long a drain may take, as configured now.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.reloader.drain_timeout.load(Relaxed).into())
    }

    /// From now on no new allocations; live ones go on.
    pub async fn drain(&self) {
        drain(&self.net, &self.readiness).await;
    }

    /// Live allocations.
    pub fn allocations(&self) -> u64 {
        let shards = self.net.counters().iter();
        shards.flat_map(|counters| &counters.allocations).map(Counter::get).sum()
    }

    /// Waits until no allocation is left.
    pub async fn idle(&self) {
        self.net.drained().await;
    }

    /// Ends every allocation, the shards, and then the admin room.
    pub async fn stop(&mut self) {
        self.readiness.send_replace(Readiness::Draining);
        self.net.stop().await;
        // An error here means that nobody is left to wait for.
        let _ = self.ended.wait_for(Option::is_some).await;
        if let Some(admin) = self.admin.take() {
            admin.stop.send_replace(true);
            let _ = admin.task.await;
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("net", &self.net).field("admin", &self.admin).finish_non_exhaustive()
    }
}

/// Tells how the shards ended, to any number of listeners.
pub(super) fn watch_end(mut running: net::Running) -> watch::Receiver<Option<Result<(), String>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let result = running.ended().await.map_err(|failed| failed.to_string());
        sender.send_replace(Some(result));
    });
    receiver
}
