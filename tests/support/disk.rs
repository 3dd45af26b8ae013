//! A disk that a test may fill.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::command::find;
use super::namespace::hold;
use super::server::new_directory;
use super::skip;

/// What is full to the last of them.
const PAGE: usize = 4096;

/// A file system in memory, mounted in a mount namespace of its own, and seen from
/// outside by way of the process that holds that; gone with it.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    /// Where it is mounted, and beside that a server's log.
    outside: PathBuf,
    directory: PathBuf,
}

impl SmallDisk {
    /// Of this many KiB. `None`, and said so, where nothing can be mounted.
    pub fn new(kib: u32) -> Option<Self> {
        if find("unshare").is_none() {
            skip("unshare", "not installed (Debian: apt-get install util-linux)");
            return None;
        }
        let outside = new_directory();
        let at = outside.join("disk");
        fs::create_dir(&at).expect("a directory");
        let mount = format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs '{}'", at.display());
        let (holder, ready) = hold("--mount", &mount);
        let seen = format!("/proc/{}/root{}", holder.id(), at.display());
        let disk = Self { holder, outside, directory: seen.into() };
        if !ready {
            skip("mount namespaces", "unshare --mount and mount need root");
            return None;
        }
        // The log of a server that has this for its directory is to be read in any case.
        symlink(disk.outside.join("log"), disk.directory.join("log")).expect("a link");
        Some(disk)
    }

    /// Its root.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes all that is left.
    pub fn fill(&self) {
        let file = File::options().create(true).append(true).open(self.filling());
        let mut file = file.expect("a file");
        let full = loop {
            match file.write_all(&[0; PAGE]) {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    /// Gives back what was taken.
    pub fn free(&self) {
        fs::remove_file(self.filling()).expect("it was filled");
    }

    fn filling(&self) -> PathBuf {
        self.directory.join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_dir_all(&self.outside);
    }
}
