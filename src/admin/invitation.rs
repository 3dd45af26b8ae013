//! Invitations: what lets somebody into one room for a while, and to credentials
//! for it, without a key. So that the link to a room can be given away, and the
//! holder of a key need not give the key.
//!
//! Nothing is stored: an invitation is its expiry and an HMAC over that, the room's
//! name and whose key it was made with, under a key of this run. A restart ends
//! them all, and a key that is taken out of the configuration takes its own with
//! it. What it mints counts as its maker's.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::access::Key;
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

    /// One for `room` by the holder of `key`, good until [`LASTS`] from now.
    pub(super) fn make(&self, key: &Key, room: &str, now: UnixTime) -> String {
        let expiry = now.secs().saturating_add(LASTS.as_secs()).to_be_bytes();
        let tag = hmac::sign(&self.0, &signed(key, expiry, room));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&expiry, tag.as_ref()].concat()))
    }

    /// Which of `keys` made `shown`, and for how much longer it opens `room`; `None`
    /// when it does not.
    pub(super) fn check(
        &self,
        keys: &[Arc<Key>],
        shown: &str,
        room: &str,
        now: UnixTime,
    ) -> Option<(Arc<Key>, Duration)> {
        let bytes = URL_SAFE_NO_PAD.decode(shown.strip_prefix(PREFIX)?).ok()?;
        let (expiry, tag) = bytes.split_first_chunk::<EXPIRY>()?;
        let key = keys.iter().find(|key| hmac::verify(&self.0, &signed(key, *expiry, room), tag).is_ok())?;
        let left = u64::from_be_bytes(*expiry).checked_sub(now.secs())?;
        (left > 0).then(|| (Arc::clone(key), Duration::from_secs(left)))
    }
}

/// The first two have a fixed length.
fn signed(key: &Key, expiry: [u8; EXPIRY], room: &str) -> Vec<u8> {
    [key.tag(), &expiry, room.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::access::{Access, ApiKey};
    use super::super::credentials::Terms;
    use super::*;

    /// The run's token and one key.
    fn access() -> Access {
        let key = ApiKey { name: "shop".into(), key: "k".into(), terms: Terms::unlimited() };
        Access::new("the-token", &[key])
    }

    fn shop(access: &Access) -> Arc<Key> {
        access.keys().iter().find(|key| &*key.name == "shop").unwrap().clone()
    }

    #[test]
    fn an_invitation_opens_its_room_until_its_time() {
        let (access, invitations, now) = (access(), Invitations::new(), UnixTime::from_secs(1_000));
        let made = invitations.make(&shop(&access), "tea", now);
        let check = |invitations: &Invitations, room, now| {
            let (key, left) = invitations.check(&access.keys(), &made, room, now)?;
            Some((key.name.to_string(), left))
        };
        let by_shop = |left| Some(("shop".to_owned(), left));
        assert_eq!(check(&invitations, "tea", now), by_shop(LASTS));
        let last = UnixTime::from_secs(1_000 + LASTS.as_secs() - 1);
        assert_eq!(check(&invitations, "tea", last), by_shop(Duration::from_secs(1)));
        let over = UnixTime::from_secs(1_000 + LASTS.as_secs());
        assert_eq!(check(&invitations, "tea", over), None);
        assert_eq!(check(&invitations, "coffee", now), None);
        assert_eq!(check(&Invitations::new(), "tea", now), None, "another run");
        let others = Access::new("the-token", &[]).keys();
        assert!(invitations.check(&others, &made, "tea", now).is_none(), "its maker's key is gone");
    }

    #[test]
    fn what_was_not_made_here_opens_nothing() {
        let (access, invitations, now) = (access(), Invitations::new(), UnixTime::from_secs(1_000));
        let made = invitations.make(&shop(&access), "tea", now);
        let opens = |shown: &str| invitations.check(&access.keys(), shown, "tea", now).is_some();
        assert!(opens(&made));
        for wrong in
            ["", "invitation.", "invitation.AAAA", &made[1..], &made[..made.len() - 2], &format!("{made}A")]
        {
            assert!(!opens(wrong), "{wrong}");
        }
        // A later expiry is another one.
        let mut bytes = URL_SAFE_NO_PAD.decode(made.strip_prefix(PREFIX).unwrap()).unwrap();
        bytes[7] ^= 1;
        let forged = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        assert!(!opens(&forged));
    }
}
