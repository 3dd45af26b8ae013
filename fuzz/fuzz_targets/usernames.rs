//! Any bytes as a USERNAME, and as a name that a credential is made for: everybody
//! is looked up, nobody is mistaken for another, and what is minted logs in.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Duration;

use floe::auth::{
    Directory, DirectorySettings, LAST_EXPIRY, Secret, ThirdPartySettings, User, mint, opaque_string,
};
use floe::relay::UnixTime;
use floe::relay::world::{Random, Standing, Users as _};
use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const REALM: &str = "example.org";
const ALGORITHM: PasswordAlgorithm = PasswordAlgorithm::Md5;

struct Zeros;

impl Random for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

static SECRETS: LazyLock<[Secret; 2]> =
    LazyLock::new(|| [Secret::new("new", "one"), Secret::new("old", "two")]);
static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    let user = User { name: "alice".into(), password: "alice's".to_owned().into(), max_allocations: 0 };
    let secrets = SECRETS.to_vec();
    let third_party = ThirdPartySettings::default();
    let settings = DirectorySettings {
        realm: REALM.into(),
        users: vec![user],
        secrets,
        max_allocations: 8,
        own_limits: vec![],
        third_party,
    };
    Directory::new(settings, &mut Zeros).unwrap()
});

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check_account(text);
    if let Ok(opaque) = opaque_string(text) {
        assert_eq!(opaque_string(&opaque).as_deref(), Ok(&*opaque), "normal once is normal for good");
        assert!(!opaque.chars().any(char::is_control));
    }
    let ttl = Duration::from_secs(u64::from(data.len() as u32) << (data.first().unwrap_or(&0) % 40));
    for (place, secret) in SECRETS.iter().enumerate() {
        let Ok(minted) = mint(secret, Some(text), ttl, NOW) else { continue };
        assert!(minted.username.len() <= 508 && minted.expires.secs() <= LAST_EXPIRY);
        let account = DIRECTORY.account(NOW, &minted.username);
        assert_eq!(account.standing, Standing::Until(minted.expires));
        let keys = LongTermKeys::derive(&minted.username, REALM, &minted.password);
        let fits = account.keys.iter().position(|candidate| candidate.key(ALGORITHM) == keys.key(ALGORITHM));
        assert_eq!(fits, Some(place), "it logs in by its own secret");
        let user = opaque_string(text).unwrap_or_default();
        let counted = if user.is_empty() { &minted.username } else { &*user };
        assert_eq!(&*account.user, counted);
    }
}

/// Whoever it is, as many keys come out, and the plainest reading of the name agrees.
fn check_account(name: &str) {
    let account = DIRECTORY.account(NOW, name);
    assert_eq!(account.keys.len(), SECRETS.len());
    let (digits, user) = name.split_once(':').unwrap_or((name, ""));
    let is_time = (1..=11).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let expiry = digits.parse().ok().filter(|secs: &u64| is_time && *secs <= LAST_EXPIRY);
    let standing = match (name, expiry) {
        ("alice", _) => Standing::Permanent,
        (_, Some(secs)) => Standing::Until(UnixTime::from_secs(secs)),
        (_, None) => Standing::Unknown,
    };
    assert_eq!(account.standing, standing);
    let counted = if expiry.is_some() && !user.is_empty() { user } else { name };
    assert_eq!(&*account.user, counted);
}
