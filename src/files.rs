//! A file that is there whole, whatever happens.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The old content or the new one is there; on return the new one, after a power
/// cut too. It is for this user's eyes only. What is unfinished is called `.new`
/// meanwhile; two must not replace one file at a time.
///
/// # Errors
/// What the system says, as that the disk is full: the old content stays.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        // Left over from a process that was killed.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        // Some file systems tell no earlier that they are full.
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    // A full disk needs the room that half a file takes.
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_left_over_is_in_nobodys_way_and_nothing_is_left() {
        let directory = std::env::temp_dir().join(format!("floe-files-{:016x}", rand::random::<u64>()));
        fs::create_dir(&directory).unwrap();
        let (path, beside) = (directory.join("a.json"), directory.join("a.new"));
        fs::write(&beside, "half").unwrap();
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!beside.exists());
        fs::create_dir(&beside).unwrap();
        assert!(replace(&path, b"third").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"second");
        fs::remove_dir_all(directory).unwrap();
    }
}
