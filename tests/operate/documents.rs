//! The commands and configurations that the documents show. A block marked
//! `console run` is run as it stands, against a server, in a network of its own
//! where every default port is free; each command of the other blocks has the
//! reason here why it is not. No block goes without one or the other.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::command::{find, floe};
use crate::support::server::new_directory;
use crate::support::{Namespace, skip};

/// Stands for the reader's own.
const SECRET: &str = "d4d7f0c3a1b94e0c8f5e2b6a79c81d35";

/// The beginning of a command that no block runs, and why not. Each is there.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo run --release", "docs/quick-start.md has it too, and there it is run"),
    ("sysctl -w", "it changes the machine"),
    ("tests/run", "it runs this"),
    ("FLOE_WRITE=1 cargo test", "it writes docs/conformance.md, whose own test sees that it is as written"),
    ("deploy/deb/build", "it takes cargo-deb; tests/operate/package.rs builds one"),
    ("apt-get install ./target/debian", "tests/operate/package.rs installs it, on a copy of this machine"),
    (
        "FLOE_SECRET=$(openssl rand -hex 32) docker compose",
        "no container engine; see tests/operate/container.rs",
    ),
    ("floe check", "tests/check runs it against servers of every kind"),
    (
        "floe config import-coturn /etc/turnserver.conf >",
        "tests/operate/package.rs does, with an installed package",
    ),
    ("systemctl reload", "no service manager runs here"),
    ("systemctl restart", "likewise"),
    ("kill -", "it would meet any floe of this machine; tests/operate/reload.rs sends them"),
    ("cargo bench", "it takes half an hour; tests/run runs a short form"),
    ("floe bench", "a measurement takes minutes; tests/bench runs each kind for a moment"),
];

/// What the reader would write there instead.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("the secret", SECRET),
    ("上面生成的密钥", SECRET),
    ("…", SECRET),
    ("/etc/turnserver.conf", "turnserver.conf"),
];

/// For `floe config import-coturn`.
const TURNSERVER: &str = "listening-port=3478\nrealm=example.org\nuse-auth-secret\n\
                          static-auth-secret=d4d7f0c3a1b94e0c8f5e2b6a79c81d35\nmin-port=50000\nmax-port=50100\n";

