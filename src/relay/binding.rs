//! Binding (RFC 8489 §12) as NAT behaviour discovery (RFC 5780) and clients of
//! RFC 3489 want it. Both are off by default.

use arrayvec::ArrayVec;

use super::address::{ClientAddr, FiveTuple, ServerAddr, Transport};
use super::engine::{Engine, World, unknown_attributes};
use super::reply::{self, Asked, drop_counted};
use super::route::{ClientPath, DropReason, Link, Output, Route};
use super::time::Now;
use crate::wire::classic::ClassicRequest;
use crate::wire::{AttributeType, Class, ErrorCode, Message, MessageWriter, Method};

/// The two addresses and two ports of a server that helps to discover a NAT's
/// behaviour, all of one family, each with the caller's socket there.
#[derive(Clone, Copy, Debug)]
pub struct NatDiscovery([[(ServerAddr, Link); 2]; 2]);

impl NatDiscovery {
    /// By address, and for each by port: `points[a][p]` and `points[b][p]` have
    /// one port, `points[a][p]` and `points[a][q]` one address.
    pub const fn new(points: [[(ServerAddr, Link); 2]; 2]) -> Self {
        Self(points)
    }
}

/// Where a request came in, among the points of a server.
#[derive(Clone, Copy, Debug)]
struct Vantage<'a> {
    points: &'a [[(ServerAddr, Link); 2]; 2],
    address: usize,
    port: usize,
}

impl<'a> Vantage<'a> {
    fn find(all: &'a [NatDiscovery], asked: FiveTuple) -> Option<Self> {
        // What comes by another transport can't be answered from elsewhere.
        if asked.transport != Transport::Udp {
            return None;
        }
        let places = || (0..2).flat_map(|address| (0..2).map(move |port| (address, port)));
        all.iter().find_map(|NatDiscovery(points)| {
            let (address, port) = places().find(|&(a, p)| points[a][p].0 == asked.server)?;
            Some(Self { points, address, port })
        })
    }

    /// RFC 5780 Table 1
    const fn origin(self, change: Change) -> (ServerAddr, Link) {
        self.points[self.address ^ change.address as usize][self.port ^ change.port as usize]
    }

    const fn other(self) -> ServerAddr {
        self.origin(Change { address: true, port: true }).0
    }
}

/// CHANGE-REQUEST (RFC 5780 §7.2).
#[derive(Clone, Copy, Default, Debug)]
struct Change {
    address: bool,
    port: bool,
}

impl Change {
    fn read(value: &[u8]) -> Result<Self, ErrorCode> {
        match value {
            // Bits that have no meaning are ignored.
            [_, _, _, flags] => Ok(Self { address: flags & 4 != 0, port: flags & 2 != 0 }),
            _ => Err(ErrorCode::BAD_REQUEST),
        }
    }
}

/// What a Binding request asks for beyond its answer.
#[derive(Clone, Copy, Default, Debug)]
struct Wish {
    change: Change,
    response_port: Option<u16>,
    /// Bytes of PADDING in the request.
    padding: Option<usize>,
}

/// Ports below this are a system's services: nobody can have them answered to
/// from here (RESPONSE-PORT).
const LOWEST_RESPONSE_PORT: u16 = 1024;
/// Most bytes of PADDING sent: what fills an Ethernet packet.
const MOST_PADDING: usize = 1500;
/// What is in a padded response and not in its request: four addresses of IPv6.
const MORE_THAN_ASKED: usize = 4 * 24;

impl Wish {
    fn read(message: &Message<'_>) -> Result<Self, ErrorCode> {
        let change = message.get(AttributeType::CHANGE_REQUEST).map(Change::read).transpose()?;
        let response_port = match message.get(AttributeType::RESPONSE_PORT) {
            None => None,
            // Coturn's clients leave out the two bytes that are always zero.
            Some([high, low] | [high, low, _, _]) => Some(u16::from_be_bytes([*high, *low])),
            Some(_) => return Err(ErrorCode::BAD_REQUEST),
        };
        let padding = message.get(AttributeType::PADDING).map(<[u8]>::len);
        // §6.1, and not to any service that lives where the request seems to.
        let both = response_port.is_some() && padding.is_some();
        if both || response_port.is_some_and(|port| port < LOWEST_RESPONSE_PORT) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        Ok(Self { change: change.unwrap_or_default(), response_port, padding })
    }

    /// How the answer goes.
    fn path(self, asked: ClientPath, vantage: Vantage<'_>) -> ClientPath {
        let (server, link) = vantage.origin(self.change);
        let mut client = asked.five_tuple.client.socket();
        client.set_port(self.response_port.unwrap_or(client.port()));
        let five_tuple = FiveTuple { client: ClientAddr::new(client), server, ..asked.five_tuple };
        ClientPath::new(link, five_tuple)
    }
}

/// Understood where there is a [`Vantage`].
const ATTRIBUTES: [AttributeType; 3] =
    [AttributeType::CHANGE_REQUEST, AttributeType::PADDING, AttributeType::RESPONSE_PORT];

