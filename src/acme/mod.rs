//! Certificates from an ACME server (RFC 8555), obtained and renewed while the
//! server runs: one for all names of `[acme]`. What is issued goes to
//! [`Certificates`] and into a file of the state directory; sessions keep what they
//! began with. Whatever fails, the certificate that is there stays; the failure is
//! logged and counted, and tried again later. On a full disk the account and the
//! certificate are used from memory until there is room, so that the server is not
//! asked for others again and again.
//!
//! `instant-acme` speaks the protocol: it takes the HTTP client it is given and
//! ring, and knows ARI (RFC 9773). `rustls-acme` is a TLS acceptor of its own,
//! has no HTTP-01 on a port of ours, and would sit between `net` and its
//! connections.
//!
//! Called by `server`; [`net`](crate::net) and `http01` show the proofs.

mod answers;
mod files;
mod http;
mod http01;
mod issued;
mod order;
mod schedule;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::net::{Certificates, TlsChallenges};
use answers::{Answers, Tokens};
use files::{Files, KeptAccount};
use http::{Http, Unreached};
use issued::Issued;
use order::{OrderError, Wish};
use schedule::Failures;

/// Longest sleep: the clock may be set, and a machine may be suspended.
const LOOK: Duration = Duration::from_secs(3600);

/// How often the server is asked for its advice, whatever it says.
const ADVICE: std::ops::Range<Duration> = Duration::from_secs(60)..Duration::from_secs(86_400);

/// The account that the server does not know (any more): a test server forgets.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What certificates are asked for with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host names and IP addresses.
    pub names: Vec<String>,
    /// `mailto:` URLs.
    pub contact: Vec<String>,
    /// URL of the server's directory.
    pub directory: String,
    /// Empty: the server's default.
    pub profile: String,
    /// PEM; `None`: the system's.
    pub roots: Option<PathBuf>,
    /// It must be there.
    pub state_directory: PathBuf,
}

/// How it is shown that the names are ours.
#[derive(Debug)]
pub enum Proof {
    /// At these listeners, see [`listen_http`].
    Http(Vec<TcpListener>),
    /// By whoever does TLS.
    Tls(Arc<TlsChallenges>),
}

/// Orders, and what came of them. What was issued and can't be kept counts as both.
#[derive(Debug, Default)]
pub struct Tally {
    issued: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Certificates issued, and attempts that failed: to have one, or to keep it.
    pub fn read(&self) -> (u64, u64) {
        (self.issued.load(Relaxed), self.failed.load(Relaxed))
    }
}

/// The file that holds the certificate below this state directory, whether it is
/// there or not.
pub fn certificate_file(state_directory: &Path) -> PathBuf {
    Files::below(state_directory).certificate()
}

/// Binds an address for [`Proof::Http`]; needs no runtime.
pub fn listen_http(address: SocketAddr) -> io::Result<TcpListener> {
    http01::bind(address)
}

/// Looks after one certificate.
pub struct Keeper {
    settings: Settings,
    files: Files,
    http: Http,
    proof: Proof,
    certificates: Arc<Certificates>,
    tally: Arc<Tally>,
}

impl Keeper {
    /// `certificates` await [`certificate_file`].
    ///
    /// # Errors
    /// `settings.roots` can't be used.
    pub fn new(settings: Settings, proof: Proof, certificates: Arc<Certificates>) -> io::Result<Self> {
        let http = Http::new(settings.roots.as_deref())?;
        let files = Files::below(&settings.state_directory);
        Ok(Self { settings, files, http, proof, certificates, tally: Arc::default() })
    }

