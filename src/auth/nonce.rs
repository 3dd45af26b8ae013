//! Where the keys of nonces come from.

use ring::hmac;

use super::time_limited::Secret;

/// What separates this use of a secret from every other.
const LABEL: &[u8] = b"floe nonce key";

/// The keys of nonces, at least one; the first signs, all are accepted. From
/// `nonce_secret` when it isn't empty, else from each of `secrets` in order, so
/// that nonces survive a restart, a rotation of secrets and a change of server
/// in a fleet. `None` when there is neither: then the key has to be random, and
/// the same until the process ends, since a reload must not end what clients hold.
pub fn nonce_keys(nonce_secret: &str, secrets: &[Secret]) -> Option<Vec<[u8; 32]>> {
    if !nonce_secret.is_empty() {
        return Some(vec![nonce_key(nonce_secret)]);
    }
    (!secrets.is_empty()).then(|| secrets.iter().map(|secret| *secret.nonce_key()).collect())
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

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new("any", text)).collect()
    }

    #[test]
    fn a_nonce_secret_is_the_only_source_when_it_is_set() {
        let with = nonce_keys("shared by the fleet", &secrets(&["one", "two"])).unwrap();
        let without = nonce_keys("shared by the fleet", &[]).unwrap();
        assert_eq!(with.len(), 1);
        assert_eq!(with, without);
    }

    //
    // A rotated secret still vouches for the nonces it has made.
    #[test]
    fn each_shared_secret_gives_a_key_newest_first() {
        let before = nonce_keys("", &secrets(&["old"])).unwrap();
        let after = nonce_keys("", &secrets(&["new", "old"])).unwrap();
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn without_any_secret_the_run_has_to_have_a_key_of_its_own() {
        assert_eq!(nonce_keys("", &[]), None);
    }

    #[test]
    fn a_nonce_key_is_not_the_secret_itself() {
        let text = "0123456789abcdef0123456789abcdef";
        assert_ne!(nonce_keys(text, &[]).unwrap()[0], text.as_bytes());
    }
}