impl Engine {
    pub(super) fn binding(
        &mut self,
        now: Now,
        asked: Asked,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Route {
        let World { throttle, counters, .. } = &self.world;
        counters.request(Method::BINDING);
        let vantage = Vantage::find(&self.settings.nat_discovery, asked.by.five_tuple);
        let unknown = unknown_attributes(message, if vantage.is_some() { &ATTRIBUTES } else { &[] });
        let wish = match vantage {
            _ if !unknown.is_empty() => Err(ErrorCode::UNKNOWN_ATTRIBUTE),
            Some(_) => Wish::read(message),
            None => Ok(Wish::default()),
        };
        let client = asked.by.five_tuple.client.socket();
        let (class, by) = match (wish, vantage) {
            (Ok(wish), Some(vantage)) => (Class::Success, wish.path(asked.by, vantage)),
            (Ok(_), None) => (Class::Success, asked.by),
            // Errors go to who asked, whatever else was asked for.
            (Err(_), _) => (Class::Error, asked.by),
        };
        let answered = Asked { by, ..asked };
        reply::unauthenticated(now, answered, &**throttle, counters, out, class, |reply| match wish {
            Ok(wish) => {
                counters.success(Method::BINDING);
                reply.put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, client);
                if let Some(vantage) = vantage {
                    reply.put_address(AttributeType::MAPPED_ADDRESS, client);
                    reply.put_address(AttributeType::RESPONSE_ORIGIN, by.five_tuple.server.socket());
                    reply.put_address(AttributeType::OTHER_ADDRESS, vantage.other().socket());
                }
                if let Some(asked) = wish.padding {
                    // Never more than came, since the sender may be forged (H-017).
                    let length = asked.saturating_sub(MORE_THAN_ASKED).min(MOST_PADDING) & !3;
                    reply.put(AttributeType::PADDING, &[0; MOST_PADDING][..length]);
                }
            }
            Err(code) => {
                counters.error(Method::BINDING, code);
                reply.put_error(code, reply::unauthenticated_reason(asked, code));
                if code == ErrorCode::UNKNOWN_ATTRIBUTE {
                    reply.put_unknown_attributes(&unknown);
                }
            }
        })
    }

    /// A Binding request of RFC 3489 (RFC 5389 §12.2), over UDP only. It is
    /// never answered elsewhere than RFC 5780 would have it: RESPONSE-ADDRESS,
    /// which would send it to anybody, is refused.
    pub(super) fn classic_binding(
        &mut self,
        now: Now,
        from: ClientPath,
        request: &ClassicRequest<'_>,
        out: &mut Output,
    ) -> Route {
        let World { throttle, counters, .. } = &self.world;
        counters.request(Method::BINDING);
        let client = from.five_tuple.client;
        if !throttle.may_answer(now.instant, client.ip()) {
            return drop_counted(DropReason::Throttled, counters);
        }
        let vantage = Vantage::find(&self.settings.nat_discovery, from.five_tuple);
        let change = request.get(AttributeType::CHANGE_REQUEST);
        let known = |kind: AttributeType| match kind {
            AttributeType::CHANGE_REQUEST => vantage.is_some(),
            kind => ClassicRequest::IGNORED.contains(&kind) || !kind.is_comprehension_required(),
        };
        let mut unknown = ArrayVec::<AttributeType, 8>::new();
        for (kind, _) in request.attributes().filter(|(kind, _)| !known(*kind)) {
            if !unknown.is_full() && !unknown.contains(&kind) {
                unknown.push(kind);
            }
        }
        let change = match change.map(Change::read).transpose() {
            _ if !unknown.is_empty() => Err(ErrorCode::UNKNOWN_ATTRIBUTE),
            change => change.map(Option::unwrap_or_default),
        };
        let class = if change.is_ok() { Class::Success } else { Class::Error };
        let mut reply = MessageWriter::classic(&mut out.bytes, class, Method::BINDING, request.id());
        let mut to = from;
        match change {
            Ok(change) => {
                counters.success(Method::BINDING);
                reply.put_address(AttributeType::MAPPED_ADDRESS, client.socket());
                if let Some(vantage) = vantage {
                    (to.five_tuple.server, to.link) = vantage.origin(change);
                    reply.put_address(ClassicRequest::SOURCE_ADDRESS, to.five_tuple.server.socket());
                    reply.put_address(ClassicRequest::CHANGED_ADDRESS, vantage.other().socket());
                }
            }
            Err(code) => {
                counters.error(Method::BINDING, code);
                reply.put_error(code, "");
                // RFC 3489 §11.2.10: an odd one is repeated, in place of padding.
                if unknown.len() % 2 == 1
                    && let Some(last) = unknown.last().copied()
                {
                    unknown.push(last);
                }
                if code == ErrorCode::UNKNOWN_ATTRIBUTE {
                    reply.put_unknown_attributes(&unknown);
                }
            }
        }
        Route::Reply { to, message: reply.finish() }
    }

    /// RFC 8489 §11: the same over DTLS, which RFC 3489 knows nothing of.
    pub(super) fn classic_over_dtls(
        &mut self,
        from: ClientPath,
        request: &ClassicRequest<'_>,
        out: &mut Output,
    ) -> Route {
        let counters = &self.world.counters;
        counters.request(Method::BINDING);
        counters.error(Method::BINDING, ErrorCode::SERVER_ERROR);
        let mut reply = MessageWriter::classic(&mut out.bytes, Class::Error, Method::BINDING, request.id());
        reply.put_error(ErrorCode::SERVER_ERROR, ErrorCode::SERVER_ERROR.reason());
        Route::Reply { to: from, message: reply.finish() }
    }
}
