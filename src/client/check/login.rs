//! Whether the credentials are taken, and when not, which of the reasons that all
//! answer 401 it is.

use std::time::Duration;

use super::report::{Cause, Finding, Step};
use super::{Doctor, LASTS, Login, Target, in_words, now};
use crate::client::Credentials;
use crate::client::turn::session::SessionError;
use crate::client::turn::{Failure, Request};

/// What a server said to signed requests.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Who signed is known. An allocation may still be refused.
    Known,
    /// 401, or an answer that is signed with another password.
    Unknown(String),
    /// Something else went wrong.
    Failed(String),
}

impl Doctor<'_> {
    /// The credentials that the server takes.
    pub(super) async fn login(&mut self, target: &Target<'_>) -> Option<Credentials> {
        self.begin(Step::Login);
        let credentials = match &self.options.login {
            Login::None(why) => {
                self.add(Finding::skipped(Step::Login, why.clone()));
                return None;
            }
            Login::As(credentials) => credentials.clone(),
            Login::Minted(mint) => mint(now() + LASTS),
        };
        match self.try_login(target, &credentials).await {
            Verdict::Known => {
                let kind = match &self.options.login {
                    Login::Minted(_) => format!(", time-limited, good for {}", in_words(LASTS)),
                    _ => String::new(),
                };
                self.add(Finding::ok(Step::Login, format!("as {:?}{kind}", credentials.username)));
                if let Login::Minted(_) = &self.options.login {
                    self.clock(target).await;
                }
                Some(credentials)
            }
            Verdict::Failed(why) => {
                let advice = "see the server's log; it names the reason";
                self.add(Finding::failed(Step::Login, Cause::Refused, why, advice));
                None
            }
            Verdict::Unknown(why) => {
                let finding = match &self.options.login {
                    Login::Minted(_) => match self.later_expiry(target).await {
                        Some(finding) => finding,
                        None => wrong_secret(&why),
                    },
                    _ => expired(&credentials.username).unwrap_or_else(|| wrong_password(&why, &credentials)),
                };
                self.add(finding);
                None
            }
        }
    }

    /// Asks for an allocation with these credentials, and deletes it.
    pub(super) async fn try_login(&self, target: &Target<'_>, credentials: &Credentials) -> Verdict {
        let mut session = match self.open(&target.endpoint, Some(credentials)).await {
            Ok(session) => session,
            Err(error) => return Verdict::Failed(error.to_string()),
        };
        let outcome = session.ask(Request::allocate()).await;
        if outcome.is_ok() {
            let _ = session.ask(Request::refresh(Duration::ZERO)).await;
        }
        session.close().await;
        match outcome {
            Ok(_) => Verdict::Known,
            Err(SessionError::Request(failure)) => judge(&failure),
            Err(error @ SessionError::Connection(_)) => Verdict::Failed(error.to_string()),
        }
    }
}

fn judge(failure: &Failure) -> Verdict {
    match failure {
        Failure::Refused { refusal, .. } => match refusal.code {
            // 441 is said of credentials that do not fit those of before.
            401 | 441 => Verdict::Unknown(refusal.to_string()),
            // The turn crate's server says 400 to a wrong password.
            400 => Verdict::Unknown(refusal.to_string()),
            _ => Verdict::Known,
        },
        Failure::Unsigned { .. } => Verdict::Unknown(failure.to_string()),
        Failure::Silent { .. } | Failure::Unanswerable(_) => Verdict::Failed(failure.to_string()),
    }
}

/// When a name that carries its expiry has ended by this machine's clock.
fn expired(username: &str) -> Option<Finding> {
    let end = expiry(username)?;
    let ago = now().checked_sub(end)?;
    Some(Finding::failed(
        Step::Login,
        Cause::ExpiredCredential,
        format!("401: the credentials of {username:?} expired {} ago", in_words(ago)),
        "get new ones from the application (or give --secret, and they are made here); if they are new, \
         its clock is slow",
    ))
}

/// `expiry` or `expiry:user`, as time-limited names begin.
fn expiry(username: &str) -> Option<u64> {
    let digits = username.split(':').next().unwrap_or(username);
    // Shorter ones are names that happen to be numbers; longer ones no times.
    (9..=11).contains(&digits.len()).then(|| digits.parse().ok()).flatten()
}

fn wrong_password(why: &str, credentials: &Credentials) -> Finding {
    let found = match expiry(&credentials.username) {
        None => why.to_owned(),
        Some(end) => format!(
            "{why}; by this machine's clock they are good for {} more, so it is the shared secret that differs, or \
             the server's clock",
            in_words(end.saturating_sub(now()))
        ),
    };
    Finding::failed(
        Step::Login,
        Cause::WrongPassword,
        found,
        "compare name and password with the server's (floe: auth.users; coturn: user=); floe's log says which of \
         both it was (floe::login)",
    )
}

fn wrong_secret(why: &str) -> Finding {
    Finding::failed(
        Step::Login,
        Cause::WrongPassword,
        format!("{why}; no expiry makes it better, so it is the shared secret"),
        "compare it with the server's (floe: auth.secrets; coturn: static-auth-secret, with use-auth-secret), to the \
         last blank",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_read_from_names_that_carry_one() {
        assert_eq!(expiry("1790000000:alice"), Some(1_790_000_000));
        assert_eq!(expiry("1790000000"), Some(1_790_000_000));
        for name in ["alice", "42:alice", "1790000000000:alice", "179000000x:alice", ""] {
            assert_eq!(expiry(name), None, "{name}");
        }
        assert_eq!(expired("1000000000:alice").unwrap().cause, Some(Cause::ExpiredCredential));
        assert!(expired("99999999999:alice").is_none() && expired("alice").is_none());
    }
}
