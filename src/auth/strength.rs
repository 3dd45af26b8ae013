//! Whether a secret is one that an attacker tries first (RFC 8489 §16.1.1: an
//! eavesdropper can test passwords offline against one captured message).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shortest shared secret, in characters.
const SECRET_LENGTH: usize = 16;
/// Shortest password of a static user, in characters.
const PASSWORD_LENGTH: usize = 8;
/// Fewest different characters in either.
const DIFFERENT_CHARACTERS: usize = 5;

/// What placeholders begin with, in lower case and with letters and digits only.
const PLACEHOLDER_BEGINNINGS: &[&str] =
    &["changeinprod", "changeme", "changethis", "modifyme", "replacethis"];

/// What placeholders begin with as a passphrase may too, and what they ask for.
const REQUEST_BEGINNINGS: &[&str] = &["changeto", "enteryour", "insert", "putyour", "replace", "your"];
const REQUESTED: &[&str] =
    &["domain", "here", "key", "password", "random", "realm", "secret", "server", "string", "token"];

/// What stands around placeholders.
const PLACEHOLDER_BRACKETS: &[(&str, &str)] =
    &[("<", ">"), ("[", "]"), ("${", "}"), ("{", "}"), ("$(", ")"), ("__", "__"), ("%", "%"), ("@", "@")];

/// Values printed in manuals, sample configurations and tutorials of TURN
/// servers, in lower case and with letters and digits only.
const SAMPLES: &[&str] = &[
    "0xbc807ee29df3c9ffa736523fb2c4e8ee",
    "1234567890",
    "1234567890abcdef",
    "123456789",
    "12345678",
    "abcdefgh",
    "adminadmin",
    "changeit",
    "credential",
    "examplepassword",
    "examplesecret",
    "floe",
    "hero",
    "insecure",
    "key1",
    "key2",
    "letmein",
    "logen",
    "longandcryptic",
    "mypassword",
    "mysecret",
    "mysecretkey",
    "mystaticauthsecret",
    "ninefingers",
    "north",
    "openrelayproject",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "password1234",
    "password2",
    "qwerty",
    "qwertyui",
    "replaceme",
    "secret",
    "secretkey",
    "secretpassword",
    "secretvalue",
    "sharedsecret",
    "sharedsecretkey",
    "somepassword",
    "somesecret",
    "staticauthsecret",
    "supersecret",
    "supersecretkey",
    "supersecretpassword",
    "test1234",
    "testpassword",
    "testsecret",
    "turnpassword",
    "turnsecret",
    "turnsharedsecret",
    "verysecret",
    "youhavetoberealistic",
];

/// Whether a secret or password is printed in manuals, for everybody to read, or
/// is a [placeholder](is_placeholder).
pub fn is_sample(text: &str) -> bool {
    SAMPLES.contains(&plain(text).as_str()) || is_placeholder(text)
}

/// Whether a manual prints this where a value of one's own belongs: `<secret>`,
/// `[your secret key here]`, `${TURN_SECRET}`, `__turnSecret__`, `CHANGE_ME_…`,
/// `xxxxxxxx`.
pub fn is_placeholder(text: &str) -> bool {
    let plain = plain(text);
    let within = |(open, close): &(&str, &str)| text.strip_prefix(open)?.strip_suffix(close);
    let variable = |name: &str| name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| plain.starts_with(beginning));
    begins(PLACEHOLDER_BEGINNINGS)
        || (begins(REQUEST_BEGINNINGS) && REQUESTED.iter().any(|what| plain.contains(what)))
        || PLACEHOLDER_BRACKETS.iter().filter_map(within).any(is_words)
        || text.strip_prefix('$').is_some_and(|name| variable(name) && is_words(name))
        || (!text.is_empty() && text.chars().all(|c| "xX.…*-_ ".contains(c)))
}

/// Nothing but what a description is written with, and not the digits of a key.
fn is_words(text: &str) -> bool {
    text.contains(char::is_alphabetic)
        && text.chars().filter(char::is_ascii_digit).count() <= 2
        && text.chars().all(|c| c.is_alphanumeric() || " _-.,:/|${}".contains(c))
}

/// What is wrong with a shared secret of `auth.secrets`, if anything: it is out
/// of a manual, has fewer than 16 characters, or fewer than 5 different ones.
/// The words complete "the secret …".
pub fn weak_secret(secret: &str) -> Option<&'static str> {
    weakness(secret, SECRET_LENGTH, "has fewer than 16 characters")
}

/// What is wrong with the password of a static user, if anything: it is out of a
/// manual, has fewer than 8 characters, or fewer than 5 different ones. The
/// words complete "the password …".
pub fn weak_password(password: &str) -> Option<&'static str> {
    weakness(password, PASSWORD_LENGTH, "has fewer than 8 characters")
}

/// Keys in the manual and the source of coturn's `turnutils_oauth` and
/// `turnutils_uclient -J`, cut to the length that the algorithm takes.
const SAMPLE_TOKEN_KEYS: &[&[u8]] = &[
    b"01234567890123456789012345678901",
    b"12345678901234567890123456789012",
    b"1234567890123456",
    b"HGkj32KJGiuy098sdfaqbNjOiaz71923",
];

