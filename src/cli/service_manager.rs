//! What systemd is told (sd_notify(3)): ready, reloading, stopping, still
//! alive. Without
//! systemd nothing happens. `sd-notify` rather than `libsystemd`: the same
//! messages without a journal client.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// Keeps telling that the process is alive until dropped.
#[derive(Debug)]
pub(super) struct Watchdog(Option<JoinHandle<()>>);

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Clients are served from now on. Call within a tokio runtime.
pub(super) fn ready() -> Watchdog {
    tell(&[NotifyState::Ready]);
    Watchdog(sd_notify::watchdog_enabled().map(|limit| tokio::spawn(keep_alive(limit))))
}

/// The configuration is being read again (`Type=notify-reload`). [`reloaded`] has to
/// follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the service manager can't be told"),
    }
}

/// That is over.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// No new clients are taken.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Twice within each period that systemd grants.
async fn keep_alive(limit: Duration) {
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
