//! Responses: their common frame, so that each is signed, fingerprinted, counted
//! and kept small by the same rules. And what indications have in common.

use super::address::PeerAddr;
use super::authenticate::{Authenticator, Refusal, Signer};
use super::counters::Counters;
use super::route::{ClientPath, DropReason, Output, Route};
use super::time::Now;
use super::world::{Random, Throttle};
use crate::wire::{AttributeType, Class, ErrorCode, Message, MessageWriter, Method, TransactionId};

/// SOFTWARE without a version (H-065).
const SOFTWARE: &[u8] = b"floe";

/// What of a request its response repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) by: ClientPath,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    pub(super) fingerprint: bool,
}

impl Asked {
    pub(super) fn new(by: ClientPath, message: &Message<'_>) -> Self {
        Self {
            by,
            method: message.method(),
            id: message.transaction_id(),
            fingerprint: message.has_fingerprint(),
        }
    }
}

/// A success response to an authenticated request.
pub(super) fn success(
    asked: Asked,
    signer: &Signer,
    counters: &Counters,
    out: &mut Output,
    fill: impl FnOnce(&mut MessageWriter<'_>),
) -> Route {
    counters.success(asked.method);
    let mut message = MessageWriter::new(&mut out.bytes, Class::Success, asked.method, asked.id);
    fill(&mut message);
    if matches!(asked.method, Method::ALLOCATE | Method::REFRESH) {
        message.put(AttributeType::SOFTWARE, SOFTWARE);
    }
    signer.sign(&mut message);
    finish(asked, message)
}

/// An error response to an authenticated request.
pub(super) fn error(
    asked: Asked,
    code: ErrorCode,
    signer: &Signer,
    counters: &Counters,
    out: &mut Output,
    fill: impl FnOnce(&mut MessageWriter<'_>),
) -> Route {
    counters.error(asked.method, code);
    let mut message = MessageWriter::new(&mut out.bytes, Class::Error, asked.method, asked.id);
    message.put_error(code, code.reason());
    fill(&mut message);
    signer.sign(&mut message);
    finish(asked, message)
}

/// Begins an indication about a peer.
pub(super) fn indication<'o>(
    method: Method,
    peer: PeerAddr,
    random: &mut dyn Random,
    out: &'o mut Output,
) -> MessageWriter<'o> {
    let mut id = TransactionId::default();
    random.fill(&mut id.0);
    let mut message = MessageWriter::new(&mut out.bytes, Class::Indication, method, id);
    message.put_xor_address(AttributeType::XOR_PEER_ADDRESS, peer.socket());
    message
}

/// The answer to a request that was not let in.
pub(super) fn refusal(
    now: Now,
    asked: Asked,
    refusal: &Refusal,
    authenticator: &Authenticator,
    throttle: &dyn Throttle,
    counters: &Counters,
    out: &mut Output,
) -> Route {
    let code = match refusal {
        Refusal::Challenge(code) => *code,
        Refusal::Stale => ErrorCode::STALE_NONCE,
        Refusal::BadRequest => ErrorCode::BAD_REQUEST,
        Refusal::Login { answer: true, .. } => ErrorCode::UNAUTHENTICATED,
        Refusal::Login { answer: false, .. } => return drop_counted(DropReason::Throttled, counters),
    };
    let fill = |message: &mut MessageWriter<'_>| {
        counters.error(asked.method, code);
        message.put_error(code, unauthenticated_reason(asked, code));
        if !matches!(refusal, Refusal::BadRequest) {
            authenticator.challenge(now, asked.by.five_tuple, message);
        }
    };
    if *refusal == Refusal::Stale {
        let mut message = MessageWriter::new(&mut out.bytes, Class::Error, asked.method, asked.id);
        fill(&mut message);
        return finish(asked, message);
    }
    unauthenticated(now, asked, throttle, counters, out, Class::Error, fill)
}

/// Any answer to somebody unknown. Over UDP the source may be forged, so these
/// are rate-limited and as short as can be (H-017, H-018).
pub(super) fn unauthenticated(
    now: Now,
    asked: Asked,
    throttle: &dyn Throttle,
    counters: &Counters,
    out: &mut Output,
    class: Class,
    fill: impl FnOnce(&mut MessageWriter<'_>),
) -> Route {
    let client = asked.by.five_tuple;
    if !client.transport.proves_source() && !throttle.may_answer(now.instant, client.client.ip()) {
        return drop_counted(DropReason::Throttled, counters);
    }
    let mut message = MessageWriter::new(&mut out.bytes, class, asked.method, asked.id);
    fill(&mut message);
    finish(asked, message)
}

/// The reason phrase towards somebody unknown: none over UDP.
pub(super) fn unauthenticated_reason(asked: Asked, code: ErrorCode) -> &'static str {
    if asked.by.five_tuple.transport.proves_source() { code.reason() } else { "" }
}

pub(super) fn drop_counted(reason: DropReason, counters: &Counters) -> Route {
    counters.dropped(reason);
    Route::Drop(reason)
}

fn finish(asked: Asked, mut message: MessageWriter<'_>) -> Route {
    if asked.fingerprint {
        message.put_fingerprint();
    }
    Route::Reply { to: asked.by, message: message.finish() }
}
