//! Comparing secrets in constant time.

use ring::hmac;

/// Whether two secrets (an API key and what was presented) are the same. The
/// time it takes depends on their lengths alone, not on what they hold.
///
/// Both are compared by their HMACs: `ring::hmac::verify` is ring's public
/// constant-time comparison (`ring::constant_time` is deprecated), needs no
/// further crate where `subtle` would be one, and doesn't stop early on a
/// different length as `subtle` does.
pub fn same(presented: &[u8], kept: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"floe compare");
    hmac::verify(&key, presented, hmac::sign(&key, kept).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_equal_secrets_are_the_same() {
        assert!(same(b"key-1", b"key-1"));
        assert!(same(b"", b""));
        assert!(!same(b"key-2", b"key-1"));
        assert!(!same(b"key-", b"key-1"));
        assert!(!same(b"key-11", b"key-1"));
    }
}
