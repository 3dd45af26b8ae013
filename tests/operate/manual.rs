//! `floe man` and `floe completions`, as the programs that read them see them.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::command::{bound_command, find, floe};
use crate::support::skip;

fn said(arguments: &[&str]) -> String {
    let output = floe().args(arguments).output().expect("floe runs");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

/// Gives `text` to a program that reads it, and wants it pleased.
fn reads(program: &str, arguments: &[&str], text: &str) -> bool {
    if find(program).is_none() {
        return false;
    }
    let mut child = bound_command(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success(), "{program}");
    true
}

#[test]
fn the_manual_page_has_every_command() {
    let page = said(&["man"]);
    for command in ["serve", "config", "status", "sessions", "kick", "drain", "healthcheck", "completions"] {
        assert!(page.contains(&format!(".SH \"{}\"", command.to_uppercase())), "{command}");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_read() {
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        assert!(script.contains("healthcheck"), "{shell}");
        if !reads(shell, &["-n"], &script) {
            skip("completions", &format!("no {shell}"));
        }
    }
}
