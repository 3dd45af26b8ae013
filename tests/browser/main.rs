//! The web page in a real Chromium, with real WebRTC through a running server.
//! Where there is no Chromium, the tests are skipped aloud.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod call;
mod dashboard;
mod driver;
mod frame;
mod guests;
mod pictures;
mod test_page;

use support::{Config, Server};

/// A server whose page can mint.
fn server(change: impl FnOnce(&mut Config)) -> Server {
    Server::start(|config| {
        config.secret_only();
        change(config);
    })
}
