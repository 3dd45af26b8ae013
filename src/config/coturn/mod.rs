//! `turnserver.conf` to `floe.toml`: reads coturn's configuration as coturn
//! does, writes each line that has a counterpart as a key of ours with that line
//! above it as a comment, and says of every other line why it has none. It reads
//! no file, opens no database, and judges nothing: the result is a text like any
//! other, for [`load_text`](super::load_text).
//!
//! Files are imported as projects publish them: a secret that is printed in
//! manuals is replaced by a new one, and a placeholder is no value.
//!
//! What coturn takes for granted and we do not (TCP relays, relaying into
//! private networks) is said in notes, since no line of the file shows it.
//!
//! Called by `cli::config`.

mod draft;
mod lines;
mod ranges;
mod translate;
mod users;
mod verdict;

pub use draft::{Imported, Unlike};

use std::path::Path;

use draft::Draft;
use lines::Lines;

use crate::relay::world::Random;

/// Translates the text of a `turnserver.conf`; `name` is what the comments call
/// it. Anything is taken: a line that can't be read is one that is left out.
/// `is_there` tells of the files of a certificate, without which coturn and the
/// result serve no TLS; new secrets come from `random`.
pub fn import(name: &str, text: &str, is_there: &dyn Fn(&Path) -> bool, random: &mut dyn Random) -> Imported {
    let lines = Lines::read(text);
    let mut draft = Draft::new(name);
    translate::translate(&lines, &mut draft, is_there, random);
    draft.finish()
}

#[cfg(test)]
#[path = "coturn_test.rs"]
mod tests;
