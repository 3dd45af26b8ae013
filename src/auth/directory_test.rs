use super::*;
use crate::auth::{Algorithm, OauthKey, OauthKeySettings, mint};
use std::time::Duration;

const NOW: UnixTime = UnixTime::from_secs(1_699_996_400);
const REALM: &str = "example.com";

struct Seven;

impl Random for Seven {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn user(name: &str, password: &str) -> User {
    User { name: name.into(), password: Zeroizing::new(password.into()), max_allocations: 0 }
}

fn settings(users: Vec<User>, secrets: &[&str]) -> DirectorySettings {
    let secrets = secrets.iter().map(|text| Secret::new("any", text)).collect();
    let third_party = ThirdPartySettings { server_name: REALM.into(), ..ThirdPartySettings::default() };
    DirectorySettings {
        realm: REALM.into(),
        users,
        secrets,
        max_allocations: 64,
        own_limits: vec![],
        third_party,
    }
}

fn directory(users: Vec<User>, secrets: &[&str]) -> Directory {
    Directory::new(settings(users, secrets), &mut Seven).unwrap()
}

fn refusal(settings: DirectorySettings) -> DirectoryError {
    Directory::new(settings, &mut Seven).err().unwrap()
}

/// The keys of vectors T1 and T2 too.
// A-086
#[test]
fn a_static_user_has_the_keys_of_its_password() {
    let directory = directory(vec![user("alice", "correct horse battery staple")], &[]);
    let account = directory.account(NOW, "alice");
    assert_eq!(account.standing, Standing::Permanent);
    assert_eq!(&*account.user, "alice");
    let expected = LongTermKeys::derive("alice", REALM, "correct horse battery staple");
    assert!(account.keys == [expected]);
    assert_eq!(expected.md5[..4], [0x0a, 0xa9, 0x57, 0xa5]);
    assert_eq!(expected.sha256[..4], [0x94, 0xfc, 0xa8, 0xc7]);
}

// F-001
#[test]
fn a_time_limited_name_has_the_keys_of_its_hmac() {
    let account = directory(vec![], &["north"]).account(NOW, "1700000000:alice");
    assert_eq!(account.standing, Standing::Until(UnixTime::from_secs(1_700_000_000)));
    assert_eq!(account.max_allocations, 64);
    assert!(
        account.keys == [LongTermKeys::derive("1700000000:alice", REALM, "Cd/49soE35ICqcJF/bCTn8Z4OyE=")]
    );
}

#[test]
fn a_user_may_have_a_limit_of_its_own() {
    for (all, own, limit) in [(64, 8, 8), (4, 8, 4), (0, 8, 8), (64, 0, 64)] {
        let own_limits = vec![("page".to_owned(), own)];
        let settings = DirectorySettings { max_allocations: all, own_limits, ..settings(vec![], &["north"]) };
        let directory = Directory::new(settings, &mut Seven).unwrap();
        assert_eq!(directory.account(NOW, "1700000000:page").max_allocations, limit);
        assert_eq!(directory.account(NOW, "1700000000:alice").max_allocations, all);
    }
}

#[test]
fn what_is_minted_is_known() {
    let secret = Secret::new("any", "k3Vq9xTz0LmN4wBp");
    let minted = mint(&secret, Some("web:eve"), Duration::from_secs(60), NOW).unwrap();
    let account = directory(vec![], &["k3Vq9xTz0LmN4wBp"]).account(NOW, &minted.username);
    assert_eq!(account.standing, Standing::Until(minted.expires));
    assert_eq!(&*account.user, "web:eve");
    assert!(account.keys == [LongTermKeys::derive(&minted.username, REALM, &minted.password)]);
}

// F-002
// The engine compares, so that an expired name costs what a good one does.
#[test]
fn an_expired_name_keeps_its_expiry() {
    let account = directory(vec![], &["north"]).account(NOW, "1000000000:alice");
    assert_eq!(account.standing, Standing::Until(UnixTime::from_secs(1_000_000_000)));
}

// F-003
#[test]
fn a_bare_expiry_counts_under_its_whole_name() {
    let directory = directory(vec![], &["north"]);
    for name in ["1700000000", "1700000000:"] {
        let account = directory.account(NOW, name);
        assert_eq!(account.standing, Standing::Until(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(&*account.user, name);
    }
}

// F-004
#[test]
fn a_name_is_split_at_its_first_colon() {
    let directory = directory(vec![], &["north"]);
    assert_eq!(&*directory.account(NOW, "1700000000:a:b:").user, "a:b:");
    assert_eq!(directory.account(NOW, "alice:1700000000").standing, Standing::Unknown);
}

// F-005
#[test]
fn two_credentials_of_one_user_count_as_one() {
    let directory = directory(vec![], &["north"]);
    let (one, other) =
        (directory.account(NOW, "1700000000:alice"), directory.account(NOW, "1700000600:alice"));
    assert_eq!(one.user, other.user);
}

// F-008
#[test]
fn every_current_secret_gives_a_candidate_newest_first() {
    let name = "1700000000:alice";
    let account = directory(vec![], &["new one", "north"]).account(NOW, name);
    assert_eq!(account.keys.len(), 2);
    assert!(account.keys[1] == LongTermKeys::derive(name, REALM, "Cd/49soE35ICqcJF/bCTn8Z4OyE="));
    assert!(account.keys[0] != account.keys[1]);
}

// F-009
#[test]
fn absurd_expiries_belong_to_nobody() {
    let directory = directory(vec![], &["north"]);
    for name in [
        "",
        ":",
        ":alice",
        "-1700000000:alice",
        "+1700000000:alice",
        " 1700000000:alice",
        "1700000000 :alice",
        "0x65535400:alice",
        "1_700_000_000:alice",
        "1.7e9:alice",
        "\u{661}\u{667}00000000:alice",
        "253402300799:alice",
        "1700000000000:alice",
        "99999999999999999999:alice",
        "18446744073709551616:alice",
        "32503680001:alice",
        "alice",
    ] {
        assert_eq!(directory.account(NOW, name).standing, Standing::Unknown, "{name:?}");
    }
    assert!(matches!(directory.account(NOW, "32503680000:alice").standing, Standing::Until(_)));
    assert!(matches!(directory.account(NOW, "0:alice").standing, Standing::Until(_)));
}

#[test]
fn without_secrets_a_time_limited_name_belongs_to_nobody() {
    let directory = directory(vec![user("alice", "k3Vq9xTz")], &[]);
    assert_eq!(directory.account(NOW, "1700000000:alice").standing, Standing::Unknown);
}

#[test]
fn a_static_user_wins_over_the_time_limited_reading() {
    let name = "1700000000:alice";
    let mut alice = user(name, "k3Vq9xTz");
    alice.max_allocations = 3;
    let account = directory(vec![alice], &["north", "south"]).account(NOW, name);
    assert_eq!(account.standing, Standing::Permanent);
    assert_eq!(&*account.user, name);
    assert_eq!(account.max_allocations, 3);
    assert!(account.keys.contains(&LongTermKeys::derive(name, REALM, "k3Vq9xTz")));
    assert!(!account.keys.contains(&LongTermKeys::derive(name, REALM, "Cd/49soE35ICqcJF/bCTn8Z4OyE=")));
}

/// Nothing an account costs tells known from unknown.
// H-033 H-034
#[test]
fn every_name_has_as_many_candidates() {
    for secrets in [&[][..], &["one"], &["one", "two", "three"]] {
        let directory = directory(vec![user("alice", "k3Vq9xTz")], secrets);
        for name in ["alice", "mallory", "1700000000:bob", ""] {
            assert_eq!(directory.account(NOW, name).keys.len(), secrets.len().max(1), "{name:?}");
        }
    }
}

/// Names that nobody has asked for before, in turns: of users with the wrong
/// password, and of nobody.
// H-033
#[test]
#[ignore = "slow: measures time"]
fn the_time_does_not_tell_known_from_unknown() {
    const SAMPLES: usize = 10_000;
    let directory = directory(Vec::new(), &["one", "two"]);
    let time = |name: String| {
        let start = std::time::Instant::now();
        std::hint::black_box(directory.account(NOW, &name));
        start.elapsed().as_nanos() as f64
    };
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for n in 0..SAMPLES {
        known.push(time(format!("1700000000:user-{n:05}")));
        unknown.push(time(format!("notanumber:user-{n:05}")));
    }
    let quartiles = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| times[quarter * SAMPLES / 4])
    };
    let (known, unknown) = (quartiles(&mut known), quartiles(&mut unknown));
    // Quartiles for deviations and medians for means, or a pause of the machine
    // would count as noise.
    let sigma = (known[2] - known[0]) / 1.349;
    assert!((known[1] - unknown[1]).abs() < sigma, "{known:?} against {unknown:?} ns");
}

// H-034
// Or an unknown name's keys could be guessed.
#[test]
fn the_keys_of_nobody_come_from_this_process_alone() {
    struct Eight;
    impl Random for Eight {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(8);
        }
    }
    let one = directory(vec![], &["north"]).account(NOW, "mallory");
    let other = Directory::new(settings(vec![], &["north"]), &mut Eight).unwrap().account(NOW, "mallory");
    assert!(one.keys != other.keys);
    let shared = time_limited::password(Secret::new("any", "north").password_key(), "mallory");
    assert!(one.keys != [LongTermKeys::derive("mallory", REALM, &shared)]);
}

