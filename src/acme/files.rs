//! What is kept of ACME in the state directory, for this user's eyes only: the
//! account's key, and the certificate with its chain and key in one file, so that
//! a reader never sees one without the other.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;

/// Below the state directory.
const DIRECTORY: &str = "acme";
const CERTIFICATE: &str = "certificate.pem";
const ACCOUNT: &str = "account.json";

/// Largest file that is read, bytes.
const LARGEST: u64 = 1 << 20;

/// The directory of what is kept.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

/// An account as it is kept, with what it was made for. `C` are the credentials.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAccount<C> {
    /// URL of the server's directory.
    pub(super) directory: String,
    pub(super) contact: Vec<String>,
    pub(super) credentials: C,
}

impl Files {
    /// Below this state directory, which must be there.
    pub(super) fn below(state_directory: &Path) -> Self {
        Self(state_directory.join(DIRECTORY))
    }

    /// Where the certificate is.
    pub(super) fn certificate(&self) -> PathBuf {
        self.0.join(CERTIFICATE)
    }

    /// PEM; `None` when there is none that can be read.
    pub(super) fn read_certificate(&self) -> Option<String> {
        read(&self.certificate())
    }

    pub(super) fn write_certificate(&self, pem: &str) -> io::Result<()> {
        self.write(&self.certificate(), pem.as_bytes())
    }

    /// `None` when there is none that can be read: another one costs nothing.
    pub(super) fn read_account<C: DeserializeOwned>(&self) -> Option<KeptAccount<C>> {
        serde_json::from_str(&read(&self.0.join(ACCOUNT))?).ok()
    }

    pub(super) fn write_account<C: Serialize>(&self, account: &KeptAccount<C>) -> io::Result<()> {
        self.write(&self.0.join(ACCOUNT), &serde_json::to_vec(account)?)
    }

    pub(super) fn forget_account(&self) {
        // One that can't be removed is refused once more, and said so.
        let _ = fs::remove_file(self.0.join(ACCOUNT));
    }

    /// The old content or the new one is there, whatever happens.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let written = || {
            DirBuilder::new().mode(0o700).recursive(true).create(&self.0)?;
            files::replace(path, content)
        };
        written().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

fn read(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= LARGEST);
    file.and_then(|_| fs::read_to_string(path).ok())
}
