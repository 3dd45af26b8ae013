//! Invitations: what lets somebody into one room for a while, and to credentials
//! for it, without a key. So that the link to a room can be given away, and the
//! holder of a key need not give the key.
//!
//! Nothing is stored: an invitation is its expiry and an HMAC over that and the
//! room's name, under a key of this run. A restart ends them all.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::relay::UnixTime;

/// How long an invitation holds.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Before an invitation where a key may stand too.
const PREFIX: &str = "invitation.";
/// Seconds since the epoch, then the tag.
const EXPIRY: usize = 8;

/// Makes invitations and knows them again.
pub(super) struct Invitations(hmac::Key);

impl Invitations {
    pub(super) fn new() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()))
    }

    /// One for `room`, good until [`LASTS`] from now.
    pub(super) fn make(&self, room: &str, now: UnixTime) -> String {
        let expiry = now.secs().saturating_add(LASTS.as_secs()).to_be_bytes();
        let tag = hmac::sign(&self.0, &signed(expiry, room));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&expiry, tag.as_ref()].concat()))
    }

    /// For how much longer `shown` opens `room`; `None` when it does not.
    pub(super) fn check(&self, shown: &str, room: &str, now: UnixTime) -> Option<Duration> {
        let bytes = URL_SAFE_NO_PAD.decode(shown.strip_prefix(PREFIX)?).ok()?;
        let (expiry, tag) = bytes.split_first_chunk::<EXPIRY>()?;
        hmac::verify(&self.0, &signed(*expiry, room), tag).ok()?;
        let left = u64::from_be_bytes(*expiry).checked_sub(now.secs())?;
        (left > 0).then(|| Duration::from_secs(left))
    }
}

fn signed(expiry: [u8; EXPIRY], room: &str) -> Vec<u8> {
    [&expiry, room.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_opens_its_room_until_its_time() {
        let (invitations, now) = (Invitations::new(), UnixTime::from_secs(1_000));
        let made = invitations.make("tea", now);
        assert_eq!(invitations.check(&made, "tea", now), Some(LASTS));
        let last = UnixTime::from_secs(1_000 + LASTS.as_secs() - 1);
        assert_eq!(invitations.check(&made, "tea", last), Some(Duration::from_secs(1)));
        let over = UnixTime::from_secs(1_000 + LASTS.as_secs());
        assert_eq!(invitations.check(&made, "tea", over), None);
        assert_eq!(invitations.check(&made, "coffee", now), None);
        assert_eq!(Invitations::new().check(&made, "tea", now), None, "another run");
    }

    #[test]
    fn what_was_not_made_here_opens_nothing() {
        let (invitations, now) = (Invitations::new(), UnixTime::from_secs(1_000));
        let made = invitations.make("tea", now);
        for wrong in
            ["", "invitation.", "invitation.AAAA", &made[1..], &made[..made.len() - 2], &format!("{made}A")]
        {
            assert_eq!(invitations.check(wrong, "tea", now), None, "{wrong}");
        }
        // A later expiry is another one.
        let mut bytes = URL_SAFE_NO_PAD.decode(made.strip_prefix(PREFIX).unwrap()).unwrap();
        bytes[7] ^= 1;
        let forged = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(invitations.check(&forged, "tea", now), None);
    }
}