#[test]
fn keys_are_derived_once() {
    let directory = directory(vec![user("alice", "k3Vq9xTz")], &["north"]);
    for name in ["alice", "mallory", "1700000000:bob"] {
        assert!(Arc::ptr_eq(&directory.account(NOW, name), &directory.account(NOW, name)), "{name}");
    }
}

// F-011
#[test]
fn a_flood_of_names_neither_grows_the_cache_nor_drives_out_who_is_in_use() {
    let directory = directory(vec![], &["north"]);
    let used: Vec<String> = (0..500).map(|n| format!("1700000000:user-{n}")).collect();
    for _ in 0..3 {
        used.iter().for_each(|name| drop(directory.account(NOW, name)));
    }
    let before: Vec<_> = used.iter().map(|name| directory.account(NOW, name)).collect();
    for n in 0..50_000 {
        directory.account(NOW, &format!("1700000000:stranger-{n}"));
    }
    assert!(directory.cached() <= CACHED_ACCOUNTS);
    let kept = used.iter().zip(&before).filter(|(name, was)| Arc::ptr_eq(&directory.account(NOW, name), was));
    assert!(kept.count() >= 450);
}

/// Alice has the USERHASH of vector T3.
// A-078
#[test]
fn a_static_user_is_found_by_its_userhash() {
    let directory = directory(vec![user("alice", "k3Vq9xTz"), user("bob", "k3Vq9xTz")], &[]);
    let hash: [u8; 32] = [
        0x18, 0x28, 0x21, 0xe6, 0x35, 0x18, 0xdb, 0x2d, 0xd7, 0x74, 0xc8, 0x2f, 0x81, 0x42, 0x29, 0x1d, 0x03,
        0x76, 0x02, 0x53, 0x11, 0xd4, 0xa5, 0x98, 0x8d, 0x61, 0xe5, 0xa5, 0xdf, 0xaf, 0xbb, 0xde,
    ];
    assert_eq!(directory.name_of_hash(&hash).as_deref(), Some("alice"));
    assert_eq!(directory.name_of_hash(&[0; 32]), None);
}

