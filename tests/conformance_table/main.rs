//! Makes docs/conformance.md: for each requirement of the catalogue, the tests
//! that prove it, or why there is none. Fails when the document is not what the
//! tests say today; with FLOE_WRITE=1 it writes it instead.

#![allow(clippy::unwrap_used, clippy::panic)]

mod citations;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

use citations::Citation;
use serde::Deserialize;

const DOCUMENT: &str = "docs/conformance.md";
const COMMAND: &str = "FLOE_WRITE=1 cargo test --test conformance_table";

/// The one requirement of an RFC that floe does not meet to the letter.
const DEVIATING_MUST: &str = "E-031";
/// Most of the other requirements that it decides otherwise.
const MOST_DEVIATIONS: usize = 5;

/// First id of each section, and its name.
const SECTIONS: [(&str, &str); 15] = [
    ("A-001", "STUN: header, framing, transport (RFC 8489)"),
    ("A-050", "STUN: integrity, long-term credentials, ALTERNATE-SERVER (RFC 8489)"),
    ("B-001", "TURN: Allocate and Refresh (RFC 8656)"),
    ("B-070", "TURN: permissions, indications, ICMP, IP headers (RFC 8656)"),
    ("B-130", "TURN: channels, and relays as a whole (RFC 8656)"),
    ("C-001", "TCP allocations (RFC 6062)"),
    ("D-001", "NAT behaviour discovery (RFC 5780)"),
    ("E-001", "Mobility (RFC 8016)"),
    ("E-020", "Third-party authorization (RFC 7635)"),
    ("E-030", "TLS and DTLS (RFC 7443, RFC 7350)"),
    ("E-050", "PROXY protocol"),
    ("F-001", "Time-limited credentials (draft-uberti-behave-turn-rest)"),
    ("G-1", "Test vectors"),
    ("H-001", "Security and abuse"),
    ("Q-1", "What real clients depend on"),
];

