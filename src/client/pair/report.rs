//! The steps of a run, what was found at each, and the verdict.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::timeline::{Event, Side};

/// A step of the story, in the order it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The server answers and allocates.
    Server,
    /// Offer and answer were exchanged.
    Signaling,
    /// ICE candidates were gathered.
    Candidates,
    /// The connection state became `connected`.
    Connection,
    /// The data channel's open event.
    ChannelOpen,
    /// Text and binary messages, compared byte for byte.
    Messages,
    /// The track events with their stream.
    Tracks,
    /// RTP packets, counted and compared.
    Packets,
    /// The selected candidate pair, read back.
    SelectedPair,
    /// The data channel's close event.
    ChannelClose,
    /// The server's own counters.
    ServerBytes,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 11] = [
        Self::Server,
        Self::Signaling,
        Self::Candidates,
        Self::Connection,
        Self::ChannelOpen,
        Self::Messages,
        Self::Tracks,
        Self::Packets,
        Self::SelectedPair,
        Self::ChannelClose,
        Self::ServerBytes,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Signaling => "signaling",
            Self::Candidates => "ICE candidates",
            Self::Connection => "connection",
            Self::ChannelOpen => "channel open",
            Self::Messages => "messages",
            Self::Tracks => "media tracks",
            Self::Packets => "media packets",
            Self::SelectedPair => "selected pair",
            Self::ChannelClose => "channel close",
            Self::ServerBytes => "server's bytes",
        })
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Seen, and right.
    Ok,
    /// Seen, and wrong, or waited for in vain.
    Failed,
    /// The run ended before it.
    NotReached,
    /// Could not be asked for; does not count against the verdict.
    NotChecked,
}

/// One line of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which step.
    pub step: Step,
    /// What became of it.
    pub status: Status,
    /// What was seen, or the likely cause of the failure.
    pub detail: String,
}

/// A step that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where the story broke off.
    pub step: Step,
    /// The likely cause.
    pub cause: String,
    /// Only that the other side had ended: its own failure is the one to tell.
    pub others_end: bool,
}

impl Failure {
    /// Of `step`, because of `cause`.
    pub fn new(step: Step, cause: impl Into<String>) -> Self {
        Self { step, cause: cause.into().replace(char::is_control, " "), others_end: false }
    }
}

/// Steps that one side saw, with what it saw.
pub type Findings = BTreeMap<Step, String>;

/// The whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every step was seen and right.
    pub ok: bool,
    /// One line for a person.
    pub verdict: String,
    /// The server, resolved: `tcp:[::1]:3478`.
    pub server: String,
    /// `relay` or `all`.
    pub policy: String,
    /// What the local adapter did, when one was needed.
    pub adapter: Option<String>,
    /// Milliseconds from start to end.
    pub ms: u64,
    /// One check a step, in order.
    pub checks: Vec<Check>,
    /// Everything that happened.
    pub timeline: Vec<Event>,
}

impl Report {
    /// The verdict and each check: with ✓ and ✗ for a terminal, with words
    /// otherwise.
    pub fn render(&self, marks: bool) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match (check.status, marks) {
                (Status::Ok, true) => "✓",
                (Status::Failed, true) => "✗",
                (Status::NotReached | Status::NotChecked, true) => "-",
                (Status::Ok, false) => "ok",
                (Status::Failed, false) => "FAILED",
                (Status::NotReached | Status::NotChecked, false) => "-",
            };
            let width = if marks { 1 } else { 6 };
            let _ = writeln!(text, "  {mark:<width$}  {:<14}  {}", check.step, check.detail);
        }
        if let Some(adapter) = &self.adapter {
            let _ = writeln!(text, "{adapter}");
        }
        let _ = writeln!(text, "{} ({} ms)", self.verdict, self.ms);
        text
    }
}

