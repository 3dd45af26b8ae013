//! A run of `floe check --json`, and what it has found.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::command::{floe, strip};
use crate::support::{ALICE, Namespace};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) status: Option<i32>,
    pub(crate) report: Value,
    pub(crate) complained: String,
}

/// For a server that says nothing; otherwise the command's own time is longer.
pub(crate) const SOON: [&str; 2] = ["--timeout", "2"];

/// `floe check` on this machine.
pub(crate) fn check(arguments: &[&str]) -> Examination {
    run(floe(), arguments)
}

/// The same in a network of its own.
pub(crate) fn check_in(namespace: &Namespace, arguments: &[&str]) -> Examination {
    run(strip(namespace.command(env!("CARGO_BIN_EXE_floe"))), arguments)
}

fn run(mut command: Command, arguments: &[&str]) -> Examination {
    for variable in ["TURN_USERNAME", "TURN_PASSWORD", "TURN_SECRET"] {
        command.env_remove(variable);
    }
    let output =
        command.args(["check", "--json"]).args(arguments).stdin(Stdio::null()).output().expect("floe runs");
    Examination {
        status: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        complained: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// These arguments, and who Alice is.
pub(crate) fn as_alice<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--username", ALICE.name, "--password", ALICE.password]].concat()
}

pub(crate) fn url(address: SocketAddr, transport: &str) -> String {
    format!("turn:{address}?transport={transport}")
}

impl Examination {
    fn findings(&self) -> &[Value] {
        self.report["findings"].as_array().unwrap_or_else(|| panic!("findings: {self:#?}"))
    }

    /// The first finding of this step.
    pub(crate) fn step(&self, step: &str) -> &Value {
        let found = self.findings().iter().find(|finding| finding["step"] == step);
        found.unwrap_or_else(|| panic!("{step} in {:#}", self.report))
    }

    /// What each step came to, in order.
    pub(crate) fn steps(&self) -> Vec<(&str, &str)> {
        let text = |value: &Value| match value {
            Value::String(_) => true,
            _ => panic!("{value} in {:#}", self.report),
        };
        let of = |finding: &'_ Value| text(&finding["step"]) && text(&finding["status"]);
        assert!(self.findings().iter().all(of));
        self.findings()
            .iter()
            .map(|finding| (finding["step"].as_str().unwrap(), finding["status"].as_str().unwrap()))
            .collect()
    }

    /// Every step was right; but for these, which could not be tried.
    pub(crate) fn assert_well(&self, skipped: &[&str]) {
        for (step, status) in self.steps() {
            let expected = if skipped.contains(&step) { "skipped" } else { "ok" };
            assert_eq!(status, expected, "{step} in {:#}", self.report);
        }
        assert_eq!((self.status, &self.report["ok"]), (Some(0), &true.into()), "{self:#?}");
        let verdict = self.report["verdict"].as_str().unwrap();
        assert!(verdict.starts_with("all is well"), "{verdict}");
    }

    /// This step failed, of this cause; it is explained in these words, and there
    /// is advice.
    pub(crate) fn assert_failed(&self, step: &str, cause: &str, words: &[&str]) {
        self.assert_fault(step, "failed", cause, words);
        assert_eq!((self.status, &self.report["ok"]), (Some(1), &false.into()), "{self:#?}");
    }

    /// The same, but it works.
    pub(crate) fn assert_warned(&self, step: &str, cause: &str, words: &[&str]) {
        self.assert_fault(step, "warning", cause, words);
        assert_eq!((self.status, &self.report["ok"]), (Some(0), &true.into()), "{self:#?}");
    }

    fn assert_fault(&self, step: &str, status: &str, cause: &str, words: &[&str]) {
        let finding = self.step(step);
        assert_eq!(
            (&finding["status"], &finding["cause"]),
            (&status.into(), &cause.into()),
            "{:#}",
            self.report
        );
        let found = finding["found"].as_str().unwrap();
        for word in words {
            assert!(found.contains(word), "{word:?} in {found:?}");
        }
        assert!(finding["advice"].as_str().is_some_and(|advice| advice.len() > 10), "{finding:#}");
    }
}
