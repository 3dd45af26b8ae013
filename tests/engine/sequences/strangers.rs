//! What comes from no client: bytes of chance, and the requests of impostors.

use floe::wire::{Class, Method};

use super::super::client::{Access, Answer, Request};
use super::super::world::{Sent, addr, password};
use super::{Stage, code_is};

impl Stage {
    /// Bytes of chance, and the last request with one byte changed or some cut off:
    /// neither may change anything.
    pub(super) fn garbage(&mut self, who: usize, kind: u8, salt: u8) {
        let mut bytes = self.model.actors[who].last.clone();
        if kind.is_multiple_of(2) || bytes.is_empty() {
            bytes = (0..salt).map(|_| self.random.next() as u8).collect();
        } else if salt.is_multiple_of(8) {
            bytes.truncate(self.random.below(bytes.len()));
        } else {
            let at = self.random.below(bytes.len());
            bytes[at] ^= salt;
        }
        if bytes.first().is_some_and(|first| first & 0xC0 == 0x40) {
            return;
        }
        let sent = self.model.actors[who].client.raw(&mut self.world, &bytes);
        if let Sent::Reply(_, bytes) = &sent {
            let answer = Answer { bytes: bytes.clone() };
            let message = answer.message();
            assert!(message.class() == Class::Error || message.method() == Method::BINDING, "{sent:?}");
        } else {
            assert!(sent.is_dropped() || sent == Sent::Nothing, "{sent:?}");
        }
    }

    /// Somebody else's good credentials on a client's own 5-tuple.
    pub(super) fn impostor(&mut self, who: usize, what: u8) {
        let now = self.now();
        let actor = &self.model.actors[who];
        let mut impostor = actor.client.clone();
        let holder = self.model.holder(actor.seat, now);
        let of = holder.map_or("", |holder| self.model.actors[holder].client.name.as_str());
        let name = if of == "bob" { "alice" } else { "bob" };
        (impostor.name, impostor.password) = (name.into(), password(name));
        impostor.access = None;
        let by_token = what >= 192;
        if by_token {
            impostor.name = "key 3".into();
            impostor.access = Some(Access::numbered(what.into(), "key 3", self.world.now.unix, 60));
        }
        impostor.greet(&mut self.world);
        let request = match what % 3 {
            0 => Request::refresh().lifetime(0),
            1 => Request::create_permission(&[addr("203.0.113.1:9")]),
            _ => Request::channel_bind(0x4000, addr("203.0.113.1:9")),
        };
        let bytes = impostor.sign(&request);
        let sent = impostor.raw(&mut self.world, &bytes);
        let expected = match holder {
            // Only a Refresh shows his token.
            _ if by_token && (!self.tokens || !what.is_multiple_of(3)) => 401,
            Some(_) => 441,
            None => 437,
        };
        code_is(&sent, expected);
        // His transactions are not to be mistaken for the client's own.
        self.model.actors[who].client.id = impostor.id;
    }
}
