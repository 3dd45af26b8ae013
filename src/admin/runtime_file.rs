//! The runtime file: how other commands of this user find a running server. It
//! is named `run-PID.json`, holds a token, and is readable by its owner only.
//! A directory that others could have made or can write to is not trusted,
//! neither to write to nor to read from. A file whose process is gone is stale:
//! it is never found, and the next server to write removes it.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process;
use crate::files;

/// Largest file that is read, bytes.
const MAX_FILE: u64 = 256 * 1024;
/// The superuser could read everything anyway.
const ROOT: u32 = 0;
/// Mode bits that let somebody else read, write or search.
const OTHERS: u32 = 0o077;
/// Mode bits that let somebody else write.
const OTHERS_WRITE: u32 = 0o022;

/// What a running server says about itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Runtime {
    /// floe's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When that process was started, in clock ticks since the machine was;
    /// tells it from a later one of the same number.
    pub start_ticks: u64,
    /// When the server was started, seconds since 1970-01-01 UTC.
    pub started: u64,
    /// URL of the admin server, if there is one.
    pub admin: Option<String>,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// `turn:` and `turns:` URIs as clients reach it.
    pub urls: Vec<String>,
    /// REALM of its challenges.
    pub realm: String,
    /// The run's token for the admin server.
    pub token: String,
    /// Relay addresses as they are advertised.
    pub relay_addresses: Vec<String>,
}

/// One listener of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listener {
    /// `udp`, `tcp`, `tls` or `dtls`.
    pub transport: String,
    /// Address and port.
    pub address: String,
}

