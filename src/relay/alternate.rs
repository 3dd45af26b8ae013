//! Clients sent to another server (RFC 8489 §10), because this one drains or is
//! full.

use std::net::SocketAddr;

use super::address::Family;
use super::authenticate::Signer;
use super::engine::Engine;
use super::reply::{self, Asked};
use super::route::{Output, Route};
use crate::wire::{AttributeType, ErrorCode};

/// Another TURN server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlternateServer {
    /// Where it listens; the port is not 0.
    pub address: SocketAddr,
    /// The name in its certificate, at most 255 bytes of ASCII, where that is
    /// another certificate than this server's.
    pub domain: Option<Box<str>>,
}

impl Engine {
    /// The answer of a server that has no room: 300 and another one to ask, or
    /// 508. Only who has logged in gets here, so it is signed.
    pub(super) fn try_alternate(&mut self, asked: Asked, signer: &Signer, out: &mut Output) -> Route {
        let five_tuple = asked.by.five_tuple;
        let family = five_tuple.client.family();
        // §10: only who is known to understand ALTERNATE-DOMAIN is sent one.
        let by_name = five_tuple.transport.is_encrypted() && signer.is_sha256();
        let servers = &self.settings.alternate_servers;
        let turn = self.sent_elsewhere;
        let next = |family: Family, like: Option<&AlternateServer>| {
            let fits = |server: &&AlternateServer| {
                // One name is told for both.
                let same_name = like.is_none_or(|first| !by_name || first.domain == server.domain);
                Family::of(server.address.ip()) == family && same_name
            };
            let at = turn.checked_rem(servers.iter().filter(fits).count())?;
            servers.iter().filter(fits).nth(at)
        };
        // The first has to be of the client's family.
        let Some(first) = next(family, None) else {
            let code = ErrorCode::INSUFFICIENT_CAPACITY;
            return reply::error(asked, code, signer, &self.world.counters, out, |_| {});
        };
        let second = next(family.other(), Some(first));
        self.sent_elsewhere = turn.wrapping_add(1);
        reply::error(asked, ErrorCode::TRY_ALTERNATE, signer, &self.world.counters, out, |reply| {
            for server in [Some(first), second].into_iter().flatten() {
                reply.put_address(AttributeType::ALTERNATE_SERVER, server.address);
            }
            if let Some(domain) = first.domain.as_deref().filter(|_| by_name) {
                reply.put(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes());
            }
        })
    }
}
