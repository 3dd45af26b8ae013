//! `floe check --local`: the machine, and what a configuration has in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::examination::{Examination, check};
use crate::support::authority::text;
use crate::support::command::floe;
use crate::support::{ALICE, Authority};

const GOOD: &str = "realm = \"tests.example\"\n[relay]\naddresses = [\"93.184.10.1\"]\n\
                    [auth]\nsecrets = [\"e8b6a1f04c9d4f7db21a5be0c3a97d58\"]\n";

/// Looks at this configuration, in a file of this mode.
fn look(directory: &Path, configuration: &str, mode: u32) -> Examination {
    let file = directory.join("floe.toml");
    fs::write(&file, configuration).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    check(&["--local", "--config", text(&file)])
}

fn causes<'a>(examined: &'a Examination, step: &str) -> Vec<&'a str> {
    let findings = examined.report["findings"].as_array().expect("findings");
    let of_step = findings.iter().filter(|finding| finding["step"] == step);
    of_step.filter_map(|finding| finding["cause"].as_str()).collect()
}

#[test]
fn the_machine_is_looked_at() {
    let authority = Authority::new();
    let examined = look(&authority.file(""), GOOD, 0o600);
    for step in [
        "descriptors",
        "socket-buffers",
        "connection-tracking",
        "reuse-port",
        "offloads",
        "clock",
        "fast-path",
    ] {
        assert_eq!(examined.step(step)["at"], "this machine", "{examined:#?}");
    }
    let found = examined.step("fast-path")["found"].as_str().unwrap();
    assert!(found.starts_with("floe relays in user space; the machine could load"), "{found}");
    assert_eq!(examined.step("reuse-port")["status"], "ok");
    assert_eq!(causes(&examined, "configuration"), Vec::<&str>::new(), "{examined:#?}");
    assert_eq!(examined.step("permissions")["status"], "ok");
    assert_eq!(examined.status, Some(0), "what a machine lacks is a warning: {examined:#?}");
}

#[test]
fn each_setting_that_smells_is_named() {
    let authority = Authority::new();
    for (configuration, cause, words) in [
        ("[relay]\naddresses = [\"93.184.10.1\"]\n".to_owned(), "no-credentials", "made up at each start"),
        (format!("{GOOD}allow-weak = true\n"), "weak-secret", "auth.allow-weak"),
        (GOOD.replace("93.184.10.1", "10.1.2.3"), "private-relay", "10.1.2.3"),
        (format!("{GOOD}[peers]\nallow = [\"192.168.0.0/16\"]\n"), "open-peer-filter", "192.168.0.0/16"),
        (format!("{GOOD}[limits]\nallocations-per-user = 0\n"), "no-quota", "limits.allocations-per-user"),
        (format!("{GOOD}[admin]\nlisten = \"0.0.0.0:8080\"\n"), "admin-exposed", "0.0.0.0:8080"),
        (format!("{GOOD}[admin]\ncors = [\"*\"]\n"), "admin-exposed", "admin.cors"),
        (format!("{GOOD}[log]\nlevel = \"trace\"\n"), "loud-log", "trace"),
        (format!("{GOOD}[peers]\nallow = [\"93.184.10.7/24\"]\n"), "questionable-setting", "peers.allow"),
    ] {
        let examined = look(&authority.file(""), &configuration, 0o600);
        let findings = examined.report["findings"].as_array().unwrap_or_else(|| panic!("{examined:#?}"));
        let found = findings.iter().find(|finding| finding["cause"] == cause);
        let found = found.unwrap_or_else(|| panic!("{cause} in {:#}", examined.report));
        assert_eq!(found["status"], "warning");
        assert!(found["found"].as_str().unwrap().contains(words), "{found:#}");
        assert!(found["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{found:#}");
        assert_eq!(causes(&examined, "configuration"), [cause], "{:#}", examined.report);
    }
}

#[test]
fn secrets_that_others_can_read() {
    let authority = Authority::new();
    let examined = look(&authority.file(""), GOOD, 0o644);
    assert_eq!(examined.step("permissions")["cause"], "readable-secrets", "{examined:#?}");
    let found = examined.step("permissions")["found"].as_str().unwrap();
    assert!(found.contains("every user of this machine") && found.contains("644"), "{found}");
}

#[test]
fn certificates_are_looked_at() {
    let authority = Authority::new();
    authority.issue_for("good", &["turn.tests.example"], -1..100);
    authority.issue_for("soon", &["turn.tests.example"], -80..5);
    authority.issue_for("old", &["turn.tests.example"], -100..-10);
    for (certificate, key, status, cause) in [
        ("good.pem", "good.key", "ok", Value::Null),
        ("soon.pem", "soon.key", "warning", "certificate-expires".into()),
        ("old.pem", "old.key", "failed", "certificate-expired".into()),
        ("good.pem", "old.key", "failed", "certificate-invalid".into()),
        ("good.pem", "none.key", "failed", "certificate-invalid".into()),
    ] {
        let (pem, key) = (authority.file(certificate), authority.file(key));
        let tls = format!("{GOOD}[tls]\ncertificate = {:?}\nprivate-key = {:?}\n", text(&pem), text(&key));
        let examined = look(&authority.file(""), &tls, 0o600);
        let finding = examined.step("certificate");
        assert_eq!((&finding["status"], &finding["cause"]), (&status.into(), &cause), "{finding:#}");
        assert_eq!(examined.status, Some(i32::from(status == "failed")), "{:#}", examined.report);
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_wrong_usage() {
    let authority = Authority::new();
    let examined = look(&authority.file(""), "realms = \"x\"\n", 0o600);
    assert_eq!(examined.status, Some(2), "{examined:#?}");
    assert!(examined.complained.contains("realm"), "{examined:#?}");
}

#[test]
fn nobody_logs_in_to_a_machine() {
    for login in [&["--secret", "s"][..], &["--username", "alice"], &["--username", "a", "--password", "b"]] {
        let examined = check(&[&["--local"], login].concat());
        assert_eq!(examined.status, Some(2), "{examined:#?}");
        let complained = &examined.complained;
        assert!(complained.contains(login[0]) && complained.contains("--local"), "{complained}");
    }
    // The environment has them for other commands.
    let mut command = floe();
    command.args(["check", "--local"]).env("TURN_USERNAME", ALICE.name).env("TURN_PASSWORD", ALICE.password);
    let looked = command.stdin(Stdio::null()).output().unwrap();
    assert_ne!(looked.status.code(), Some(2), "{}", String::from_utf8_lossy(&looked.stderr));
}
