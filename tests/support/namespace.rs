//! A network of a test's own: a namespace with loopback and what the test adds.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::command::{bound_command, find};
use super::skip;

/// A network namespace; gone with the process that holds it.
#[derive(Debug)]
pub struct Namespace(Child);

impl Namespace {
    /// Runs these commands (of `ip`, without the word) in a new namespace whose
    /// loopback is up. `None`, and said so, where namespaces can't be made.
    pub fn new(ip: &[&str]) -> Option<Self> {
        for tool in ["ip", "unshare", "nsenter"] {
            if find(tool).is_none() {
                skip(tool, "not installed (Debian: apt-get install iproute2 util-linux)");
                return None;
            }
        }
        let commands: Vec<String> =
            ["link set lo up"].iter().chain(ip).map(|command| format!("ip {command}")).collect();
        let (holder, ready) = hold("--net", &commands.join("; "));
        let namespace = Self(holder);
        if ready {
            return Some(namespace);
        }
        skip("network namespaces", "unshare --net and ip need root");
        None
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A command that will run in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = bound_command("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg("--").arg(program);
        command
    }
}

/// A process in a namespace of its own, `--net` or whatever `unshare` calls it, and
/// whether these commands of a shell went well there.
pub(super) fn hold(namespace: &str, commands: &str) -> (Child, bool) {
    let script = format!("set -e; {commands}; echo ready; exec sleep infinity");
    let mut holder = bound_command("unshare")
        .args([namespace, "--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    (holder, line.trim() == "ready")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
