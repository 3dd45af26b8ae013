//! The allocations of one engine, found by 5-tuple and by relayed address.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use slab::Slab;

use super::address::{FiveTuple, RelayAddr};
use super::allocate::Opening;
use super::allocation::Allocation;
use super::route::{AllocationId, RelayId};
use super::time::Instant;

/// An allocation, or an Allocate that waits for its sockets. What packets are for
/// stands in the table itself, and what is there for a moment elsewhere.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are live")]
pub(super) enum Entry {
    Opening(Box<Opening>),
    Live(Allocation),
}

impl Entry {
    /// Whether this 5-tuple leads here.
    fn is_at(&self, five_tuple: FiveTuple) -> bool {
        match self {
            Self::Opening(opening) => opening.asked.by.five_tuple == five_tuple,
            Self::Live(allocation) => allocation.is_at(five_tuple),
        }
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    entry: Entry,
}

impl Slot {
    fn id(&self, index: usize) -> AllocationId {
        AllocationId { index: u32::try_from(index).unwrap_or(u32::MAX), generation: self.generation }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    slots: Slab<Slot>,
    generations: u32,
    by_tuple: HashTable<Place>,
    by_relay: HashMap<RelayAddr, RelayId, FixedState>,
    live: usize,
    hash: FixedState,
}

/// Where a 5-tuple leads. The 5-tuple itself stands in the entry, which every search
/// is for: so a packet has one place less to look at that is in no cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    hash: u64,
    id: AllocationId,
}

impl Table {
    pub(super) fn new(hash: FixedState) -> Self {
        Self {
            slots: Slab::new(),
            generations: 0,
            by_tuple: HashTable::new(),
            by_relay: HashMap::with_hasher(hash.clone()),
            hash,
            live: 0,
        }
    }

    /// Live allocations.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    pub(super) fn open(&mut self, five_tuple: FiveTuple, opening: Opening) -> AllocationId {
        self.generations = self.generations.wrapping_add(1);
        let slot = Slot { generation: self.generations, entry: Entry::Opening(Box::new(opening)) };
        let index = u32::try_from(self.slots.insert(slot)).unwrap_or(u32::MAX);
        let id = AllocationId { index, generation: self.generations };
        self.join(five_tuple, id);
        id
    }

    /// An Allocate has its sockets: the allocation takes the place of its [`Opening`].
    pub(super) fn go_live(&mut self, id: AllocationId, allocation: Allocation) {
        let relays = allocation.relays;
        let Some(slot) = self.slot_mut(id) else { return };
        slot.entry = Entry::Live(allocation);
        self.live += 1;
        for relay in relays.into_iter().flatten() {
            self.by_relay.insert(relay.address, RelayId { allocation: id, family: relay.address.family() });
        }
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Entry> {
        self.slot(id)?;
        let entry = self.slots.remove(id.index as usize).entry;
        match &entry {
            Entry::Opening(opening) => self.leave(opening.asked.by.five_tuple, id),
            Entry::Live(allocation) => {
                self.live -= 1;
                for relay in allocation.relays.into_iter().flatten() {
                    self.by_relay.remove(&relay.address);
                }
                allocation.paths().for_each(|path| self.leave(path.five_tuple, id));
            }
        }
        debug_assert!(!self.slots.is_empty() || self.by_tuple.is_empty(), "a 5-tuple of nobody");
        debug_assert!(self.live > 0 || self.by_relay.is_empty(), "a relay of nobody");
        Some(entry)
    }

    /// An entry is found at one more 5-tuple, which it names.
    pub(super) fn join(&mut self, five_tuple: FiveTuple, id: AllocationId) {
        debug_assert!(self.id(five_tuple).is_none(), "a 5-tuple of two");
        let place = Place { hash: self.hash.hash_one(five_tuple), id };
        self.by_tuple.insert_unique(place.hash, place, |place| place.hash);
    }

    /// It is not found at this 5-tuple any more.
    pub(super) fn leave(&mut self, five_tuple: FiveTuple, id: AllocationId) {
        let place = Place { hash: self.hash.hash_one(five_tuple), id };
        if let Ok(found) = self.by_tuple.find_entry(place.hash, |other| *other == place) {
            found.remove();
        }
    }

    /// One relay of a dual allocation is gone.
    pub(super) fn forget_relay(&mut self, address: RelayAddr) {
        self.by_relay.remove(&address);
    }

    pub(super) fn find(&self, five_tuple: FiveTuple) -> Option<(AllocationId, &Entry)> {
        let id = self.id(five_tuple)?;
        Some((id, &self.slot(id)?.entry))
    }

    pub(super) fn find_live(
        &mut self,
        five_tuple: FiveTuple,
        now: Instant,
    ) -> Option<(AllocationId, &mut Allocation)> {
        let id = self.id(five_tuple)?;
        self.live_mut(id).filter(|allocation| allocation.is_live(now)).map(|allocation| (id, allocation))
    }

    /// What is in this place of the table now.
    pub(super) fn at(&self, index: u32) -> Option<AllocationId> {
        self.slots.get(index as usize).map(|slot| slot.id(index as usize))
    }

    pub(super) fn relay(&self, address: RelayAddr) -> Option<RelayId> {
        self.by_relay.get(&address).copied()
    }

    pub(super) fn live_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        match &mut self.slot_mut(id)?.entry {
            Entry::Live(allocation) => Some(allocation),
            Entry::Opening(_) => None,
        }
    }

    pub(super) fn opening_mut(&mut self, id: AllocationId) -> Option<&mut Opening> {
        match &mut self.slot_mut(id)?.entry {
            Entry::Opening(opening) => Some(opening),
            Entry::Live(_) => None,
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> + '_ {
        self.slots.iter().filter_map(|(index, slot)| match &slot.entry {
            Entry::Live(allocation) => Some((slot.id(index), allocation)),
            Entry::Opening(_) => None,
        })
    }

    /// Live ones among `count` places from `from` on, and the place behind those
    /// when there is one.
    pub(super) fn live_from(
        &self,
        from: u32,
        count: usize,
    ) -> (impl Iterator<Item = (AllocationId, &Allocation)> + '_, Option<u32>) {
        let from = from as usize;
        let end = from.saturating_add(count);
        let live = (from..end).filter_map(|index| {
            let slot = self.slots.get(index)?;
            match &slot.entry {
                Entry::Live(allocation) => Some((slot.id(index), allocation)),
                Entry::Opening(_) => None,
            }
        });
        (live, u32::try_from(end).ok().filter(|_| end < self.slots.capacity()))
    }

    /// Of every entry, in the order of their places.
    pub(super) fn ids(&self) -> Vec<AllocationId> {
        self.slots.iter().map(|(index, slot)| slot.id(index)).collect()
    }

    fn id(&self, five_tuple: FiveTuple) -> Option<AllocationId> {
        let hash = self.hash.hash_one(five_tuple);
        let is_it = |place: &Place| {
            place.hash == hash && self.slot(place.id).is_some_and(|slot| slot.entry.is_at(five_tuple))
        };
        Some(self.by_tuple.find(hash, is_it)?.id)
    }

    fn slot(&self, id: AllocationId) -> Option<&Slot> {
        self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)
    }

    fn slot_mut(&mut self, id: AllocationId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)
    }
}
