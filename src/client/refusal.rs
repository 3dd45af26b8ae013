//! An error response, and what is likely behind it.

use crate::wire::ErrorCode;

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The request that was refused.
    pub request: &'static str,
    /// ERROR-CODE, 300 to 699.
    pub code: u16,
    /// The server's reason phrase.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { request, code, reason } = self;
        // A server may leave the phrase out, as floe does to strangers.
        let known = ErrorCode::new(*code).map_or("", ErrorCode::reason);
        let reason = if reason.is_empty() { known } else { reason };
        write!(f, "{code} {reason} to {request}: {}", self.cause())
    }
}

impl Refusal {
    /// The likely cause, for a person.
    fn cause(&self) -> &'static str {
        match self.code {
            300 => "the server sends new clients elsewhere (it drains, or is full)",
            401 => "wrong username, password or shared secret, or the credentials have expired",
            403 if self.request == "CreatePermission" || self.request == "ChannelBind" => {
                "the server denies this peer address (floe: peers.allow; coturn: --allow-loopback-peers, \
                 --allowed-peer-ip)"
            }
            403 => "the server forbids this to this user",
            437 => "another allocation stands on this 5-tuple",
            438 => {
                "the server calls its own fresh nonce stale (clocks, or several servers behind one address)"
            }
            440 => "the server has no relay address of this family",
            441 => "the credentials changed under way",
            442 => "the server relays no UDP",
            486 => "this user's allocation quota is reached",
            508 => "the server has no relay port left, or it is draining",
            _ => "see the server's log",
        }
    }
}
