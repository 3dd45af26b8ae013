//! The admin address of a running server, asked over HTTP: live sessions, status,
//! history. What needs no allocation is tested in the library.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod janus;
mod openapi;
mod rooms;
mod sessions;
mod status;