    /// What it counts.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Sees to the certificate for as long as it is polled.
    pub async fn run(self) {
        let Self { settings, files, http, proof, certificates, tally } = self;
        // Dropped with the future, and its tasks with it.
        let mut listeners = JoinSet::new();
        let answers = match proof {
            Proof::Tls(challenges) => Answers::Tls(challenges),
            Proof::Http(bound) => {
                let tokens = Arc::new(Tokens::default());
                for listener in bound {
                    listeners.spawn(http01::serve(listener, Arc::clone(&tokens)));
                }
                Answers::Http(tokens)
            }
        };
        let mut work =
            Work { settings, files, http, answers, tally, account: None, unkept: Unkept::default() };
        let mut failures = Failures::default();
        let mut plan = work.plan();
        loop {
            work.take_advice(&mut plan).await;
            let now = SystemTime::now();
            let left = plan.due.duration_since(now).unwrap_or_default();
            if !left.is_zero() {
                work.rest(left.min(plan.wait_at_most(now))).await;
                continue;
            }
            match work.renew(&plan, &certificates).await {
                Ok(()) => {
                    work.tally.issued.fetch_add(1, Relaxed);
                    plan = work.plan();
                    // It has no advice yet that is worth another order at once.
                    plan.advice = SystemTime::now() + LOOK;
                    if plan.due > SystemTime::now() {
                        failures = Failures::default();
                    } else {
                        // By this clock it is old already: orders without end would follow.
                        let pause = failures.pause(true, rand::random());
                        let again = pause.as_secs();
                        tracing::error!(target: "floe::acme", again, "the new certificate is due already; is the clock right?");
                        work.rest(pause).await;
                    }
                }
                Err(failed) => {
                    work.tally.failed.fetch_add(1, Relaxed);
                    let pause = failures.pause(failed.reached, rand::random());
                    let again = pause.as_secs();
                    tracing::error!(target: "floe::acme", error = %failed.text, again, "no certificate; tried again later");
                    work.rest(pause).await;
                }
            }
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What the next order depends on.
struct Plan {
    /// The one that is there and for these names.
    current: Option<Issued>,
    due: SystemTime,
    /// When the server is asked for its advice again.
    advice: SystemTime,
    /// Of this certificate, so that looking again does not move it.
    chance: f64,
}

impl Plan {
    fn wait_at_most(&self, now: SystemTime) -> Duration {
        LOOK.min(self.advice.duration_since(now).unwrap_or(Duration::from_secs(1)))
    }
}

/// Why there is no certificate.
struct Failed {
    text: String,
    /// The server was asked, and may count it.
    reached: bool,
}

impl<E: Into<OrderError>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        let unreached = matches!(&error, OrderError::Acme(Error::Other(cause)) if cause.is::<Unreached>());
        Self { text: error.to_string(), reached: !unreached }
    }
}

impl Failed {
    fn here(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), reached: true }
    }
}

/// What orders are made with.
struct Work {
    settings: Settings,
    files: Files,
    http: Http,
    answers: Answers,
    tally: Arc<Tally>,
    account: Option<Account>,
    unkept: Unkept,
}

/// What is in use, and not on the disk yet.
#[derive(Default)]
struct Unkept {
    account: Option<KeptAccount<AccountCredentials>>,
    certificate: Option<String>,
    failures: Failures,
}

impl Work {
    /// From the certificate that is there.
    fn plan(&self) -> Plan {
        let now = SystemTime::now();
        let chance = rand::random();
        let pem = self.unkept.certificate.clone().or_else(|| self.files.read_certificate());
        let current = pem.and_then(|pem| match Issued::read(&pem) {
            Ok(issued) => Some(issued).filter(|issued| issued.is_for(&self.settings.names)),
            Err(error) => {
                let file = self.files.certificate();
                tracing::warn!(target: "floe::acme", file = %file.display(), %error, "a new certificate is needed");
                None
            }
        });
        let due = current.as_ref().map_or(now, |issued| issued.life.renewal(chance));
        Plan { current, due, advice: now, chance }
    }

