use super::*;

const NAME: &str = "turn.example.org";
const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(self.0);
    }
}

fn settings(kid: &str) -> OauthKeySettings {
    OauthKeySettings {
        kid: kid.into(),
        key: STANDARD.encode(kid.repeat(32).as_bytes().first_chunk::<32>().unwrap()).into(),
        algorithm: Algorithm::A256Gcm,
        not_before: UnixTime::from_secs(0),
        lifetime: 0,
        authority: String::new(),
    }
}

fn key(kid: &str) -> OauthKey {
    OauthKey::new(&settings(kid)).unwrap()
}

fn valid_for_a_day(kid: &str) -> OauthKey {
    OauthKey::new(&OauthKeySettings { not_before: NOW, lifetime: 86_400, ..settings(kid) }).unwrap()
}

fn servers(keys: Vec<OauthKey>) -> AuthorizationServers {
    let settings = ThirdPartySettings { server_name: NAME.into(), keys, max_allocations: 3 };
    AuthorizationServers::new(settings, &mut Counting(0)).unwrap().unwrap()
}

fn later(secs: u64) -> UnixTime {
    UnixTime::from_secs(NOW.secs() + secs)
}

fn mint(key: &OauthKey, at: UnixTime) -> MintedToken {
    AccessTokenOf { key, server_name: NAME, lifetime: 600 }.mint(at)
}

/// A token as an authorization server makes it, whose clock is its own affair.
struct AccessTokenOf<'a> {
    key: &'a OauthKey,
    server_name: &'a str,
    lifetime: u32,
}

impl AccessTokenOf<'_> {
    fn mint(&self, timestamp: UnixTime) -> MintedToken {
        let token =
            AccessToken { mac_key: [5; 20].into_iter().collect(), timestamp, lifetime: self.lifetime };
        MintedToken { token: token.seal(&self.key.key, self.server_name, [1; 12]), mac_key: token.mac_key }
    }
}

#[test]
fn what_is_minted_is_granted() {
    let servers = servers(vec![key("a"), key("b")]);
    let minted = key("b").mint(NAME, 600, NOW, &mut Counting(9)).unwrap();
    let grant = servers.grant(NOW, "b", &minted.token).unwrap();
    assert_eq!(minted.mac_key.len(), 20);
    assert!(grant.key == minted.mac_key);
    assert_eq!(grant.lasts, Duration::from_secs(605));
    assert_eq!(grant.max_allocations, 3);
    let other = key("b").mint(NAME, 600, NOW, &mut Counting(19)).unwrap();
    assert!(other.mac_key != minted.mac_key && other.token[2..14] != minted.token[2..14]);
}

// E-022 E-028
#[test]
fn the_kid_says_which_key_and_the_name_which_server() {
    let servers = servers(vec![key("a"), key("b")]);
    let token = mint(&key("a"), NOW).token;
    assert!(servers.grant(NOW, "a", &token).is_ok());
    assert_eq!(servers.grant(NOW, "b", &token), Err(TokenFault::Sealed));
    for nobody in ["c", "", "A"] {
        assert_eq!(servers.grant(NOW, nobody, &token), Err(TokenFault::UnknownKey), "{nobody:?}");
    }
    let elsewhere = AccessTokenOf { key: &key("a"), server_name: "other.example.org", lifetime: 600 };
    assert_eq!(servers.grant(NOW, "a", &elsewhere.mint(NOW).token), Err(TokenFault::Sealed));
}

// Keys roll over.
// E-022
#[test]
fn a_key_is_good_in_its_time_and_five_seconds_around_it() {
    let key = valid_for_a_day("a");
    let servers = servers(vec![key.clone()]);
    let at =
        |now: u64| servers.grant(UnixTime::from_secs(now), "a", &mint(&key, UnixTime::from_secs(now)).token);
    let (start, end) = (NOW.secs(), later(86_400).secs());
    assert_eq!(at(start - 6), Err(TokenFault::KeyOutOfTime));
    assert!(at(start - 5).is_ok() && at(start).is_ok());
    assert!(at(end).is_ok() && at(end + 4).is_ok());
    assert_eq!(at(end + 5), Err(TokenFault::KeyOutOfTime));
    assert_eq!(at(end - 100).unwrap().lasts, Duration::from_secs(105), "not longer than its key");
    assert!(key.mint(NAME, 60, later(86_405), &mut Counting(0)).is_err());
}

#[test]
fn a_user_is_a_token() {
    let servers = servers(vec![key("a")]);
    let one = mint(&key("a"), NOW).token;
    let other = mint(&key("a"), later(1)).token;
    let user = |token: &[u8], now| servers.grant(now, "a", token).unwrap().user;
    assert_eq!(user(&one, NOW), user(&one, later(100)));
    assert_ne!(user(&one, NOW), user(&other, NOW));
    assert!(user(&one, NOW).starts_with("a#"));
}

#[test]
fn an_authority_has_as_many_keys_as_it_likes() {
    let of = |kid: &str, authority: &str| {
        OauthKey::new(&OauthKeySettings { authority: authority.into(), ..settings(kid) }).unwrap()
    };
    let servers = servers(vec![of("a", "one"), of("b", "one"), of("c", "two")]);
    let authority = |kid: &str| servers.grant(NOW, kid, &mint(&key(kid), NOW).token).unwrap().authority;
    assert_eq!(authority("a"), authority("b"));
    assert_ne!(authority("a"), authority("c"));
}

#[test]
fn what_cannot_work_is_refused() {
    let refusal = |change: &dyn Fn(&mut OauthKeySettings)| {
        let mut settings = settings("a");
        change(&mut settings);
        OauthKey::new(&settings).unwrap_err().to_string()
    };
    assert_eq!(refusal(&|s| s.kid.clear()), "its kid is empty");
    assert_eq!(refusal(&|s| s.kid = "k".repeat(509)), "its kid has more than 508 bytes");
    assert_eq!(refusal(&|s| s.key.push('!')), "its key is not base64 (RFC 4648 §4)");
    assert_eq!(refusal(&|s| s.key.clear()), "its key has 0 bytes; A256GCM takes 32");
    assert_eq!(refusal(&|s| s.algorithm = Algorithm::A128Gcm), "its key has 32 bytes; A128GCM takes 16");
    let twice =
        ThirdPartySettings { server_name: NAME.into(), keys: vec![key("a"), key("a")], max_allocations: 0 };
    assert_eq!(AuthorizationServers::new(twice, &mut Counting(0)).err().unwrap(), "a".into());
}
