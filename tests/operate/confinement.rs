//! What the process may do: nothing that its unit does not need, and memory by
//! hand in one room only.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::command::{bound_command, find};
use crate::support::skip;

/// In tenths; systemd calls everything up to 19 "OK", and a unit without any
/// setting has 96.
const EXPOSURE: &str = "19";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

// H-068
#[test]
fn the_unit_gives_up_what_it_does_not_need() {
    if find("systemd-analyze").is_none() {
        return skip("systemd-analyze", "not installed (Debian: apt-get install systemd)");
    }
    let judged = bound_command("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true", "--threshold", EXPOSURE])
        .arg(repository("deploy/systemd/floe.service"))
        .stdin(Stdio::null())
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}{}", String::from_utf8_lossy(&judged.stderr));
    let overall = said.lines().find_map(|line| line.split("→ ").nth(1)).expect("a verdict");
    let level = overall.split(" 🙂").next().expect("without its face").trim();
    let told = std::fs::read_to_string(repository("docs/deploying.md")).expect("the document");
    assert!(told.contains(level), "docs/deploying.md does not say: {level}");
    for given_up in
        ["NoNewPrivileges=", "SystemCallFilter=~@privileged", "User=/DynamicUser=", "ProtectSystem="]
    {
        let line = said.lines().find(|line| line.contains(given_up));
        assert!(line.is_some_and(|line| line.starts_with('✓')), "{given_up}: {line:?}");
    }
}

// H-068
#[test]
fn unsafe_code_stands_in_one_room() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).expect("the manifest");
    assert!(manifest.contains("unsafe_code = \"deny\""));
    let (mut folders, mut files) = (vec![repository("src")], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                let text = std::fs::read_to_string(&path).expect("a source");
                let allowed = text.contains("(unsafe_code");
                let room = path.starts_with(repository("src/net/udp"))
                    || path.starts_with(repository("src/net/xdp"));
                assert!(room || !allowed, "{}", path.display());
            }
        }
    }
    assert!(files > 100);
}
