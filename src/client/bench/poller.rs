//! Which sockets have something: one level-triggered epoll set per worker, and
//! waits that end on time.
//!
//! A worker is a thread with a loop of its own, not a tokio runtime: tokio's
//! timers have a resolution of a millisecond, and packets are due every few
//! microseconds.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// Sockets told of in one turn.
const EVENTS: usize = 256;

/// One worker's sockets.
pub(super) struct Poller {
    set: OwnedFd,
    events: Vec<epoll::Event>,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// As it was added.
    pub(super) token: u64,
    pub(super) writable: bool,
    /// Whether the socket has an error to tell of.
    pub(super) failed: bool,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { set, events: Vec::with_capacity(EVENTS) })
    }

    /// Told of from now on when something can be read, and with `writable` when
    /// something can be written.
    pub(super) fn add(&self, socket: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::add(&self.set, socket, epoll::EventData::new_u64(token), flags(writable))?)
    }

    pub(super) fn change(&self, socket: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.set, socket, epoll::EventData::new_u64(token), flags(writable))?)
    }

    pub(super) fn remove(&self, socket: impl AsFd) {
        // It is not there: just as well.
        let _ = epoll::delete(&self.set, socket);
    }

    /// Waits until a socket is ready, and at most so long.
    ///
    /// In two calls: `epoll_wait` counts in milliseconds, its successor needs
    /// Linux 5.11, and `ppoll` has always counted in nanoseconds.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<()> {
        self.events.clear();
        if !most.is_zero() {
            let most = Timespec { tv_sec: most.as_secs() as _, tv_nsec: most.subsec_nanos() as _ };
            match poll(&mut [PollFd::new(&self.set, PollFlags::IN)], Some(&most)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.set, spare_capacity(&mut self.events), Some(&now)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many sockets the last wait found.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn ready(&self, at: usize) -> Ready {
        let event = self.events[at];
        // Not by reference: the kernel packs it.
        let flags = event.flags;
        let is = |flag| flags.contains(flag);
        Ready {
            token: event.data.u64(),
            writable: is(epoll::EventFlags::OUT),
            failed: is(epoll::EventFlags::ERR),
        }
    }
}

fn flags(writable: bool) -> epoll::EventFlags {
    let out = if writable { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
    epoll::EventFlags::IN | out
}

/// Lets this thread's waits end when they should: the kernel is free to end them
/// 50 µs later otherwise.
pub(super) fn wake_on_time() {
    // Where it can't be had, lateness shows in the report.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}
