//! Processes that end with the test that started them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// A command whose process the kernel kills when the calling thread is gone,
/// however it went (`setpriv` sets PR_SET_PDEATHSIG before it executes).
pub fn bound_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// floe itself, which reads its own FLOE_* variables and must not see ours.
pub fn floe() -> Command {
    strip(bound_command(env!("CARGO_BIN_EXE_floe")))
}

/// The same for a command that was made in another way.
pub fn strip(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Where a program lies in PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// libfaketime where Debian has it: /usr/lib/…/faketime.
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|file| file.is_file())
}
