//! Certificates that a client would refuse, or soon will.

use crate::examination::{Examination, as_alice, check};
use crate::support::authority::text;
use crate::support::{Authority, Server};

/// Examines a server that shows the certificate NAME.
fn examine(authority: &Authority, name: &str, more: &[&str]) -> Examination {
    let server = Server::start(|config| {
        config
            .set("listen.tls", vec!["127.0.0.1:0"])
            .set("tls.certificate", text(&authority.file(&format!("{name}.pem"))))
            .set("tls.private-key", text(&authority.file(&format!("{name}.key"))))
            .set("peers.allow", Vec::<String>::new());
    });
    let url = format!("turns:{}", server.all("tls")[0]);
    check(&as_alice(&[&[url.as_str()], more].concat()))
}

#[test]
fn for_another_name() {
    let authority = Authority::new();
    authority.issue("server", &["turn.elsewhere.example"]);
    let examined = examine(&authority, "server", &["--ca", text(&authority.ca())]);
    let words = ["is for turn.elsewhere.example, not for 127.0.0.1"];
    examined.assert_failed("certificate", "certificate-name", &words);
    assert_eq!(examined.steps().last(), Some(&("certificate", "failed")), "nothing is sent over it");
}

#[test]
fn expired() {
    let authority = Authority::new();
    authority.issue_for("server", &["127.0.0.1"], -400..-35);
    let examined = examine(&authority, "server", &["--ca", text(&authority.ca())]);
    examined.assert_failed("certificate", "certificate-expired", &["it expired on ", "35 days ago"]);
}

#[test]
fn not_yet_valid() {
    let authority = Authority::new();
    authority.issue_for("server", &["127.0.0.1"], 3..90);
    let examined = examine(&authority, "server", &["--ca", text(&authority.ca())]);
    examined.assert_failed("certificate", "certificate-not-yet", &["it is good from ", " on, in "]);
}

#[test]
fn one_that_ends_within_two_weeks_is_a_warning() {
    let authority = Authority::new();
    authority.issue_for("server", &["127.0.0.1"], -80..10);
    let examined = examine(&authority, "server", &["--ca", text(&authority.ca())]);
    examined.assert_warned("certificate", "certificate-expires", &["good for ", " days; TLS"]);
    assert_eq!(examined.step("echo")["status"], "ok");
    let strict = examine(&authority, "server", &["--ca", text(&authority.ca()), "--strict"]);
    assert_eq!((strict.status, &strict.report["ok"]), (Some(1), &true.into()), "{strict:#?}");
}

#[test]
fn of_an_authority_that_nobody_knows() {
    let (authority, another) = (Authority::new(), Authority::named("others"));
    authority.issue("server", &["127.0.0.1"]);
    let examined = examine(&authority, "server", &["--ca", text(&another.ca())]);
    examined.assert_failed("certificate", "certificate-untrusted", &["CN=tests", "the chain is incomplete"]);
}

#[test]
fn of_the_authority_itself() {
    let authority = Authority::new();
    let examined = examine(&authority, "ca", &["--ca", text(&authority.ca())]);
    examined.assert_failed("certificate", "certificate-untrusted", &["an authority (CA:TRUE)"]);
}

#[test]
fn a_port_without_tls() {
    let server = Server::start(|_| {});
    let authority = Authority::new();
    let url = format!("turns:{}", server.tcp());
    let examined = check(&as_alice(&[&url, "--ca", text(&authority.ca())]));
    assert_eq!(examined.step("connection")["status"], "ok");
    examined.assert_failed("certificate", "wrong-protocol", &[]);
}
