//! What a reload changes in the admin room: who is let in, what credentials are
//! made with, whose pages may ask for them. And how reloads have gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::access::{Access, ApiKey};
use super::credentials::Mint;
use crate::relay::UnixTime;

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

/// The grants in force. Whoever replaces them keeps the other end of this.
pub struct Live {
    access: Access,
    grants: RwLock<Arc<Grants>>,
}

impl Live {
    /// `token` is the run's, which no reload changes; see
    /// [`random_token`](super::random_token). Empty: none.
    pub fn new(token: &str, mut grants: Grants) -> Self {
        let access = Access::new(token, &std::mem::take(&mut grants.api_keys));
        Self { access, grants: RwLock::new(Arc::new(grants)) }
    }

    /// These from now on. A key that stays as it was keeps what it has used up.
    pub fn replace(&self, mut grants: Grants) {
        self.access.replace(&std::mem::take(&mut grants.api_keys));
        *self.grants.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(grants);
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
