//! The server's clock against this machine's. TURN tells no time, but a server
//! that takes time-limited credentials shows when it thinks that they end: the
//! earliest expiry that it accepts is its own now.

use super::login::Verdict;
use super::report::{Cause, Finding, Step};
use super::{Doctor, LASTS, Login, Mint, Target, in_words, now};

/// A difference that is none: the time that requests take, clocks set by hand.
const SLACK: i64 = 120;
/// The farthest that is looked for.
const FARTHEST: i64 = 86_400;
/// How exactly it is found out, seconds.
const EXACTLY: i64 = 60;

impl Doctor<'_> {
    /// After a login that went well: does the server agree what time it is?
    pub(super) async fn clock(&mut self, target: &Target<'_>) {
        let Login::Minted(mint) = &self.options.login else { return };
        self.begin(Step::Clock);
        let lasts = i64::try_from(LASTS).unwrap_or(i64::MAX);
        let finding = match (self.takes(target, mint, SLACK).await, self.takes(target, mint, -SLACK).await) {
            (Some(true), Some(false)) => Finding::ok(
                Step::Clock,
                format!("within {} of this machine's", in_words(SLACK.unsigned_abs())),
            ),
            (Some(false), _) => match self.now_at_server(target, mint, SLACK, lasts).await {
                Some(ahead) => skewed(ahead, false),
                None => return,
            },
            (Some(true), Some(true)) => match self.takes(target, mint, -FARTHEST).await {
                Some(true) => Finding::warning(
                    Step::Clock,
                    Cause::ExpiryIgnored,
                    format!(
                        "credentials that ended {} ago are accepted: the server does not look at their expiry, or its \
                         clock is as slow as that",
                        in_words(FARTHEST.unsigned_abs())
                    ),
                    "set the server's clock (timedatectl); a server that ignores the expiry should be replaced",
                ),
                Some(false) => match self.now_at_server(target, mint, -FARTHEST, -SLACK).await {
                    Some(behind) => skewed(behind, false),
                    None => return,
                },
                None => return,
            },
            _ => return,
        };
        self.add(finding);
    }

    /// After a login that was refused: would credentials that last longer do?
    pub(super) async fn later_expiry(&self, target: &Target<'_>) -> Option<Finding> {
        let Login::Minted(mint) = &self.options.login else { return None };
        if self.takes(target, mint, FARTHEST).await != Some(true) {
            return None;
        }
        let lasts = i64::try_from(LASTS).unwrap_or(i64::MAX);
        let ahead = self.now_at_server(target, mint, lasts, FARTHEST).await?;
        Some(skewed(ahead, true))
    }

    /// How far from this machine's now the server's is: between `refused` and
    /// `taken`, two expiries of which it is known.
    async fn now_at_server(
        &self,
        target: &Target<'_>,
        mint: &Mint,
        mut refused: i64,
        mut taken: i64,
    ) -> Option<i64> {
        while taken - refused > EXACTLY {
            let middle = refused.midpoint(taken);
            match self.takes(target, mint, middle).await? {
                true => taken = middle,
                false => refused = middle,
            }
        }
        Some(taken)
    }

    /// Whether credentials are taken that end so many seconds from now; `None`:
    /// not to be found out.
    async fn takes(&self, target: &Target<'_>, mint: &Mint, from_now: i64) -> Option<bool> {
        let credentials = mint(now().saturating_add_signed(from_now));
        match self.try_login(target, &credentials).await {
            Verdict::Known => Some(true),
            Verdict::Unknown(_) => Some(false),
            Verdict::Failed(_) => None,
        }
    }
}

fn skewed(seconds: i64, locked_out: bool) -> Finding {
    const ADVICE: &str = "see `timedatectl` on both machines and on the one that makes the credentials; let NTP set their clocks";
    let by = in_words(seconds.unsigned_abs());
    match (seconds > 0, locked_out) {
        (true, true) => Finding::failed(
            Step::Login,
            Cause::ClockSkew,
            format!(
                "401: the secret is right, but the server's clock is {by} ahead of this machine's, so credentials for \
                 {} have expired when they are made",
                in_words(LASTS)
            ),
            ADVICE,
        ),
        (true, false) => Finding::warning(
            Step::Clock,
            Cause::ClockSkew,
            format!(
                "the server's is {by} ahead of this machine's: credentials end so much sooner than they say"
            ),
            ADVICE,
        ),
        (false, _) => Finding::warning(
            Step::Clock,
            Cause::ClockSkew,
            format!(
                "the server's is {by} behind this machine's: credentials are good for so much longer than they say"
            ),
            ADVICE,
        ),
    }
}
