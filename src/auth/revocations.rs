//! Time-limited names that may not log in any more although their time is not
//! over. Kept in a file, so that a restart does not let them in again; each is
//! forgotten once it would have expired.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::time_limited::{self, NAME_BYTES};
use crate::files;
use crate::relay::time::UnixTime;
use crate::relay::world::{Account, Standing, ThirdParty, Users};

/// Most names at once, some megabytes of memory.
const MOST: usize = 100_000;
/// Largest file that is read, bytes.
const MAX_FILE: u64 = 64 << 20;
/// Its name in the state directory.
const FILE: &str = "revocations.json";

/// Why a name can't be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// Only a time-limited name can.
    #[error("{0:?} is no time-limited name, as 1790000000:alice")]
    Name(String),
    /// There are too many already.
    #[error("{MOST} names are revoked already; the first to expire makes room")]
    Full,
    /// The file can't be written; the name is refused until the next restart.
    #[error("it is revoked, but not beyond a restart: {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// The names, and when each would have expired (Unix seconds).
#[derive(Debug, Default)]
pub struct Revocations {
    names: RwLock<HashMap<String, u64>>,
    /// Held while the file is written, so that the newest content is there last.
    file: Mutex<Option<PathBuf>>,
}

impl Revocations {
    /// Those of the file in `directory`, which is not made. Without one, what is
    /// revoked is forgotten with the process.
    ///
    /// # Errors
    /// The file is there and can't be read: to go on would let them in again.
    pub fn open(directory: Option<&Path>, now: UnixTime) -> io::Result<Self> {
        let Some(directory) = directory else { return Ok(Self::default()) };
        let path = directory.join(FILE);
        let mut names: HashMap<String, u64> = match fs::metadata(&path) {
            Ok(file) if file.len() > MAX_FILE => {
                return Err(io::Error::other(format!("{}: is too large", path.display())));
            }
            Ok(_) => serde_json::from_slice(&fs::read(&path)?)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        names.retain(|_, expiry| *expiry > now.secs());
        Ok(Self { names: RwLock::new(names), file: Mutex::new(Some(path)) })
    }

    /// Whether `name` may not log in.
    pub fn is_revoked(&self, name: &str) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// Refuses `name` from now on; on return it is on disk. Logins go on meanwhile.
    pub fn revoke(&self, name: &str, now: UnixTime) -> Result<(), RevokeError> {
        let expiry = time_limited::parse(name).filter(|_| name.len() <= NAME_BYTES);
        let (expiry, _) = expiry.ok_or_else(|| RevokeError::Name(name.chars().take(100).collect()))?;
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if expiry <= now {
            // It can't log in anyway.
            return Ok(());
        }
        {
            // Every login waits for this one.
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            if names.len() >= MOST && !names.contains_key(name) {
                names.retain(|_, expiry| *expiry > now.secs());
                if names.len() >= MOST {
                    return Err(RevokeError::Full);
                }
            }
            names.insert(name.to_owned(), expiry.secs());
        }
        let Some(path) = &*file else { return Ok(()) };
        let written = self.content(now).and_then(|content| files::replace(path, &content));
        written.map_err(|error| RevokeError::Io(path.clone(), error))
    }

    /// What the file holds: the names that could log in at `now`.
    fn content(&self, now: UnixTime) -> io::Result<Vec<u8>> {
        // Nobody waits to write while this is read: `revoke` holds `file`.
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let live: HashMap<&str, u64> = names
            .iter()
            .filter(|(_, expiry)| **expiry > now.secs())
            .map(|(name, expiry)| (name.as_str(), *expiry))
            .collect();
        serde_json::to_vec(&live).map_err(io::Error::other)
    }
}

/// Users, without those whose name is revoked: these look like nobody.
pub struct Unrevoked<U> {
    /// Everybody.
    pub users: U,
    /// Who is taken back.
    pub revocations: Arc<Revocations>,
}

impl<U: Users> Users for Unrevoked<U> {
    fn account(&self, now: UnixTime, name: &str) -> Arc<Account> {
        let account = self.users.account(now, name);
        if !self.revocations.is_revoked(name) {
            return account;
        }
        Arc::new(Account {
            keys: account.keys.clone(),
            standing: Standing::Unknown,
            user: account.user.clone(),
            max_allocations: account.max_allocations,
        })
    }

    fn name_of_hash(&self, hash: &[u8; 32]) -> Option<Arc<str>> {
        self.users.name_of_hash(hash)
    }

    fn enumerable(&self) -> bool {
        self.users.enumerable()
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        self.users.third_party()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);

    fn directory() -> PathBuf {
        let directory = std::env::temp_dir().join(format!("floe-revocations-{:016x}", rand::random::<u64>()));
        fs::create_dir(&directory).unwrap();
        directory
    }

    #[test]
    fn they_outlive_the_process_until_they_would_have_expired() {
        let directory = directory();
        let first = Revocations::open(Some(&directory), NOW).unwrap();
        first.revoke("1790000100:alice", NOW).unwrap();
        first.revoke("1790000200:bob", NOW).unwrap();
        drop(first);
        let second = Revocations::open(Some(&directory), UnixTime::from_secs(1_790_000_150)).unwrap();
        assert!(!second.is_revoked("1790000100:alice"));
        assert!(second.is_revoked("1790000200:bob"));
        assert!(!second.is_revoked("bob"));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn only_time_limited_names_can_be_revoked() {
        let revocations = Revocations::default();
        for name in ["alice", "", "abc:alice", &format!("1790000100:{}", "x".repeat(600))] {
            assert!(matches!(revocations.revoke(name, NOW), Err(RevokeError::Name(_))), "{name:.20}");
        }
        revocations.revoke("1700000000:gone", NOW).unwrap();
        assert!(!revocations.is_revoked("1700000000:gone"));
    }

    #[test]
    fn a_full_list_takes_more_when_names_have_expired() {
        let revocations = Revocations::default();
        let mut names = revocations.names.write().unwrap();
        names.extend((0..MOST as u64).map(|n| (format!("{}:user", 1_790_000_001 + n), 1_790_000_001 + n)));
        drop(names);
        assert!(matches!(revocations.revoke("1799999999:more", NOW), Err(RevokeError::Full)));
        revocations.revoke("1790000001:user", NOW).unwrap();
        let later = UnixTime::from_secs(1_790_000_001);
        revocations.revoke("1799999999:more", later).unwrap();
        assert!(revocations.is_revoked("1799999999:more"));
    }

    #[test]
    fn a_broken_file_is_an_error_and_a_full_disk_too() {
        let directory = directory();
        fs::write(directory.join(FILE), "{").unwrap();
        assert!(Revocations::open(Some(&directory), NOW).is_err());
        fs::remove_dir_all(&directory).unwrap();
        let gone = Revocations::open(Some(&directory), NOW).unwrap();
        assert!(matches!(gone.revoke("1790000100:alice", NOW), Err(RevokeError::Io(..))));
        assert!(gone.is_revoked("1790000100:alice"), "for now it is");
    }
}
