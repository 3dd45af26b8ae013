//! What a server's process holds: memory and descriptors.

use std::thread;
use std::time::Duration;

use crate::support::Server;

/// Says how much memory something took, and that this is not more than `bound`
/// KiB.
pub(crate) fn assert_grown(what: &str, before: usize, after: usize, bound: usize) {
    println!("{what}: {before} KiB before, {after} KiB after");
    assert!(after <= before + bound, "{what}: {} KiB more, bound {bound}", after - before);
}

/// Memory before something, and what it had become afterwards.
pub(crate) struct Memory<'a> {
    server: &'a Server,
    before: usize,
}

impl<'a> Memory<'a> {
    pub(crate) fn of(server: &'a Server) -> Self {
        Self { server, before: server.memory() }
    }

    /// See [`assert_grown`].
    pub(crate) fn assert_grown(&self, what: &str, bound: usize) {
        assert_grown(what, self.before, self.server.memory(), bound);
    }
}

/// Open descriptors, once those of connections that are just being closed (of
/// the admin address too) are gone: the number that stays for a while.
pub(crate) fn descriptors(server: &Server) -> usize {
    let (mut last, mut same) = (0, 0);
    while same < 30 {
        let now = server.descriptors();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        thread::sleep(Duration::from_millis(10));
    }
    last
}