/// One check a step from what each local side found and how it failed. `shared`
/// are the findings of the run as a whole, `skipped` the steps that could not be
/// asked for.
pub(super) fn checks(
    shared: &BTreeMap<Step, Result<String, String>>,
    skipped: &BTreeMap<Step, String>,
    sides: &[(Side, Findings, Option<Failure>)],
) -> Vec<Check> {
    let check = |step: Step| {
        let failed = sides.iter().find_map(|(side, _, failure)| {
            failure.as_ref().filter(|failure| failure.step == step).map(|f| format!("{side}: {}", f.cause))
        });
        let (status, detail) = if let Some(finding) = shared.get(&step) {
            match finding {
                Ok(detail) => (Status::Ok, detail.clone()),
                Err(cause) => (Status::Failed, cause.clone()),
            }
        } else if let Some(why) = skipped.get(&step) {
            (Status::NotChecked, format!("not checked: {why}"))
        } else if let Some(cause) = failed {
            (Status::Failed, cause)
        } else if let Some(detail) = agreed(step, sides) {
            (Status::Ok, detail)
        } else {
            (Status::NotReached, "not reached".to_owned())
        };
        Check { step, status, detail }
    };
    Step::ALL.into_iter().map(check).collect()
}

/// What all sides saw at a step; `None` when one of them did not get there.
fn agreed(step: Step, sides: &[(Side, Findings, Option<Failure>)]) -> Option<String> {
    let mut details = Vec::new();
    for (side, findings, _) in sides {
        details.push((side, findings.get(&step)?));
    }
    let (_, first) = details.first()?;
    if details.iter().all(|(_, detail)| detail == first) {
        return Some((*first).clone());
    }
    Some(details.iter().map(|(side, detail)| format!("{side}: {detail}")).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(
        side: Side,
        seen: &[(Step, &str)],
        failure: Option<Failure>,
    ) -> (Side, Findings, Option<Failure>) {
        (side, seen.iter().map(|&(step, detail)| (step, detail.to_owned())).collect(), failure)
    }

    fn status(checks: &[Check], step: Step) -> (Status, &str) {
        let check = checks.iter().find(|check| check.step == step).unwrap();
        (check.status, &check.detail)
    }

    #[test]
    fn a_step_counts_only_when_every_side_saw_it() {
        let sides = [
            side(Side::Offer, &[(Step::Connection, "connected"), (Step::Messages, "42 ok")], None),
            side(Side::Answer, &[(Step::Connection, "connected")], None),
        ];
        let checks = checks(&BTreeMap::new(), &BTreeMap::new(), &sides);
        assert_eq!(status(&checks, Step::Connection), (Status::Ok, "connected"));
        assert_eq!(status(&checks, Step::Messages), (Status::NotReached, "not reached"));
    }

    #[test]
    fn a_failure_names_its_side_and_outweighs_what_the_other_saw() {
        let failure = Failure::new(Step::Messages, "message 3 differs\u{1b}");
        let sides =
            [side(Side::Offer, &[(Step::Messages, "42 ok")], None), side(Side::Answer, &[], Some(failure))];
        let checks = checks(&BTreeMap::new(), &BTreeMap::new(), &sides);
        assert_eq!(status(&checks, Step::Messages), (Status::Failed, "answer: message 3 differs "));
    }

    #[test]
    fn what_was_not_asked_for_says_so() {
        let shared = BTreeMap::from([(Step::Server, Ok("fine".to_owned()))]);
        let skipped = BTreeMap::from([(Step::ServerBytes, "no admin address".to_owned())]);
        let checks = checks(&shared, &skipped, &[]);
        assert_eq!(status(&checks, Step::Server), (Status::Ok, "fine"));
        assert_eq!(status(&checks, Step::ServerBytes), (Status::NotChecked, "not checked: no admin address"));
    }

    #[test]
    fn marks_are_words_where_there_is_no_terminal() {
        let check = |step, status, detail: &str| Check { step, status, detail: detail.to_owned() };
        let report = Report {
            ok: false,
            verdict: "FAILED at messages".to_owned(),
            server: "udp:127.0.0.1:3478".to_owned(),
            policy: "relay".to_owned(),
            adapter: None,
            ms: 7,
            checks: vec![
                check(Step::Server, Status::Ok, "fine"),
                check(Step::Messages, Status::Failed, "differ"),
                check(Step::Packets, Status::NotReached, "not reached"),
            ],
            timeline: vec![],
        };
        assert_eq!(
            report.render(false),
            "  ok      server          fine\n  FAILED  messages        differ\n  -       \
             media packets   not reached\nFAILED at messages (7 ms)\n"
        );
        assert!(report.render(true).starts_with("  ✓  server "));
    }
}