/// What is wrong with a base64 key of `auth.oauth-keys`, if anything: it is out of
/// a manual, or has fewer than 5 different bytes. Its length is the algorithm's
/// affair. The words complete "the key …".
pub fn weak_token_key(key: &str) -> Option<&'static str> {
    let mut bytes = STANDARD.decode(key.trim()).ok()?;
    if SAMPLE_TOKEN_KEYS.contains(&bytes.as_slice()) {
        return Some("is a sample out of a manual");
    }
    bytes.sort_unstable();
    bytes.dedup();
    (bytes.len() < DIFFERENT_CHARACTERS).then_some("has fewer than 5 different bytes")
}

fn weakness(text: &str, least: usize, short: &'static str) -> Option<&'static str> {
    if is_sample(text) {
        return Some("is a sample out of a manual");
    }
    if text.chars().count() < least {
        return Some(short);
    }
    let mut different: Vec<char> = text.chars().collect();
    different.sort_unstable();
    different.dedup();
    (different.len() < DIFFERENT_CHARACTERS).then_some("has fewer than 5 different characters")
}

/// Its letters and digits, as [`SAMPLES`] are written.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // H-035
    #[test]
    fn samples_are_known_however_they_are_written() {
        for sample in ["north", "CHANGE_ME", "changeme", "Change-Me!", "secret", "password", "logen"] {
            assert_eq!(weak_secret(sample), Some("is a sample out of a manual"), "{sample}");
            assert_eq!(weak_password(sample), Some("is a sample out of a manual"), "{sample}");
        }
        assert!(weak_secret("your-static-auth-secret").is_some());
        assert!(weak_secret("examplesecret").is_some());
    }

    // H-035
    #[test]
    fn what_manuals_print_for_a_secret_of_ones_own_is_none() {
        for placeholder in [
            "__turnSecret__",
            "[your secret key here]",
            "<yourChosen/GeneratedSecret>",
            "<secret_value>",
            "<openssl rand -hex 32>",
            "<$TURN_SECRET>",
            "${TURN_SHARED_SECRET}",
            "{{ turn_secret | quote }}",
            "$TURN_SECRET",
            "%TURN_SECRET%",
            "CHANGE_ME_TO_A_LONG_RANDOM_STRING",
            "your-secure-turn-secret-123",
            "REPLACE_WITH_64_CHAR_RANDOM_SECRET",
            "INSERT_SECRET_HERE",
            "xxxxxxxx-xxxx-xxxx",
            "................",
        ] {
            assert_eq!(weak_secret(placeholder), Some("is a sample out of a manual"), "{placeholder}");
        }
        for own in [
            "<5f2b8c1d9e7a4036f1c2d3b4a5968778>",
            "$5f2b8c1d9e7a4036f1c2d3b4a5968778",
            "$5F2B8C1D9E7A4036F1C2D3B4A5968778",
            "[k3Vq9x*Tz0LmN4wBp]",
            "correct horse battery staple",
            "You rock the boat, Berta",
            "insert coin, 2 players",
            "replacement bus 0815",
            "ключ-от-квартиры-где",
            "мой-secret-для-звонков",
            "!?:;+#~&%$§=/()<>",
        ] {
            assert_eq!(weak_secret(own), None, "{own}");
        }
        assert!(!is_sample(""));
    }

    // H-035
    #[test]
    fn token_keys_out_of_manuals_are_known() {
        let weak = |bytes: &[u8]| weak_token_key(&STANDARD.encode(bytes));
        assert_eq!(
            weak_token_key("SEdrajMyS0pHaXV5MDk4c2RmYXFiTmpPaWF6NzE5MjM="),
            Some("is a sample out of a manual")
        );
        assert_eq!(weak(b"1234567890123456"), Some("is a sample out of a manual"));
        assert_eq!(weak(&[0; 32]), Some("has fewer than 5 different bytes"));
        assert_eq!(weak(b"0123012301230123"), Some("has fewer than 5 different bytes"));
        assert_eq!(weak(b"k3Vq9xTz0LmN4wBpk3Vq9xTz0LmN4wBp"), None);
    }

    // H-035
    #[test]
    fn short_ones_are_weak() {
        assert_eq!(weak_secret("k3Vq9xTz0LmN4wB"), Some("has fewer than 16 characters"));
        assert_eq!(weak_secret("k3Vq9xTz0LmN4wBp"), None);
        assert_eq!(weak_password("k3Vq9xT"), Some("has fewer than 8 characters"));
        assert_eq!(weak_password("k3Vq9xTz"), None);
        assert!(weak_password("").is_some());
        // Characters count, not bytes.
        assert!(weak_password("äöüßéèà").is_some());
    }

    // H-035
    #[test]
    fn repetition_is_weak() {
        assert_eq!(weak_secret("aaaaaaaaaaaaaaaaaaaaaaaa"), Some("has fewer than 5 different characters"));
        assert_eq!(weak_password("abcabcabcabc"), Some("has fewer than 5 different characters"));
        assert_eq!(weak_secret("5f2b8c1d9e7a4036f1c2d3b4a5968778"), None);
    }
}
