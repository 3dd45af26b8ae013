//! A server whose time can be waited for, or moved on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::command::faketime;
use crate::support::{Config, Server, server::new_directory, skip};

/// How time goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    /// By waiting.
    Real,
    /// The server's clocks are moved on.
    Moved,
    /// The server's wall clock alone is moved, either way.
    WallClock,
}

/// A server and its time.
pub(crate) struct Timed {
    pub(crate) server: Server,
    /// What libfaketime reads; `None` in real time.
    hand: Option<PathBuf>,
    start: Instant,
}

impl Timed {
    /// Starts a server. `None`, and said so, where its clock can't be moved.
    pub(crate) fn start(time: Time, change: impl FnOnce(&mut Config)) -> Option<Self> {
        if time == Time::Real {
            return Some(Self { server: Server::start(change), hand: None, start: Instant::now() });
        }
        let Some(library) = faketime() else {
            skip("faketime", "not installed (Debian: apt-get install faketime)");
            return None;
        };
        let hand = new_directory().join("clock");
        move_hand(&hand, 0.0);
        let wall_clock_alone = if time == Time::WallClock { "1" } else { "0" };
        let environment = [
            ("LD_PRELOAD", library.as_os_str()),
            ("FAKETIME_TIMESTAMP_FILE", hand.as_os_str()),
            ("FAKETIME_NO_CACHE", "1".as_ref()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", wall_clock_alone.as_ref()),
        ];
        let server = Server::start_in(&environment, change);
        Some(Self { server, hand: Some(hand), start: Instant::now() })
    }

    /// From here on seconds are counted.
    pub(crate) fn begin(&mut self) {
        self.start = Instant::now();
    }

    /// Until it is so many seconds after the beginning.
    pub(crate) fn until(&self, seconds: u64) {
        let left = Duration::from_secs(seconds).saturating_sub(self.start.elapsed());
        match &self.hand {
            Some(hand) => move_hand(hand, left.as_secs_f64()),
            None => sleep(left),
        }
    }

    /// The wall clock is so many seconds ahead of the true time.
    pub(crate) fn set_wall_clock(&self, seconds: i64) {
        move_hand(self.hand.as_ref().expect("a clock that can be set"), seconds as f64);
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(folder) = self.hand.as_deref().and_then(Path::parent) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// In one step: the server looks at any time.
fn move_hand(hand: &Path, seconds: f64) {
    let next = hand.with_extension("next");
    fs::write(&next, format!("{seconds:+}\n")).expect("written");
    fs::rename(next, hand).expect("renamed");
}
