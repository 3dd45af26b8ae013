//! What a reload changes in the admin room: who is let in, what credentials are
//! made with, whose pages may ask for them, where the server is. And how reloads
//! have gone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::access::{Access, ApiKey};
use super::credentials::Mint;
use crate::relay::{Transport, UnixTime};

/// Who may ask for what.
#[derive(Default)]
pub struct Grants {
    /// `admin.api-keys`.
    pub api_keys: Vec<ApiKey>,
    /// Makes credentials; `None` without a shared secret.
    pub mint: Option<Arc<dyn Mint>>,
    /// The same by the names of the secrets, for keys that name theirs.
    pub tenants: HashMap<String, Arc<dyn Mint>>,
    /// Origins whose pages may ask for credentials; `*` is all.
    pub cors: Vec<String>,
}

/// Where clients reach the server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// What it listens on, with real ports.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
}

impl Reach {
    /// The URLs of TURN, those with an IPv6 literal last: Janus splits at `:` and
    /// reads the first.
    pub(super) fn turn(&self) -> Vec<&str> {
        let urls = self.urls.iter().map(String::as_str);
        let mut turn: Vec<_> = urls.filter(|url| url.starts_with("turn")).collect();
        turn.sort_by_key(|url| url.contains('['));
        turn
    }
}

/// What is in force. Whoever replaces it keeps the other end of this.
pub struct Live {
    access: Access,
    grants: RwLock<Arc<Grants>>,
    reach: RwLock<Arc<Reach>>,
}

impl Live {
    /// `token` is the run's, which no reload changes; see
    /// [`random_token`](super::random_token). Empty: none.
    pub fn new(token: &str, mut grants: Grants, reach: Reach) -> Self {
        let access = Access::new(token, &std::mem::take(&mut grants.api_keys));
        Self { access, grants: RwLock::new(Arc::new(grants)), reach: RwLock::new(Arc::new(reach)) }
    }

    /// These from now on. A key that stays as it was keeps what it has used up.
    pub fn replace(&self, mut grants: Grants, reach: Reach) {
        self.access.replace(&std::mem::take(&mut grants.api_keys));
        *self.grants.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(grants);
        *self.reach.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reach);
    }

    /// Where clients reach the server.
    pub fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.reach.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// All but the keys, which are not kept.
    pub(super) fn grants(&self) -> Arc<Grants> {
        Arc::clone(&self.grants.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is read anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// The configuration, with all that it names.
    Configuration,
    /// The files of the certificates alone.
    Certificates,
}

impl Reading {
    pub(super) const ALL: [Self; 2] = [Self::Configuration, Self::Certificates];

    /// In metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Certificates => "certificates",
        }
    }
}

/// How reloads have gone since the start, which counts as none.
#[derive(Debug, Default)]
pub struct Reloads {
    /// By [`Reading`]: those that were put in force, and those that changed nothing.
    counts: [[AtomicU64; 2]; 2],
    /// Seconds since 1970; the start's until the first.
    last_success: AtomicU64,
}

impl Reloads {
    /// None yet.
    pub fn new(started: UnixTime) -> Self {
        Self { last_success: AtomicU64::new(started.secs()), ..Self::default() }
    }

    /// One is over.
    pub fn count(&self, what: Reading, succeeded: bool, now: UnixTime) {
        self.counts[what as usize][usize::from(!succeeded)].fetch_add(1, Relaxed);
        if succeeded && what == Reading::Configuration {
            self.last_success.store(now.secs(), Relaxed);
        }
    }

    /// What was read, `success` or `failure`, and how often.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Reading, &'static str, u64)> {
        Reading::ALL.into_iter().flat_map(|what| {
            let [good, bad] = &self.counts[what as usize];
            [(what, "success", good.load(Relaxed)), (what, "failure", bad.load(Relaxed))]
        })
    }

    pub(super) fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }
}