    /// Waits, and meanwhile puts on the disk what is not there yet, beginning at once.
    async fn rest(&mut self, length: Duration) {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(self.keep())).await;
        }
    }

    /// Puts on the disk what is not there yet. Returns after how long to try again.
    fn keep(&mut self) -> Duration {
        let Unkept { account, certificate, failures } = &mut self.unkept;
        let written = [
            account.as_ref().map_or(Ok(()), |account| self.files.write_account(account)),
            certificate.as_ref().map_or(Ok(()), |pem| self.files.write_certificate(pem)),
        ];
        let Err(error) = written.into_iter().collect::<io::Result<()>>() else {
            self.unkept = Unkept::default();
            return LOOK;
        };
        self.tally.failed.fetch_add(1, Relaxed);
        let pause = failures.pause(false, rand::random());
        let again = pause.as_secs();
        tracing::error!(target: "floe::acme", %error, again, "in use, but lost with a restart; kept later");
        pause
    }

    /// Asks the server when to renew (RFC 9773); what can't be had changes
    /// nothing.
    async fn take_advice(&mut self, plan: &mut Plan) {
        let now = SystemTime::now();
        let Some(issued) = plan.current.as_ref().filter(|_| plan.advice <= now && plan.due > now) else {
            return;
        };
        plan.advice = now + ADVICE.end;
        let Some(id) = &issued.id else { return };
        let Ok(account) = self.account().await else { return };
        match account.renewal_info(id).await {
            Ok((info, again)) => {
                let window = (info.suggested_window.start.into(), info.suggested_window.end.into());
                plan.due = issued.life.suggested(window, plan.chance);
                plan.advice = now + again.clamp(ADVICE.start, ADVICE.end);
            }
            Err(Error::Unsupported(_)) => {}
            Err(error) => tracing::debug!(target: "floe::acme", %error, "no advice when to renew"),
        }
    }

    /// Obtains a certificate and has it shown; it is still to be kept.
    async fn renew(&mut self, plan: &Plan, certificates: &Arc<Certificates>) -> Result<(), Failed> {
        let account = self.account().await?;
        let Settings { names, profile, .. } = &self.settings;
        let replaces = plan.current.as_ref().and_then(|issued| issued.id.as_ref());
        tracing::info!(target: "floe::acme", ?names, "asking for a certificate");
        let pem = match order::obtain(&account, Wish { names, profile, replaces }, &self.answers).await {
            Ok(pem) => pem,
            Err(error) => {
                if is_account_unknown(&error) {
                    (self.account, self.unkept.account) = (None, None);
                    self.files.forget_account();
                }
                return Err(error.into());
            }
        };
        let issued = Issued::read(&pem)
            .map_err(|error| Failed::here(format!("what the server has issued can't be used: {error}")))?;
        if !issued.is_for(names) {
            return Err(Failed::here("what the server has issued is for other names"));
        }
        certificates.take(pem.clone().into_bytes()).map_err(Failed::here)?;
        let not_after = issued.life.ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        tracing::info!(target: "floe::acme", ?names, not_after, "a new certificate is shown");
        self.unkept.certificate = Some(pem);
        Ok(())
    }

    /// The account of this server, which is kept; made when there is none.
    async fn account(&mut self) -> Result<Account, Failed> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let Settings { directory, contact, .. } = &self.settings;
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let kept = self.files.read_account::<AccountCredentials>();
        let account = match kept.filter(|kept| kept.directory == *directory) {
            Some(kept) if kept.contact == *contact => builder.from_credentials(kept.credentials).await?,
            // Another contact, or another server: another account.
            _ => {
                let contacts: Vec<_> = contact.iter().map(String::as_str).collect();
                let new = NewAccount {
                    contact: &contacts,
                    // The configuration says so, or floe would not be here.
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
                let (directory, contact) = (directory.clone(), contact.clone());
                self.unkept.account = Some(KeptAccount { directory, contact, credentials });
                self.keep();
                account
            }
        };
        self.account = Some(account.clone());
        Ok(account)
    }
}

fn is_account_unknown(error: &OrderError) -> bool {
    matches!(error, OrderError::Acme(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT))
}