/// A fenced block.
struct Block {
    file: String,
    line: usize,
    /// What stands behind the fence.
    kind: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// The commands, without what is said of them.
    fn commands(&self) -> impl Iterator<Item = String> {
        let command = |line: &str| line.split("  #").next().unwrap_or_default().trim().to_owned();
        let lines: Vec<_> = self.text.lines().map(command).collect();
        lines.into_iter().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// Whether it shows commands, said so or not.
    fn has_commands(&self) -> bool {
        const PROGRAMS: &[&str] = &["floe ", "cargo ", "curl ", "systemctl ", "kill ", "docker "];
        let shown = |command: String| PROGRAMS.iter().any(|program| command.starts_with(program));
        matches!(self.kind.as_str(), "console" | "sh" | "bash" | "shell")
            || (self.kind.is_empty() && self.commands().any(shown))
    }

    /// As a reader would write it.
    fn filled(text: &str) -> String {
        PLACEHOLDERS.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Of every document, in order.
fn blocks() -> Vec<Block> {
    let mut files: Vec<_> = fs::read_dir(repository("docs"))
        .expect("the documents")
        .map(|entry| format!("docs/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    files.sort();
    files.insert(0, "README.md".to_owned());
    let mut blocks = Vec::new();
    for file in files {
        let text = fs::read_to_string(repository(&file)).expect("a document");
        let mut open: Option<Block> = None;
        for (number, line) in (1..).zip(text.lines()) {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(kind), None) => {
                    let (kind, text) = (kind.trim().to_owned(), String::new());
                    open = Some(Block { file: file.clone(), line: number, kind, text });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{file}: a block without an end");
    }
    blocks
}

#[test]
fn every_command_is_run_or_has_a_reason() {
    let mut seen = vec![false; NOT_RUN.len()];
    let mut run = 0;
    for block in blocks() {
        match block.kind.as_str() {
            "console run" => run += 1,
            _ if block.has_commands() => {
                for command in block.commands() {
                    let at = NOT_RUN.iter().position(|(known, _)| command.starts_with(known));
                    let at = at.unwrap_or_else(|| {
                        panic!("{}: {command:?}: mark the block `console run`, or say why not", block.place())
                    });
                    seen[at] = true;
                }
            }
            "" | "toml" | "js" | "yaml" | "lua" | "xml" => {}
            kind => panic!("{}: a block of {kind:?}: is it run?", block.place()),
        }
    }
    assert!(run > 5, "{run}");
    let stale: Vec<_> =
        NOT_RUN.iter().zip(seen).filter(|(_, seen)| !seen).map(|((known, _), _)| known).collect();
    assert!(stale.is_empty(), "in no document: {stale:?}");
}

#[test]
fn every_configuration_is_one() {
    let directory = new_directory();
    let file = directory.join("floe.toml");
    for block in blocks().iter().filter(|block| block.kind == "toml") {
        fs::write(&file, Block::filled(&block.text)).expect("written");
        let output = floe().args(["config", "check"]).arg(&file).output().expect("floe runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", block.place());
    }
    fs::remove_dir_all(directory).expect("removed");
}

/// A directory with what the commands find in PATH and beside them.
fn surroundings(block: &Block, before: Option<&Block>) -> PathBuf {
    let directory = new_directory();
    let programs = directory.join("bin");
    fs::create_dir(&programs).expect("made");
    symlink(env!("CARGO_BIN_EXE_floe"), programs.join("floe")).expect("linked");
    // It is built already.
    let cargo = "#!/bin/sh\n[ \"$1 $2\" = 'run --release' ] || exit 99\nshift 2; [ \"${1-}\" != -- ] || shift\n\
                 exec floe \"$@\"\n";
    fs::write(programs.join("cargo"), cargo).expect("written");
    fs::set_permissions(programs.join("cargo"), fs::Permissions::from_mode(0o755)).expect("made executable");
    // An answer that is an error is one of the command.
    fs::write(directory.join(".curlrc"), "fail\n").expect("written");
    fs::write(directory.join("turnserver.conf"), TURNSERVER).expect("written");
    symlink(repository("deploy"), directory.join("deploy")).expect("linked");
    if let Some(before) = before.filter(|before| before.file == block.file) {
        write_private(&directory.join("floe.toml"), &Block::filled(&before.text));
    }
    let given = format!("[auth]\nsecrets = [\"{SECRET}\"]\n[admin]\napi-keys = [\"{SECRET}\"]\n");
    write_private(&directory.join("running.toml"), &given);
    directory
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("for nobody else to read");
}

/// A server stays when the next command is run.
fn is_server(command: &str) -> bool {
    command == "cargo run --release" || command.starts_with("floe serve")
}

/// The commands of a block, with a server beside them where they do not start one.
fn script(block: &Block) -> String {
    const BESIDE: &str =
        ">server.log 2>&1 & server=$!\nfloe status >/dev/null || { cat server.log; exit 1; }\n";
    let own = block.commands().any(|command| is_server(&command));
    let mut script = "set -e\ntrap 'kill $server 2>/dev/null || :' EXIT\n".to_owned();
    if !own {
        script += &format!("setpriv --pdeathsig KILL -- floe serve --config running.toml {BESIDE}");
    }
    script += "set -x\n";
    for command in block.commands() {
        let command = Block::filled(&command);
        match is_server(&command) {
            true => script += &format!("setpriv --pdeathsig KILL -- {command} {BESIDE}"),
            false => script += &format!("{command}\n"),
        }
    }
    script
}

#[test]
fn what_is_marked_runs() {
    for tool in ["curl", "openssl", "setpriv", "systemd-analyze"] {
        if find(tool).is_none() {
            return skip(tool, "not installed, see tests/packages");
        }
    }
    let blocks = blocks();
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "console run") {
        let Some(network) = Namespace::new(&[]) else { return };
        let before = blocks[..at].iter().rev().find(|before| before.kind == "toml");
        let directory = surroundings(block, before);
        let path = format!("{}/bin:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
        let output = network
            .command("sh")
            .args(["-c", &script(block)])
            .current_dir(&directory)
            .env("PATH", path)
            .env("HOME", &directory)
            // Servers of other tests are not found.
            .env("XDG_RUNTIME_DIR", &directory)
            .env("TMPDIR", &directory)
            .env("KEY", SECRET)
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::null())
            .output()
            .expect("a shell runs");
        let said = [&output.stdout[..], &output.stderr].concat();
        assert!(output.status.success(), "{}: {}", block.place(), String::from_utf8_lossy(&said));
        fs::remove_dir_all(directory).expect("removed");
    }
}
