use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_699_996_400);
const HOUR: Duration = Duration::from_secs(3600);

// F-001
#[test]
fn a_minted_credential_matches_the_vector() {
    let minted = mint(&Secret::new("north", "north"), Some("alice"), HOUR, NOW).unwrap();
    assert_eq!(minted.username, "1700000000:alice");
    assert_eq!(minted.password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
    assert_eq!(minted.expires, UnixTime::from_secs(1_700_000_000));
}

// F-003
#[test]
fn without_a_user_the_name_is_the_expiry_alone() {
    let secret = Secret::new("s", "k3Vq9xTz0LmN4wBp");
    let minted = mint(&secret, None, HOUR, NOW).unwrap();
    assert_eq!(minted.username, "1700000000");
    assert_eq!(mint(&secret, Some(""), HOUR, NOW).unwrap(), minted);
}

#[test]
fn the_expiry_is_capped_at_what_a_server_believes() {
    let minted = mint(&Secret::new("s", "x"), None, Duration::MAX, NOW).unwrap();
    assert_eq!(minted.expires, UnixTime::from_secs(LAST_EXPIRY));
    assert!(parse(&minted.username).is_some());
}

//
// USERNAME has at most 508 bytes.
#[test]
fn a_name_is_minted_up_to_508_bytes() {
    let secret = Secret::new("s", "x");
    let user = "u".repeat(508 - "1700000000:".len());
    assert_eq!(mint(&secret, Some(&user), HOUR, NOW).unwrap().username.len(), 508);
    assert_eq!(mint(&secret, Some(&format!("{user}u")), HOUR, NOW), Err(MintError::TooLong));
}

// F-011
#[test]
fn a_user_that_could_break_a_log_line_is_refused() {
    for user in ["a\nb", "a\0b", "\u{1b}[31m"] {
        assert!(matches!(mint(&Secret::new("s", "x"), Some(user), HOUR, NOW), Err(MintError::Name(_))));
    }
}

// H-035
// Secrets are never logged.
#[test]
fn debug_output_holds_no_secret() {
    let secret = Secret::new("newest", "k3Vq9xTz0LmN4wBp");
    let minted = mint(&secret, Some("alice"), HOUR, NOW).unwrap();
    let printed = format!("{secret:?} {minted:?}");
    assert!(printed.contains("newest") && printed.contains("alice"));
    assert!(!printed.contains("k3Vq9xTz0LmN4wBp") && !printed.contains(&minted.password));
}
