//! Who may use what is not open: an API key or the run's token.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::quality::RandomState;
use ring::hmac;

use super::Shared;
use super::credentials::{Allowance, Terms};
use super::reply::Refused;
use super::server::Source;
use crate::policy::Network;

/// Longest key that is looked at, bytes.
const MAX_KEY: usize = 512;
/// Wrong keys that one source may show in [`WINDOW`] before it gets 429.
const WRONG_KEYS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are told apart; more share places.
const PLACES: usize = 1024;

/// One of `admin.api-keys`.
#[derive(Clone)]
pub struct ApiKey {
    /// For logs.
    pub name: String,
    /// The secret itself, up to 512 bytes. An empty one is never right.
    pub key: String,
    /// What it may mint.
    pub terms: Terms,
}

/// A key that is known, and what it has used of what it may.
pub(super) struct Key {
    /// For logs; `token` for the run's token.
    pub(super) name: Arc<str>,
    /// The same for the same key, as long as the process lives.
    tag: hmac::Tag,
    /// Signs what its holder may show instead of it.
    signer: hmac::Key,
    pub(super) allowance: Allowance,
}

impl Key {
    fn new(comparer: &hmac::Key, ApiKey { name, key, terms }: &ApiKey) -> Self {
        Self {
            name: name.as_str().into(),
            tag: hmac::sign(comparer, key.as_bytes()),
            signer: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
            allowance: Allowance::new(terms.clone()),
        }
    }

    /// Only this key makes this tag.
    pub(super) fn sign(&self, text: &[u8]) -> hmac::Tag {
        hmac::sign(&self.signer, text)
    }

    /// What tells it from others in this run; it does not give the key away.
    pub(super) fn tag(&self) -> &[u8] {
        self.tag.as_ref()
    }

    /// Whether it is more than a key for credentials: who gives a key an id or a
    /// secret of its own hands it to somebody else, who must not rule here.
    pub(super) fn is_administrators(&self) -> bool {
        self.tenant() == (None, None)
    }

    /// Whom it was handed to, by id and secret; all administrators are one.
    pub(super) fn tenant(&self) -> (Option<&str>, Option<&str>) {
        let terms = self.allowance.terms();
        (terms.id.as_deref(), terms.secret.as_deref())
    }
}

/// Who asks, for logs.
#[derive(Clone)]
pub(super) struct Asker {
    /// The key's name.
    pub(super) key: Arc<str>,
    pub(super) source: IpAddr,
}

/// A token nobody guesses: 256 random bits in the URL-safe base64 alphabet.
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Why somebody may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    NoKey,
    WrongKey,
    TooManyWrong,
    /// A good key, but for credentials only.
    NotAdministrators,
}

/// Checks keys. A right key always passes, whatever came from its source
/// before: behind a reverse proxy everybody has one address, and a stranger
/// must not lock the others out.
pub(super) struct Access {
    /// Keys are compared by their HMAC under this random key, so that neither
    /// content nor length shows in the time it takes.
    comparer: hmac::Key,
    token: Arc<Key>,
    known: RwLock<Arc<[Arc<Key>]>>,
    wrong: Mutex<Box<[Wrong]>>,
    places: RandomState,
}

/// Wrong keys of the sources that share one place.
#[derive(Clone, Copy)]
struct Wrong {
    since: Option<Instant>,
    count: u32,
}

impl Access {
    pub(super) fn new(token: &str, keys: &[ApiKey]) -> Self {
        let comparer = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let wrong = Mutex::new(vec![Wrong { since: None, count: 0 }; PLACES].into());
        // An empty one must be nobody's: whoever asks shows at least nothing.
        let token = if token.is_empty() { random_token() } else { token.to_owned() };
        let own = ApiKey { name: "token".to_owned(), key: token, terms: Terms::unlimited() };
        let token = Arc::new(Key::new(&comparer, &own));
        let access =
            Self { comparer, token, known: RwLock::default(), wrong, places: RandomState::default() };
        access.replace(keys);
        access
    }

