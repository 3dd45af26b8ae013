//! The commands that operators give to a running server, and what is shipped to
//! run it: every one from outside, on the built binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod confinement;
mod container;
mod credentials;
mod documents;
mod full_disk;
mod grafana;
mod listeners;
mod login_command;
mod manual;
mod package;
mod public_address;
mod reload;
mod service_manager;
mod signals;

use base64::Engine as _;
use ring::hmac;

/// base64(HMAC-SHA1(secret, name))
fn rest_password(secret: &str, name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, name.as_bytes()))
}