struct Requirement {
    id: &'static str,
    level: &'static str,
    text: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Exceptions {
    not_applicable: BTreeMap<String, String>,
    deviates: BTreeMap<String, String>,
}

/// All that the table is made of.
struct Table {
    requirements: Vec<Requirement>,
    exceptions: Exceptions,
    citations: Vec<Citation>,
}

enum Verdict<'a> {
    Passed,
    NotApplicable(&'a str),
    Deviates(&'a str),
}

#[test]
fn the_document_says_what_the_tests_prove() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = Table::read(root);
    table.check();
    let (path, document) = (root.join(DOCUMENT), table.document());
    if std::env::var_os("FLOE_WRITE").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let first = there.lines().zip(document.lines()).find(|(old, new)| old != new);
    assert!(there == document, "{DOCUMENT} is stale: run {COMMAND}\nfirst difference: {first:#?}");
}

impl Table {
    fn read(root: &Path) -> Self {
        let mut lines = include_str!("requirements.tsv").lines();
        assert_eq!(lines.next(), Some("id\tlevel\ttext"));
        let requirements = lines
            .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
                [id, level, text] => Requirement { id, level, text },
                _ => panic!("three columns: {line}"),
            })
            .collect();
        let exceptions = toml::from_str(include_str!("exceptions.toml")).unwrap();
        let citations = citations::all(root).unwrap_or_else(|problems| panic!("\n{}", problems.join("\n")));
        Self { requirements, exceptions, citations }
    }

    /// Every id stands for one requirement, and every requirement is proven, or has
    /// a reason why not.
    fn check(&self) {
        let known: HashSet<&str> = self.requirements.iter().map(|requirement| requirement.id).collect();
        assert_eq!(known.len(), self.requirements.len(), "an id is there twice");
        for citation in &self.citations {
            for id in &citation.ids {
                assert!(known.contains(id.as_str()), "{}: {id} is no requirement", citation.test);
            }
        }
        let Exceptions { not_applicable, deviates } = &self.exceptions;
        for id in not_applicable.keys().chain(deviates.keys()) {
            assert!(known.contains(id.as_str()), "exceptions.toml: {id} is no requirement");
        }
        for id in not_applicable.keys() {
            assert!(!deviates.contains_key(id), "exceptions.toml: {id} is there twice");
            let test = self.proofs(id).next().map(|citation| &citation.test);
            assert_eq!(test, None, "exceptions.toml: {id} is not applicable, but a test proves it");
        }
        let is_passed = |id: &&str| matches!(self.verdict(id), Verdict::Passed);
        let passed = self.requirements.iter().map(|requirement| requirement.id).filter(is_passed);
        let unproven: Vec<&str> = passed.filter(|id| self.proofs(id).next().is_none()).collect();
        assert!(unproven.is_empty(), "no test names {unproven:?}");
        let musts: Vec<&str> = self
            .requirements
            .iter()
            .filter(|requirement| requirement.level.starts_with('M') && deviates.contains_key(requirement.id))
            .map(|requirement| requirement.id)
            .collect();
        assert_eq!(musts, [DEVIATING_MUST]);
        assert!(deviates.len() - 1 <= MOST_DEVIATIONS, "{} deviations", deviates.len());
    }

    fn proofs(&self, id: &str) -> impl Iterator<Item = &Citation> {
        self.citations.iter().filter(move |citation| citation.ids.iter().any(|named| named == id))
    }

    fn verdict(&self, id: &str) -> Verdict<'_> {
        if let Some(reason) = self.exceptions.deviates.get(id) {
            return Verdict::Deviates(reason);
        }
        if let Some(reason) = self.exceptions.not_applicable.get(id) {
            return Verdict::NotApplicable(reason);
        }
        Verdict::Passed
    }

    /// The requirements of each section.
    fn sections(&self) -> Vec<(&'static str, &[Requirement])> {
        let start = |id: &str| self.requirements.iter().position(|requirement| requirement.id == id).unwrap();
        let starts: Vec<usize> = SECTIONS.iter().map(|(id, _)| start(id)).collect();
        assert_eq!(starts.first(), Some(&0));
        let ends = starts.iter().skip(1).copied().chain([self.requirements.len()]);
        let ranges = starts.iter().zip(ends).map(|(&start, end)| &self.requirements[start..end]);
        SECTIONS.iter().map(|(_, name)| *name).zip(ranges).collect()
    }

    fn document(&self) -> String {
        let mut text = format!(
            "# Conformance\n\n\
             <!-- Made by `{COMMAND}`; do not edit. -->\n\n\
             What the RFCs and good sense ask of a STUN/TURN server, and which of floe's tests proves that it \
             does so. This\npage is made by\n\n\
             ```console\n{COMMAND}\n```\n\n\
             from `tests/conformance_table/` (the requirements, and the reasons where no test can be named) and \
             from the lines\n`// B-042` above the tests. `tests/run` fails when it is out of date, and runs the \
             tests; those marked *slow* (minutes)\nrun with `tests/run --slow`. The servers of the tests are \
             started with `config/strict.toml`, where floe's defaults\nare kinder to clients than the RFC.\n\n\
             Levels: **M** an RFC's MUST or its normative procedure, **S** SHOULD, **O** an optional feature \
             (a MUST once it is on),\n**P** policy that no RFC asks for, **?** the RFC is ambiguous and the line \
             gives our reading; none: test vectors, and\nclients' habits. `~` marks what was written from general \
             knowledge.\n\n\
             | Section | Requirements | Passed | Not applicable | Deviates |\n\
             |---|--:|--:|--:|--:|\n"
        );
        let mut total = [0; 4];
        for (name, requirements) in self.sections() {
            let mut counts = [requirements.len(), 0, 0, 0];
            for requirement in requirements {
                counts[match self.verdict(requirement.id) {
                    Verdict::Passed => 1,
                    Verdict::NotApplicable(_) => 2,
                    Verdict::Deviates(_) => 3,
                }] += 1;
            }
            (0..4).for_each(|column| total[column] += counts[column]);
            let link = format!("[{name}](#{})", anchor(name));
            text += &summary_row(&link, counts);
        }
        text += &summary_row("**All**", total);
        for (name, requirements) in self.sections() {
            write!(text, "\n## {name}\n\n| Id | Level | Requirement | Verdict |\n|---|---|---|---|\n")
                .unwrap();
            for requirement in requirements {
                text += &self.row(requirement);
            }
        }
        text
    }

    fn row(&self, requirement: &Requirement) -> String {
        let Requirement { id, level, text } = requirement;
        let tests: Vec<String> = self
            .proofs(id)
            .map(|Citation { test, slow, .. }| format!("`{test}`{}", if *slow { " (slow)" } else { "" }))
            .collect();
        let tests = tests.join("<br>");
        let verdict = match self.verdict(id) {
            Verdict::Passed => format!("passed by {tests}"),
            Verdict::NotApplicable(reason) => format!("not applicable: {reason}"),
            Verdict::Deviates(reason) if tests.is_empty() => format!("deviates: {reason}"),
            Verdict::Deviates(reason) => format!("deviates: {reason}. The rest is passed by {tests}"),
        };
        format!("| {id} | {level} | {} | {} |\n", cell(text), cell(&verdict))
    }
}

fn summary_row(name: &str, counts: [usize; 4]) -> String {
    format!("| {name} | {} |\n", counts.map(|count| count.to_string()).join(" | "))
}

/// A cell ends at the next bar.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The name that a heading gets from Markdown.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c)).collect::<String>().replace(' ', "-")
}