    /// Lets the run's token and these in from now on. One that is the same as before
    /// keeps what it has used up.
    pub(super) fn replace(&self, keys: &[ApiKey]) {
        let before = self.keys();
        let usable = keys.iter().filter(|key| !key.key.is_empty() && key.key.len() <= MAX_KEY);
        let kept = |key: Key| {
            let same = before.iter().find(|old| {
                old.tag.as_ref() == key.tag.as_ref()
                    && old.name == key.name
                    && old.allowance.terms() == key.allowance.terms()
            });
            same.map_or_else(|| Arc::new(key), Arc::clone)
        };
        let new = usable.map(|key| kept(Key::new(&self.comparer, key)));
        let all = std::iter::once(Arc::clone(&self.token)).chain(new).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Every key there is, the run's token first.
    pub(super) fn keys(&self) -> Arc<[Arc<Key>]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that was shown, whatever it is for.
    pub(super) fn key(&self, now: Instant, source: IpAddr, shown: Option<&str>) -> Result<Arc<Key>, Refusal> {
        let shown = shown.ok_or(Refusal::NoKey)?;
        let mut found = None;
        if shown.len() <= MAX_KEY {
            for key in self.keys().iter() {
                if hmac::verify(&self.comparer, shown.as_bytes(), key.tag.as_ref()).is_ok() {
                    found = Some(Arc::clone(key));
                }
            }
        }
        found.ok_or_else(|| self.count_wrong(now, source))
    }

    /// The key that was shown, if it is one that may see and do all.
    pub(super) fn administrator(
        &self,
        now: Instant,
        source: IpAddr,
        shown: Option<&str>,
    ) -> Result<Arc<Key>, Refusal> {
        let key = self.key(now, source, shown)?;
        if key.is_administrators() { Ok(key) } else { Err(Refusal::NotAdministrators) }
    }

    /// The key that signed `text` with `tag`.
    pub(super) fn signer(&self, text: &str, tag: &[u8]) -> Option<Arc<Key>> {
        let known = self.keys();
        known.iter().find(|key| hmac::verify(&key.signer, text.as_bytes(), tag).is_ok()).map(Arc::clone)
    }

    fn count_wrong(&self, now: Instant, source: IpAddr) -> Refusal {
        let place = self.places.hash_one(Network::of(source)) as usize % PLACES;
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = &mut wrong[place];
        if entry.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            *entry = Wrong { since: Some(now), count: 0 };
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count > WRONG_KEYS { Refusal::TooManyWrong } else { Refusal::WrongKey }
    }
}

/// Lets through only who shows an administrator's key, and tells the handler whose
/// it is. It comes by a header that a page of another origin can't set, so no
/// browser can be made to use its reader's.
pub(super) async fn keyed(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let key = shared.live.access().administrator(Instant::now(), source, bearer(request.headers()))?;
    request.extensions_mut().insert(Asker { key: key.name.clone(), source });
    Ok(next.run(request).await)
}

/// The key of `Authorization: Bearer …`, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let key =
            |name: &str, key: &str| ApiKey { name: name.into(), key: key.into(), terms: Terms::unlimited() };
        Access::new("the-token", &[key("janus", "first"), key("unset", ""), key("web", "second")])
    }

    fn shown(access: &Access, now: Instant, key: Option<&str>) -> Result<Arc<str>, Refusal> {
        access.key(now, HERE, key).map(|key| key.name.clone())
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn every_key_is_known_by_its_name() {
        let (access, now) = (access(), Instant::now());
        assert_eq!(shown(&access, now, Some("the-token")), Ok("token".into()));
        assert_eq!(shown(&access, now, Some("first")), Ok("janus".into()));
        assert_eq!(shown(&access, now, Some("second")), Ok("web".into()));
    }

    #[test]
    fn a_key_of_somebody_else_rules_nothing() {
        let key = |terms| ApiKey { name: "shop".into(), key: "k".into(), terms };
        let unlimited = Terms::unlimited;
        for (terms, rules) in [
            (unlimited(), true),
            (Terms { quota: 1, per_second: 1, max_lifetime: 1, ..unlimited() }, true),
            (Terms { id: Some("shop-1".into()), ..unlimited() }, false),
            (Terms { secret: Some("shop".into()), ..unlimited() }, false),
        ] {
            let access = Access::new("the-token", &[key(terms)]);
            let now = Instant::now();
            assert!(access.key(now, HERE, Some("k")).is_ok());
            assert_eq!(access.administrator(now, HERE, Some("k")).is_ok(), rules);
            assert!(access.administrator(now, HERE, Some("the-token")).is_ok());
        }
    }

    #[test]
    fn keys_can_be_replaced_and_those_that_stay_keep_what_they_have_used() {
        let terms = Terms { quota: 1, ..Terms::unlimited() };
        let key = |key: &str| ApiKey { name: "app".into(), key: key.into(), terms: terms.clone() };
        let (access, now) = (Access::new("the-token", &[key("stays"), key("goes")]), Instant::now());
        let take = |shown| access.key(now, HERE, Some(shown)).unwrap().allowance.take(now, 0, 60).is_ok();
        assert!(take("stays"));
        access.replace(&[key("comes"), key("stays")]);
        assert!(!take("stays"), "its quota is used up");
        assert!(take("comes"));
        assert_eq!(shown(&access, now, Some("goes")), Err(Refusal::WrongKey));
        assert_eq!(shown(&access, now, Some("the-token")), Ok("token".into()));
        access.replace(&[ApiKey { terms: Terms::unlimited(), ..key("stays") }]);
        assert!(take("stays"), "other terms begin anew");
    }

    #[test]
    fn empty_partial_and_huge_keys_are_wrong() {
        let (access, now) = (access(), Instant::now());
        assert_eq!(shown(&access, now, None), Err(Refusal::NoKey));
        for wrong in ["", "firs", "firsts", "First", &"x".repeat(100_000)] {
            assert_eq!(shown(&access, now, Some(wrong)), Err(Refusal::WrongKey), "{wrong:.10}");
        }
        assert_eq!(shown(&Access::new("", &[]), now, Some("")), Err(Refusal::WrongKey));
    }

    #[test]
    fn many_wrong_keys_are_refused_until_the_window_ends_and_right_ones_pass() {
        let (access, now) = (access(), Instant::now());
        for _ in 0..WRONG_KEYS {
            assert_eq!(shown(&access, now, Some("x")), Err(Refusal::WrongKey));
        }
        assert_eq!(shown(&access, now, Some("x")), Err(Refusal::TooManyWrong));
        assert_eq!(shown(&access, now, Some("first")), Ok("janus".into()));
        assert_eq!(shown(&access, now + WINDOW, Some("x")), Err(Refusal::WrongKey));
    }

    #[test]
    fn ipv6_sources_are_one_by_their_64() {
        let (access, now) = (access(), Instant::now());
        let shows = |at: u32| {
            let source = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, at as u16]);
            access.key(now, source, Some("x")).map(|_| ())
        };
        for at in 0..WRONG_KEYS {
            assert_eq!(shows(at), Err(Refusal::WrongKey));
        }
        assert_eq!(shows(WRONG_KEYS), Err(Refusal::TooManyWrong));
    }

    #[test]
    fn bearer_is_read_in_any_case_and_other_schemes_are_not() {
        let of = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&of("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&of("bearer  abc ")), Some("abc"));
        assert_eq!(bearer(&of("Basic abc")), None);
        assert_eq!(bearer(&of("abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn tokens_differ_and_fit_a_header_and_a_url() {
        let token = random_token();
        assert_eq!(token.len(), 43);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(token, random_token());
    }
}
