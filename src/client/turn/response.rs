//! What came of a request.

use std::net::SocketAddr;
use std::time::Duration;

use super::login::Unanswerable;
use crate::client::refusal::Refusal;
use crate::wire::attribute::{error_code_value, u32_value};
use crate::wire::{AttributeType, Message};

/// A response that has been checked and belongs to its request.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) bytes: Box<[u8]>,
    /// From the request's first message to this response: with a challenge
    /// between them, two round trips.
    pub took: Duration,
    /// Messages sent for it: challenges answered and retransmissions.
    pub sent: u32,
}

impl Response {
    /// The value of the first attribute of this type.
    pub fn get(&self, kind: AttributeType) -> Option<&[u8]> {
        Message::parse(&self.bytes).ok()?.get(kind)
    }

    /// The address in an attribute in XOR form.
    pub fn xor_address(&self, kind: AttributeType) -> Option<SocketAddr> {
        Message::parse(&self.bytes).ok()?.xor_address(kind)?.ok()
    }

    /// XOR-MAPPED-ADDRESS: this client, as the server sees it.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.xor_address(AttributeType::XOR_MAPPED_ADDRESS)
    }

    /// XOR-RELAYED-ADDRESS: one, or one of each family.
    pub fn relayed(&self) -> Vec<SocketAddr> {
        let Ok(message) = Message::parse(&self.bytes) else { return Vec::new() };
        let id = message.transaction_id();
        let relayed = message.attributes().filter(|a| a.kind == AttributeType::XOR_RELAYED_ADDRESS);
        relayed.filter_map(|a| crate::wire::address::decode_xor(a.value, id).ok()).collect()
    }

    /// LIFETIME.
    pub fn lifetime(&self) -> Option<Duration> {
        let seconds = u32_value(self.get(AttributeType::LIFETIME)?).ok()?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// An attribute that is text: REALM, SOFTWARE, …. Control characters are
    /// taken out, for it may end on a terminal.
    pub fn text(&self, kind: AttributeType) -> Option<String> {
        let text = String::from_utf8_lossy(self.get(kind)?);
        Some(text.replace(char::is_control, ""))
    }

    /// The whole message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// An error response.
    #[error("{refusal}")]
    Refused {
        /// What it says.
        refusal: Refusal,
        /// All of it.
        response: Response,
    },
    /// No answer to any of so many messages, in the time there was.
    #[error("no answer to {request} ({sent} sent): wrong address or port, or a firewall drops it")]
    Silent {
        /// The request.
        request: &'static str,
        /// How often it was sent.
        sent: u32,
    },
    /// Answers came, but none that is signed with this password, so none could
    /// be believed (RFC 8489 §9.2.5).
    #[error("the answer to {request}{} is not signed with these credentials",
            refusal.as_ref().map(|refusal| format!(" ({})", refusal.code)).unwrap_or_default())]
    Unsigned {
        /// The request.
        request: &'static str,
        /// What the last of them said, when it was an error.
        refusal: Option<Refusal>,
    },
    /// The challenge can't be answered.
    #[error("the server's challenge can't be answered: {0}")]
    Unanswerable(#[from] Unanswerable),
}

impl Failure {
    /// The ERROR-CODE that was told, believed or not.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { refusal, .. } | Self::Unsigned { refusal: Some(refusal), .. } => {
                Some(refusal.code)
            }
            _ => None,
        }
    }
}

/// What an error response says; code 0 when it doesn't.
pub(super) fn refusal(request: &'static str, message: &Message<'_>) -> Refusal {
    let told = message.get(AttributeType::ERROR_CODE).and_then(|value| error_code_value(value).ok());
    let (code, reason) = told.map_or((0, ""), |(code, reason)| (code.number(), reason));
    Refusal { request, code, reason: reason.replace(char::is_control, "") }
}
