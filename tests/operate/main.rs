//! The commands that operators give to a running server, and what is shipped to
//! run it: every one from outside, on the built binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod grafana;
mod manual;
mod service_manager;
mod signals;
