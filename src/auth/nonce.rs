//! Where the keys of nonces come from.

use ring::hmac;

use super::time_limited::Secret;
use crate::relay::world::Random;

/// What separates this use of a secret from every other.
const LABEL: &[u8] = b"floe nonce key";

/// The keys of nonces, at least one; the first signs, all are accepted. From
/// `nonce_secret` when it isn't empty, else from each of `secrets` in order, so
/// that nonces survive a restart, a rotation of secrets and a change of server
/// in a fleet; else random (DESIGN.md §5.2).
pub fn nonce_keys(nonce_secret: &str, secrets: &[Secret], random: &mut dyn Random) -> Vec<[u8; 32]> {
    if !nonce_secret.is_empty() {
        return vec![nonce_key(nonce_secret)];
    }
    if !secrets.is_empty() {
        return secrets.iter().map(|secret| *secret.nonce_key()).collect();
    }
    let mut key = [0; 32];
    random.fill(&mut key);
    vec![key]
}

/// HMAC-SHA256 of the label under the secret.
pub(super) fn nonce_key(secret: &str) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), LABEL);
    let mut key = [0; 32];
    key.copy_from_slice(tag.as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Random for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            self.0 += 1;
            bytes.fill(self.0);
        }
    }

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new("any", text)).collect()
    }

    #[test]
    fn a_nonce_secret_is_the_only_source_when_it_is_set() {
        let with = nonce_keys("shared by the fleet", &secrets(&["one", "two"]), &mut Counting(0));
        let without = nonce_keys("shared by the fleet", &[], &mut Counting(7));
        assert_eq!(with.len(), 1);
        assert_eq!(with, without);
    }

    //
    // A rotated secret still vouches for the nonces it has made.
    #[test]
    fn each_shared_secret_gives_a_key_newest_first() {
        let before = nonce_keys("", &secrets(&["old"]), &mut Counting(0));
        let after = nonce_keys("", &secrets(&["new", "old"]), &mut Counting(0));
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn without_any_secret_every_run_has_a_key_of_its_own() {
        let mut random = Counting(0);
        let (one, other) = (nonce_keys("", &[], &mut random), nonce_keys("", &[], &mut random));
        assert_eq!(one.len(), 1);
        assert_ne!(one, other);
    }

    #[test]
    fn a_nonce_key_is_not_the_secret_itself() {
        let text = "0123456789abcdef0123456789abcdef";
        assert_ne!(nonce_keys(text, &[], &mut Counting(0))[0], text.as_bytes());
    }
}