// A-063
#[test]
fn users_are_enumerable_only_when_all_are_static() {
    let alice = || vec![user("alice", "k3Vq9xTz")];
    assert!(directory(alice(), &[]).enumerable());
    assert!(!directory(alice(), &["north"]).enumerable());
    assert!(!directory(vec![], &["north"]).enumerable());
    assert!(!directory(vec![], &[]).enumerable());
}

fn with_keys(users: Vec<User>, secrets: &[&str], kids: &[&str]) -> Result<Directory, DirectoryError> {
    let key = |kid: &&str| {
        let settings = OauthKeySettings {
            kid: (*kid).into(),
            key: "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".to_owned().into(),
            algorithm: Algorithm::A256Gcm,
            not_before: UnixTime::from_secs(0),
            lifetime: 0,
            authority: String::new(),
        };
        OauthKey::new(&settings).unwrap()
    };
    let mut settings = settings(users, secrets);
    settings.third_party.keys = kids.iter().map(key).collect();
    Directory::new(settings, &mut Seven)
}

// E-020 E-021
#[test]
fn access_tokens_are_taken_where_there_are_keys() {
    assert!(directory(vec![], &["north"]).third_party().is_none());
    let directory = with_keys(vec![], &["north"], &["a"]).unwrap();
    assert_eq!(directory.third_party().unwrap().server_name(), REALM);
}

