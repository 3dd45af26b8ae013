//! A machine of a test's own, and floe on it as somebody runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Namespace, PATIENCE};

/// A machine with one address and a way to the world (that nobody answers on).
pub fn connected(address: &str) -> Option<Namespace> {
    let address = format!("address add {address}/24 dev uplink");
    Namespace::new(&[
        "link add uplink type veth peer name world",
        &address,
        "link set uplink up",
        "link set world up",
        "route add default dev uplink",
    ])
}

/// floe of a user whose home was empty.
pub struct Floe {
    child: Child,
    pub home: PathBuf,
}

impl Floe {
    pub fn start(namespace: &Namespace, arguments: &[&str]) -> Self {
        let home = super::server::new_directory();
        let output = fs::File::create(home.join("output")).expect("a file");
        let child = floe(namespace, &home, arguments)
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("floe starts");
        Self { child, home }
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.home.join("output")).unwrap_or_default()
    }

    /// Everything it prints at its start.
    pub fn banner(&mut self) -> String {
        let start = Instant::now();
        while !self.output().contains("/metrics") {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "{ended:?}\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.output()
    }

    pub fn exit_code(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status.code(), self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it runs on:\n{}", self.output());
    }
}

impl Drop for Floe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A command of a user whose home is empty, or holds a running server.
pub fn floe(namespace: &Namespace, home: &Path, arguments: &[&str]) -> Command {
    let mut command = namespace.command(env!("CARGO_BIN_EXE_floe"));
    command.args(arguments).stdin(Stdio::null()).env_clear().env("PATH", "/usr/bin:/bin");
    for variable in ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"] {
        command.env(variable, home);
    }
    command
}
