//! The one timer structure of an engine: a hashed wheel. Inserting, cancelling
//! and firing cost the same however many timers there are.

use slab::Slab;

use super::time::Instant;

/// Microseconds of one tick; a timer fires at most this late, never early.
const TICK: u64 = 250_000;
/// Ticks of one turn, about 17 minutes; a longer timer goes round again.
const SLOTS: usize = 4096;
const NONE: u32 = u32::MAX;

/// Names a timer until it fires or is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimerId(u32);

#[derive(Debug)]
struct Node<T> {
    token: T,
    deadline: Instant,
    slot: u16,
    previous: u32,
    next: u32,
}

/// Timers that carry a `T` each.
#[derive(Debug)]
pub(super) struct Timers<T> {
    nodes: Slab<Node<T>>,
    heads: Box<[u32]>,
    /// One bit per slot that holds a timer.
    occupied: Box<[u64]>,
    /// Every slot before this tick is empty.
    tick: u64,
    /// The first tick from there on whose slot holds a timer: asked for with every
    /// batch of packets, so it is kept.
    next: Option<u64>,
}

impl<T> Timers<T> {
    pub(super) fn new() -> Self {
        Self {
            nodes: Slab::new(),
            heads: vec![NONE; SLOTS].into_boxed_slice(),
            occupied: vec![0; SLOTS / 64].into_boxed_slice(),
            tick: 0,
            next: None,
        }
    }

    pub(super) fn insert(&mut self, deadline: Instant, token: T) -> TimerId {
        let index = self.nodes.insert(Node { token, deadline, slot: 0, previous: NONE, next: NONE });
        self.link(index);
        TimerId(u32::try_from(index).unwrap_or(NONE))
    }

    pub(super) fn cancel(&mut self, id: TimerId) {
        let index = id.0 as usize;
        if self.nodes.contains(index) {
            self.unlink(index);
            self.nodes.remove(index);
        }
    }

    /// When [`Timers::pop`] has something to look at.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next.map(|tick| Instant::from_micros(tick * TICK))
    }

    /// Takes out one timer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let now_tick = now.micros() / TICK;
        while let Some(tick) = self.next.filter(|tick| *tick <= now_tick) {
            self.tick = tick;
            let index = self.heads[slot(tick)] as usize;
            self.unlink(index);
            if self.nodes[index].deadline <= now {
                return Some(self.nodes.remove(index).token);
            }
            // Only one turn's worth fits on the wheel: this one goes round again,
            // and not into the slot it has just left.
            self.tick = tick + 1;
            self.link(index);
            self.tick = tick;
        }
        self.tick = self.tick.max(now_tick);
        None
    }

    fn link(&mut self, index: usize) {
        let due = self.nodes[index].deadline.micros().div_ceil(TICK);
        let tick = due.clamp(self.tick, self.tick + SLOTS as u64 - 2);
        let slot = slot(tick);
        let head = std::mem::replace(&mut self.heads[slot], u32::try_from(index).unwrap_or(NONE));
        if let Some(next) = self.nodes.get_mut(head as usize) {
            next.previous = u32::try_from(index).unwrap_or(NONE);
        }
        let node = &mut self.nodes[index];
        node.slot = slot as u16;
        node.previous = NONE;
        node.next = head;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
    }

    fn unlink(&mut self, index: usize) {
        let Node { slot, previous, next, .. } = self.nodes[index];
        let slot = usize::from(slot);
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.heads[slot] = next,
        }
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = previous;
        }
        if self.heads[slot] == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            self.next = self.next_occupied();
        }
    }

    /// The first tick from `self.tick` on whose slot holds a timer.
    fn next_occupied(&self) -> Option<u64> {
        let start = slot(self.tick);
        let words = self.occupied.len();
        for turn in 0..=words {
            let at = (start / 64 + turn) % words;
            let mut word = self.occupied[at];
            if turn == 0 {
                word &= u64::MAX << (start % 64);
            }
            if word != 0 {
                let found = at * 64 + word.trailing_zeros() as usize;
                let ahead = (found + SLOTS - start) % SLOTS;
                return Some(self.tick + ahead as u64);
            }
        }
        None
    }
}

const fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
#[path = "timers_test.rs"]
mod tests;
