//! The Debian package: built, installed, run, upgraded, removed and purged.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::support::command::{bound_command, find};
use crate::support::skip;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn manifest() -> toml::Table {
    let text = std::fs::read_to_string(repository("Cargo.toml")).expect("the manifest");
    text.parse().expect("TOML")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn what_the_package_is_made_of_is_there() {
    let manifest = manifest();
    let package = &manifest["package"]["metadata"]["deb"];
    let build = std::fs::read_to_string(repository("deploy/deb/build")).expect("the script that builds it");
    for asset in package["assets"].as_array().expect("assets") {
        let source = asset[0].as_str().expect("a path");
        match source.strip_prefix("target/package/") {
            Some(made) => {
                // One line makes the completions of all shells.
                let name = made.split(['.']).next().expect("a name");
                assert!(build.contains(&format!("\"$made/{name}.")), "{source} is made by nobody");
            }
            None if source == "target/release/floe" => {}
            None => {
                let folder = repository(source);
                let folder = folder.parent().expect("a folder");
                assert!(folder.is_dir(), "{source}");
            }
        }
    }
    let units = repository(package["systemd-units"]["unit-scripts"].as_str().expect("a folder"));
    let unit = std::fs::read_to_string(units.join("floe.service")).expect("the unit");
    for path in ["/usr/bin/floe", "/etc/floe/floe.toml"] {
        let to = |asset: &toml::Value| {
            let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
            format!("/{to}{}", Path::new(from).file_name().unwrap().to_str().unwrap())
        };
        assert!(unit.contains(path), "the unit has no {path}");
        assert!(package["assets"].as_array().unwrap().iter().any(|asset| to(asset) == path), "{path}");
    }
}

#[test]
#[ignore = "slow: takes cargo-deb, which is compiled for minutes"]
fn it_is_installed_runs_and_is_removed() {
    for (tool, from) in [
        ("cargo-deb", "cargo install cargo-deb --locked"),
        ("dpkg-shlibdeps", "Debian: apt-get install dpkg-dev"),
        ("unshare", "Debian: apt-get install util-linux"),
    ] {
        if find(tool).is_none() {
            return skip(tool, &format!("not installed ({from})"));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return skip("package", "installing takes root");
    }
    let built = bound_command("sh")
        .arg(repository("deploy/deb/build"))
        .arg("--built")
        .stdin(Stdio::null())
        .output()
        .expect("a shell runs");
    assert!(built.status.success(), "{}", said(&built));
    // The last line is the path of what was made.
    let package = String::from_utf8_lossy(&built.stdout).lines().last().expect("a path").to_owned();
    let seen = bound_command("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"])
        .arg(repository("tests/operate/package.sh"))
        .arg(package)
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let seen = (seen.status.success(), said(&seen));
    assert!(seen.0 && seen.1.lines().any(|line| line == "all seen"), "{}", seen.1);
}