// A-063
#[test]
fn a_kid_is_found_by_its_userhash_too() {
    let directory = with_keys(vec![user("alice", "k3Vq9xTz")], &[], &["key 1", "key 2"]).unwrap();
    assert_eq!(directory.name_of_hash(&userhash("key 2", REALM)).as_deref(), Some("key 2"));
    assert!(directory.enumerable());
    assert!(with_keys(vec![], &[], &["key 1"]).unwrap().enumerable());
    assert!(!with_keys(vec![], &["north"], &["key 1"]).unwrap().enumerable());
}

#[test]
fn a_kid_is_nobodys_name() {
    let refused = |users, kids: &[&str]| with_keys(users, &[], kids).err().unwrap();
    assert_eq!(refused(vec![user("alice", "k3Vq9xTz")], &["alice"]), DirectoryError::Kid("alice".into()));
    assert_eq!(refused(vec![], &["a", "a"]), DirectoryError::Kid("a".into()));
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused(vec![], &many), DirectoryError::TooManyOauthKeys(65));
}

// A-087
#[test]
fn names_realm_and_password_are_normalised() {
    let mut unusual = settings(vec![user("rene\u{301}", "pa\u{a0}ss\u{a0}wo\u{308}rd")], &[]);
    unusual.realm = "cafe\u{301}".into();
    let directory = Directory::new(unusual, &mut Seven).unwrap();
    assert_eq!(directory.realm(), "caf\u{e9}");
    let account = directory.account(NOW, "ren\u{e9}");
    assert!(account.keys == [LongTermKeys::derive("ren\u{e9}", "caf\u{e9}", "pa ss w\u{f6}rd")]);
}

#[test]
fn what_cannot_work_is_refused() {
    use DirectoryError::*;
    let named = |name: &str| refusal(settings(vec![user(name, "k3Vq9xTz")], &[]));
    assert_eq!(named(""), Name(String::new(), NotOpaque::Empty));
    assert_eq!(named("a\nb"), Name("a\nb".into(), NotOpaque::Character(10, 1)));
    assert_eq!(named(&"u".repeat(509)), LongName("u".repeat(509)));
    let empty = refusal(settings(vec![user("alice", "")], &[]));
    assert_eq!(empty, Password("alice".into(), NotOpaque::Empty));
    let twice = vec![user("rene\u{301}", "k3Vq9xTz"), user("ren\u{e9}", "other one")];
    assert_eq!(refusal(settings(twice, &[])), Twice("ren\u{e9}".into()));
    assert_eq!(refusal(settings(vec![], &["s"; 17])), TooManySecrets(17));
}

// A-084
#[test]
fn the_realm_has_the_form_it_is_sent_in() {
    for (realm, good) in [
        ("floe", true),
        ("a b", true),
        ("a\"b", false),
        ("a\\b", false),
        (&"r".repeat(128), false),
        ("", false),
    ] {
        let settings = DirectorySettings { realm: realm.into(), ..settings(vec![], &["north"]) };
        assert_eq!(Directory::new(settings, &mut Seven).is_ok(), good, "{realm:?}");
    }
}

// H-035
// Secrets are never logged.
#[test]
fn debug_output_and_errors_hold_no_secret() {
    let printed = format!("{:?}", directory(vec![user("alice", "k3Vq9xTz")], &["north"]));
    assert!(!printed.contains("k3Vq9xTz") && !printed.contains("north"));
    let error = refusal(settings(vec![user("alice", "hidden\u{ad}")], &[]));
    assert!(!error.to_string().contains("hidden"));
}
