//! What `check` has found: one [`Finding`] a line, and the [`Report`] about all
//! of them.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// What a finding means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Seen, and right.
    Ok,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
    /// Could not be tried; does not count against the verdict.
    Skipped,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warning => "!",
            Self::Failed => "✗",
            Self::Skipped => "-",
        }
    }
}

macro_rules! named {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $enum { $($(#[$doc])* $name,)+ }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

named! {
    /// A step of the examination.
    Step {
        /// The name's addresses.
        Addresses = "addresses",
        /// The connection, where there is one.
        Connection = "connection",
        /// What the server shows over TLS.
        Certificate = "certificate",
        /// A Binding request, and the address that it tells.
        Binding = "binding",
        /// An Allocate request that nobody has signed.
        Challenge = "challenge",
        /// The same, signed.
        Login = "login",
        /// The server's clock against this machine's.
        Clock = "clock",
        /// The allocation.
        Allocation = "allocation",
        /// The address that it relays from.
        RelayedAddress = "relayed address",
        /// A permission for a second allocation.
        Permission = "permission",
        /// A channel to it.
        Channel = "channel",
        /// Packets through both relays, there and back.
        Echo = "echo",
        /// The largest packet that gets through.
        PacketSize = "packet size",
        /// A sample of the relay ports, from outside.
        RelayPorts = "relay ports",
        /// Peers that nobody should be let reach.
        PeerFilter = "peer filter",
        /// What webrtc-rs makes of the server.
        SecondOpinion = "second opinion",
        /// A longer life for the allocation.
        Refresh = "refresh",
        /// Its end.
        Deletion = "deletion",
        /// Files that may be open.
        Descriptors = "descriptors",
        /// Bytes that wait in a socket.
        SocketBuffers = "socket buffers",
        /// The kernel's table of flows.
        ConnectionTracking = "tracking",
        /// Several sockets on one port.
        ReusePort = "reuseport",
        /// Packets that the kernel joins.
        Offloads = "offloads",
        /// What could relay without leaving the kernel.
        FastPath = "fast path",
        /// The configuration.
        Configuration = "configuration",
        /// Who may use its files.
        Permissions = "permissions",
    }
}

named! {
    /// The kind of a fault, for programs.
    Cause {
        /// No such name, or it has no address.
        UnknownName = "unknown name",
        /// Nobody listens there.
        ClosedPort = "closed port",
        /// Nothing comes back.
        NoAnswer = "no answer",
        /// This machine has no way there.
        Unreachable = "unreachable",
        /// What answers is no STUN or TURN server, or no TLS.
        WrongProtocol = "wrong protocol",
        /// The certificate is for other names.
        CertificateName = "certificate name",
        /// It has expired.
        CertificateExpired = "certificate expired",
        /// It soon will have.
        CertificateExpires = "certificate expires",
        /// It is good from later on.
        CertificateNotYet = "certificate not yet valid",
        /// Nobody known here has issued it.
        CertificateUntrusted = "certificate untrusted",
        /// It can't be believed for another reason.
        CertificateInvalid = "certificate invalid",
        /// No credentials are asked for.
        OpenRelay = "open relay",
        /// The challenge can't be answered.
        BadChallenge = "bad challenge",
        /// The server knows no such user, or another password.
        WrongPassword = "wrong password",
        /// The credentials ended before now.
        ExpiredCredential = "expired credential",
        /// The clocks of server and minter differ.
        ClockSkew = "clock skew",
        /// Expired credentials are accepted.
        ExpiryIgnored = "expiry ignored",
        /// An error response.
        Refused = "refused",
        /// Clients elsewhere can't reach the relayed address.
        PrivateRelay = "private relay",
        /// Packets to relayed addresses don't arrive.
        RelayPortsBlocked = "relay ports blocked",
        /// Packets get lost.
        Loss = "loss",
        /// Packets of a common size don't get through.
        SmallPackets = "small packets",
        /// Peers are let in that nobody should reach.
        OpenPeerFilter = "open peer filter",
        /// webrtc-rs finds something else.
        Disagreement = "disagreement",
        /// Fewer open files than relay ports.
        FewDescriptors = "few descriptors",
        /// Less than is asked for.
        SmallBuffers = "small buffers",
        /// Too small for the relay ports.
        SmallTrackingTable = "small tracking table",
        /// The kernel can't.
        NotSupported = "not supported",
        /// Nobody sets it.
        ClockNotSynchronised = "clock not synchronised",
        /// `floe config check` warns of it.
        QuestionableSetting = "questionable setting",
        /// Nobody can log in.
        NoCredentials = "no credentials",
        /// It could be guessed.
        WeakSecret = "weak secret",
        /// One user may take everything.
        NoQuota = "no quota",
        /// Others could use the admin address.
        AdminExposed = "admin exposed",
        /// Too much is written.
        LoudLog = "loud log",
        /// Others could read them.
        ReadableSecrets = "readable secrets",
    }
}

/// One line of the examination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What was examined: a URL, or a transport and an address.
    pub at: String,
    /// Which step.
    pub step: Step,
    /// What it means.
    pub status: Status,
    /// What kind of fault, unless it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What was seen, and why it is so.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// Right.
    pub(super) fn ok(step: Step, found: impl Into<String>) -> Self {
        Self::new(step, Status::Ok, None, found.into(), None)
    }

    /// Could not be tried, and why.
    pub(super) fn skipped(step: Step, found: impl Into<String>) -> Self {
        Self::new(step, Status::Skipped, None, found.into(), None)
    }

    /// Works, but.
    pub(super) fn warning(
        step: Step,
        cause: Cause,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(step, Status::Warning, Some(cause), found.into(), Some(advice.into()))
    }

    /// Does not work.
    pub(super) fn failed(
        step: Step,
        cause: Cause,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(step, Status::Failed, Some(cause), found.into(), Some(advice.into()))
    }

    /// What the server has said may be in it, and it may end on a terminal.
    fn new(step: Step, status: Status, cause: Option<Cause>, found: String, advice: Option<String>) -> Self {
        let found = found.replace(char::is_control, " ");
        Self { at: String::new(), step, status, cause, found, advice }
    }

    /// One line or two: with marks for a terminal, with words otherwise.
    pub fn render(&self, marks: bool) -> String {
        let Self { step, found, .. } = self;
        let (sign, width) = if marks { (self.status.mark(), 1) } else { (self.status.word(), 7) };
        let mut text = format!("  {sign:<width$}  {step:<15}  {found}\n");
        if let Some(advice) = &self.advice {
            let _ = writeln!(text, "  {:<width$}  {:<15}  → {advice}", "", "");
        }
        text
    }
}

/// The whole examination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Nothing failed.
    pub ok: bool,
    /// One line for a person.
    pub verdict: String,
    /// How many findings are warnings.
    pub warnings: usize,
    /// How many are failures.
    pub failures: usize,
    /// Milliseconds from start to end.
    pub ms: u64,
    /// Every line, in order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// About these findings.
    pub(super) fn new(findings: Vec<Finding>, ms: u64) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let (failures, warnings, skipped) =
            (count(Status::Failed), count(Status::Warning), count(Status::Skipped));
        let counted = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        let mut verdict = match (failures, warnings) {
            (0, 0) => "all is well".to_owned(),
            (0, _) => format!("it works, with {}", counted(warnings, "warning")),
            _ => format!("{} and {}", counted(failures, "failure"), counted(warnings, "warning")),
        };
        if skipped > 0 {
            let _ = write!(verdict, "; {skipped} not checked");
        }
        Self { ok: failures == 0, verdict, warnings, failures, ms, findings }
    }

    /// The last line for a person.
    pub fn summary(&self) -> String {
        format!("{} ({} ms)\n", self.verdict, self.ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_warnings_and_what_was_skipped_counts_for_nothing() {
        let ok = Finding::ok(Step::Binding, "fine");
        let skipped = Finding::skipped(Step::Login, "no credentials");
        let warning = Finding::warning(Step::Echo, Cause::Loss, "1 of 50 lost", "look");
        let failed = Finding::failed(Step::Login, Cause::WrongPassword, "401", "look");
        let report = |findings: &[&Finding]| Report::new(findings.iter().map(|f| (*f).clone()).collect(), 7);
        let good = report(&[&ok, &skipped]);
        assert!(good.ok && good.verdict == "all is well; 1 not checked", "{good:?}");
        let warned = report(&[&ok, &warning]);
        assert!(warned.ok && warned.warnings == 1 && warned.verdict == "it works, with 1 warning");
        let bad = report(&[&warning, &failed, &warning]);
        assert!(!bad.ok && bad.verdict == "1 failure and 2 warnings", "{bad:?}");
    }

    #[test]
    fn lines_are_words_where_there_is_no_terminal_and_hold_no_control_characters() {
        let failed = Finding::failed(Step::Login, Cause::WrongPassword, "401\u{1b}[2J", "look there");
        assert_eq!(
            failed.render(false),
            "  FAILED   login            401 [2J\n                            → look there\n"
        );
        assert!(failed.render(true).starts_with("  ✗  login "));
    }
}
