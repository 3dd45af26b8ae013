//! `floe check`, the built binary, against servers that are right, and against
//! one for each fault that it must find, name and explain.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod credentials;
mod examination;
mod good;
mod local;
mod network;
mod reach;

use base64::Engine as _;
use ring::hmac;

/// base64(HMAC-SHA1(secret, name))
fn rest_password(secret: &str, name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, name.as_bytes()))
}