/// All but the token.
impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("version", &self.version)
            .field("pid", &self.pid)
            .field("started", &self.started)
            .field("admin", &self.admin)
            .field("listeners", &self.listeners)
            .field("urls", &self.urls)
            .field("realm", &self.realm)
            .field("relay_addresses", &self.relay_addresses)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// [`Runtime::pid`] and [`Runtime::start_ticks`] of this process.
    pub fn this_process() -> (u32, u64) {
        let pid = std::process::id();
        (pid, process::start_ticks(pid).unwrap_or_default())
    }

    fn is_running(&self) -> bool {
        process::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// Where runtime files may lie, and for whom.
#[derive(Clone, Debug)]
pub struct Places {
    /// `state-directory` or `$STATE_DIRECTORY`, when there is one.
    pub state_directory: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`, when it is set.
    pub runtime_directory: Option<PathBuf>,
    /// `$TMPDIR` or `/tmp`.
    pub temporary_directory: PathBuf,
    /// Effective user id of this process.
    pub user: u32,
}

/// Why a runtime file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system said no.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Somebody else could read or replace what is in this directory.
    #[error("{0}: not a directory of this user alone, so no token is written there")]
    NotPrivate(PathBuf),
}

/// A written runtime file, removed when this is dropped. One a process and
/// directory: a second one would take the first one's place.
#[derive(Debug)]
pub struct RuntimeFile {
    path: PathBuf,
}

impl RuntimeFile {
    /// Writes the file into the state directory if there is one, else into
    /// `floe/` of the runtime directory, else into `floe-UID/` of the temporary
    /// one. Removes stale files there.
    pub fn write(places: &Places, runtime: &Runtime) -> Result<Self, WriteError> {
        let directory = places.choose()?;
        remove_stale(&directory, places.user);
        let path = directory.join(format!("run-{}.json", runtime.pid));
        put(&path, runtime)?;
        Ok(Self { path })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RuntimeFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Puts it there whole; an error leaves what was there.
pub fn put(path: &Path, runtime: &Runtime) -> Result<(), WriteError> {
    let written = serde_json::to_vec_pretty(runtime)
        .map_err(io::Error::from)
        .and_then(|content| files::replace(path, &content));
    written.map_err(|error| WriteError::Io(path.to_owned(), error))
}

/// Servers that run now, the newest first, and the files they were found by.
/// What can't be read or trusted is passed over.
pub fn find(places: &Places) -> Vec<(PathBuf, Runtime)> {
    let mut found: Vec<(PathBuf, Runtime)> = places
        .all()
        .into_iter()
        .filter(|place| place.is_trusted(places.user))
        .flat_map(|place| {
            run_files(&place.path)
                .filter_map(move |(path, pid)| {
                    let runtime = read(&path, |owner| place.may_own(owner, places.user))?;
                    (runtime.pid == pid && runtime.is_running()).then_some((path, runtime))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    found.sort_by_key(|(_, runtime)| std::cmp::Reverse((runtime.started, runtime.start_ticks)));
    found
}

/// One directory that may hold runtime files.
struct Place {
    path: PathBuf,
    /// Named by the administrator: may be open for reading, may be a link (as
    /// systemd's `DynamicUser` makes it), may belong to the service's user when
    /// root looks. Any other one is ours alone.
    configured: bool,
}

impl Places {
    /// In the order of preference.
    fn all(&self) -> Vec<Place> {
        let configured = self.state_directory.clone().map(|path| Place { path, configured: true });
        let runtime = self.runtime_directory.as_ref().map(|path| path.join("floe"));
        let temporary = self.temporary_directory.join(format!("floe-{}", self.user));
        let private = runtime.into_iter().chain([temporary]).map(|path| Place { path, configured: false });
        configured.into_iter().chain(private).collect()
    }

    /// The first that can be had. A configured one is not passed over: somebody
    /// will look there.
    fn choose(&self) -> Result<PathBuf, WriteError> {
        let mut refused = None;
        for place in self.all() {
            match place.prepare(self.user) {
                Ok(()) => return Ok(place.path),
                Err(error) if place.configured => return Err(error),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| WriteError::NotPrivate(self.temporary_directory.clone())))
    }
}

impl Place {
    /// Makes the directory if it isn't there, and checks that it is private.
    fn prepare(&self, user: u32) -> Result<(), WriteError> {
        match DirBuilder::new().mode(0o700).recursive(self.configured).create(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(WriteError::Io(self.path.clone(), error)),
        }
        if self.is_trusted(user) { Ok(()) } else { Err(WriteError::NotPrivate(self.path.clone())) }
    }

    fn is_trusted(&self, user: u32) -> bool {
        let Some(metadata) = self.metadata() else { return false };
        let mode = metadata.mode();
        if self.configured {
            let owner = metadata.uid();
            mode & OTHERS_WRITE == 0 && (owner == user || owner == ROOT || user == ROOT)
        } else {
            mode & OTHERS == 0 && metadata.uid() == user
        }
    }

    /// Whether a file here of this owner is believed.
    fn may_own(&self, owner: u32, user: u32) -> bool {
        owner == user
            || self.configured
                && (owner == ROOT || user == ROOT && self.metadata().is_some_and(|m| m.uid() == owner))
    }

    /// `None`: not there, or no directory.
    fn metadata(&self) -> Option<Metadata> {
        let metadata =
            if self.configured { fs::metadata(&self.path) } else { fs::symlink_metadata(&self.path) };
        metadata.ok().filter(Metadata::is_dir)
    }
}

/// Removes this user's files of processes that are gone. Somebody else's stay:
/// their processes may be hidden from us.
fn remove_stale(directory: &Path, user: u32) {
    for (path, pid) in run_files(directory) {
        let running = match read(&path, |owner| owner == user) {
            Some(runtime) => runtime.is_running(),
            None => process::start_ticks(pid).is_some(),
        };
        let ours = fs::symlink_metadata(&path).is_ok_and(|m| m.uid() == user && m.is_file());
        if ours && !running {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Files of a directory that are named like runtime files, and the process of
/// each.
fn run_files(directory: &Path) -> impl Iterator<Item = (PathBuf, u32)> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        let pid = name.to_str()?.strip_prefix("run-")?.strip_suffix(".json")?.parse().ok()?;
        Some((entry.path(), pid))
    })
}

/// A runtime file, if it is a plain one, of somebody believed, and readable by
/// its owner only.
fn read(path: &Path, may_own: impl Fn(u32) -> bool) -> Option<Runtime> {
    // Neither follow a link nor wait for the writer of a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.mode() & OTHERS != 0 || !may_own(metadata.uid()) {
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
#[path = "runtime_file_test.rs"]
mod tests;
