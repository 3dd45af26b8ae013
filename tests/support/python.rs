//! What only PyPI has, each in a Python environment of its own below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{bound_command, find};
use super::skip;

/// The environment of these packages (`name==version`), made when it is not there;
/// `None`, and said so, where it can't be. `options` go to `pip install`.
pub fn environment(packages: &[&str], options: &[&str]) -> Option<PathBuf> {
    let name = packages.first().and_then(|package| package.split('=').next()).expect("a package");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages.join("-").replace("==", "-"));
    let ready = place.join("ready");
    if ready.is_file() {
        return Some(place);
    }
    if find("python3").is_none() {
        skip(name, "no python3 (Debian: apt-get install python3-venv)");
        return None;
    }
    let _ = std::fs::remove_dir_all(&place);
    let made = Command::new("python3").args(["-m", "venv"]).arg(&place).output();
    if !made.is_ok_and(|output| output.status.success()) {
        skip(name, "python3 makes no environment (Debian: apt-get install python3-venv)");
        return None;
    }
    let pip = bound_command(place.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(options)
        .args(packages)
        .output()
        .expect("pip runs");
    if !pip.status.success() {
        skip(name, &format!("not to be had: {}", String::from_utf8_lossy(&pip.stderr)));
        return None;
    }
    std::fs::write(ready, "").expect("written");
    Some(place)
}
