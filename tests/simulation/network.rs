//! The network between everybody and the server: it delays, loses, repeats and
//! reorders, as the seed says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use floe::relay::Instant;

use crate::world::SplitMix;

/// How packets fare. Those delayed by different times overtake each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of 10,000.
    pub(crate) lost: usize,
    /// Of 10,000, each time once more.
    pub(crate) repeated: usize,
    /// At least and at most, milliseconds.
    pub(crate) delay: (usize, usize),
}

/// A network without fault.
pub(crate) const CLEAR: Weather = Weather { lost: 0, repeated: 0, delay: (10, 10) };
/// A bad mobile network.
pub(crate) const ROUGH: Weather = Weather { lost: 400, repeated: 300, delay: (5, 120) };
/// Worse than anybody would talk over.
pub(crate) const STORM: Weather = Weather { lost: 2_500, repeated: 2_000, delay: (1, 900) };

/// Most copies of one packet.
const MOST_COPIES: usize = 4;

impl Weather {
    /// When each copy of one packet arrives.
    pub(crate) fn carry(self, random: &mut SplitMix) -> Vec<Duration> {
        let mut copies = Vec::with_capacity(1);
        if !chance(random, self.lost) {
            copies.push(self.delay(random));
            while copies.len() < MOST_COPIES && chance(random, self.repeated) {
                copies.push(self.delay(random));
            }
        }
        copies
    }

    pub(crate) fn delay(self, random: &mut SplitMix) -> Duration {
        let (least, most) = (self.delay.0 * 1_000, self.delay.1 * 1_000);
        Duration::from_micros((least + random.below(most - least + 1)) as u64)
    }
}

/// Whether something happens that does in so many of 10,000 cases.
pub(crate) fn chance(random: &mut SplitMix, of_ten_thousand: usize) -> bool {
    of_ten_thousand > 0 && random.below(10_000) < of_ten_thousand
}

/// What happens next. What is to happen at one time happens in the order in which
/// it was planned.
pub(crate) struct Agenda<T> {
    times: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    planned: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { times: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), planned: 0 }
    }
}

impl<T> Agenda<T> {
    pub(crate) fn plan(&mut self, at: Instant, thing: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(thing);
        self.planned += 1;
        self.times.push(Reverse((at, self.planned, place)));
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.times.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let Reverse((_, _, place)) = self.times.pop()?;
        self.free.push(place);
        self.things[place].take()
    }
}
