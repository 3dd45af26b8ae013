//! What an Allocate comes to, at once or when its sockets are there.

use floe::relay::{DropReason, Family, Instant, Outcome};
use floe::wire::attribute::{even_port_value, first_of_four, u32_value};
use floe::wire::{AttributeType, Message};

use super::{Referee, code, is_dropped, reply_to};
use crate::client::{Answer, Client};
use crate::model::{Actor, Opening, Seat, State, Wish, user_of};
use crate::world::{Sent, Waiting, World};

impl Referee {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn allocate(
        &mut self,
        world: &World,
        shard: usize,
        seat: Seat,
        who: usize,
        name: &'static str,
        message: &Message<'_>,
        bytes: &[u8],
        sent: &Sent,
    ) {
        let now = world.now.instant;
        let actor = &self.model.actors[who];
        let again = actor.allocate.0.get(8..20) == Some(&bytes[8..20]) && actor.client.name == name;
        match &actor.state {
            State::Opening(_) if again => return is_dropped(sent, DropReason::Retransmission),
            State::Live(allocation) if now < allocation.expires() && again => {
                let relays: Vec<_> =
                    Family::BOTH.iter().filter_map(|family| allocation.relay(*family, now)).collect();
                let Sent::Reply(_, bytes) = sent else { panic!("{sent:?}") };
                return assert_eq!(Answer { bytes: bytes.clone() }.relayed(), relays);
            }
            State::Opening(_) => return assert_eq!(code(sent), Some(437)),
            State::Live(allocation) if now < allocation.expires() => {
                return assert_eq!(code(sent), Some(437));
            }
            _ => {}
        }
        // Had it expired, this Allocate has swept it out.
        let [surely, at_most] = self.model.taken(now, user_of(name));
        let in_all = self.model.allocations(now)[1] + self.model.held.len() + self.opening();
        let actor = &mut self.model.actors[who];
        (actor.state, actor.seat) = (State::Nothing, seat);
        // Whoever it was before: it is his now, if it becomes anything.
        actor.client =
            Client { path: self.paths[seat], shard, name: name.to_owned(), ..actor.client.clone() };
        let wish = self.wish(message);
        let cost = if message.has(AttributeType::RESERVATION_TOKEN) { 0 } else { 1 + u32::from(wish.pair) };
        match code(sent) {
            Some(486) => {
                return assert!(self.per_user != 0 && at_most + cost > self.per_user, "{at_most} taken");
            }
            Some(440) => return assert!(!self.has_v6 && wish.families == [Family::V6]),
            Some(300) => return assert!(self.model.draining || self.is_tight(world, &wish, in_all)),
            Some(508) if cost == 0 => {
                // The token was nobody's, another's, or used; or its port can't be had.
                match wish.held {
                    Some(held) if held.name == name => self.model.held.retain(|other| *other != held),
                    Some(_) => self.thefts += 1,
                    None => {}
                }
                return;
            }
            Some(508) => {
                return assert!(self.model.draining || self.is_tight(world, &wish, in_all), "{wish:?}");
            }
            Some(0) | None => {}
            other => panic!("{other:?} to an Allocate"),
        }
        assert!(!self.model.draining, "the server drains");
        assert!(self.per_user == 0 || surely + cost <= self.per_user, "{surely} taken before");
        if cost == 0 {
            let held = wish.held.as_ref().expect("a token that was given");
            assert!(held.name == name, "a token of {}", held.name);
            self.model.held.retain(|other| other != held);
        }
        self.model.actors[who].allocate = (bytes.to_vec(), now, seat);
        match sent {
            Sent::Nothing => {
                let waiting = world.waiting.last().expect("it waits for something");
                let id = (waiting.shard, waiting.relay.allocation);
                self.model.actors[who].state = State::Opening(Opening { id, seat, wish, abandoned: false });
            }
            sent => self.opened(now, who, seat, &wish, sent),
        }
    }

    fn opening(&self) -> usize {
        self.model.actors.iter().filter(|actor| matches!(actor.state, State::Opening(_))).count()
    }

    fn wish(&self, message: &Message<'_>) -> Wish {
        let even = message.get(AttributeType::EVEN_PORT).map(|value| even_port_value(value).unwrap());
        let family = message.get(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let token = message.get(AttributeType::RESERVATION_TOKEN);
        let held = token.and_then(|token| self.model.held.iter().find(|held| held.token == token)).cloned();
        let families = match (family, &held) {
            (_, Some(held)) => vec![Family::of(held.address.ip())],
            (Some(value), _) => vec![Family::from_number(first_of_four(value).unwrap()).unwrap()],
            _ if message.has(AttributeType::ADDITIONAL_ADDRESS_FAMILY) => Family::BOTH.into(),
            _ => vec![Family::V4],
        };
        let lifetime = message.get(AttributeType::LIFETIME).map_or(600, |value| u32_value(value).unwrap());
        let mobile = message.has(AttributeType::MOBILITY_TICKET);
        Wish { families, even: even.is_some(), pair: even == Some(true), held, lifetime, mobile }
    }

    /// Whether a server may say that it has no room.
    fn is_tight(&self, world: &World, wish: &Wish, in_all: usize) -> bool {
        let full = self.in_all != 0 && in_all + 2 > self.in_all as usize;
        let is_tight =
            |family: &Family| world.pool.has(*family) && !self.model.is_free(&world.pool, *family, wish);
        full || wish.families.iter().any(is_tight)
    }

    /// With a success, everything that it says has to be true.
    fn opened(&mut self, now: Instant, who: usize, seat: Seat, wish: &Wish, sent: &Sent) {
        let Sent::Reply(_, bytes) = sent else { panic!("no answer but {sent:?}") };
        let answer = Answer { bytes: bytes.clone() };
        self.model.actors[who].state = State::Nothing;
        if answer.code() != 0 {
            return assert!([300, 508].contains(&answer.code()), "{}", answer.code());
        }
        self.model.opened(who, seat, now, wish, &answer);
        self.moved_by.remove(&who);
        for relayed in answer.relayed() {
            self.relays.insert(relayed, who);
            self.given.push((self.model.actors[who].client.path.five_tuple, relayed));
        }
    }

    /// A bind has come out, and perhaps an Allocate with it.
    pub(crate) fn finished(&mut self, world: &World, waiting: Waiting, outcome: Outcome, sent: &Sent) {
        self.tally.count(sent);
        let id = (waiting.shard, waiting.relay.allocation);
        let is_his = |actor: &Actor| matches!(&actor.state, State::Opening(opening) if opening.id == id);
        let who = self.model.actors.iter().position(is_his).expect("somebody waits for it");
        let State::Opening(opening) = self.model.actors[who].state.clone() else { unreachable!() };
        let goes_on = world.waiting.iter().any(|w| (w.shard, w.relay.allocation) == id);
        match sent {
            Sent::Nothing if opening.abandoned => {
                assert!(!goes_on, "nobody wants it any more");
                self.model.actors[who].state = State::Nothing;
            }
            Sent::Nothing => assert!(goes_on, "an Allocate is answered at last"),
            sent => {
                assert!(!opening.abandoned && !goes_on);
                assert_eq!(reply_to(sent), Some(self.paths[opening.seat].five_tuple));
                assert!(code(sent) == Some(0) || outcome != Outcome::Bound, "{sent:?}");
                self.opened(world.now.instant, who, opening.seat, &opening.wish, sent);
            }
        }
    }
}
