//! What the black-box tests share: a floe process of their own ([`Server`]), a
//! client that speaks STUN and TURN byte by byte ([`Client`]), and hosts on the
//! other side of the relay ([`Peer`]).
//!
//! Everything stays on 127.0.0.0/8 and ::1, on ports that were free, so any
//! number of tests run side by side. Nothing sleeps to see that something does
//! *not* happen: the test asks for something else behind it, on the same way,
//! and that must be the first thing to arrive.

// Each test crate takes what it needs of this module.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod access;
pub mod authority;
pub mod client;
pub mod command;
pub mod config;
pub mod disk;
pub mod dtls;
pub mod http;
pub mod login;
pub mod machine;
pub mod namespace;
pub mod net;
pub mod peer;
pub mod ports;
pub mod python;
pub mod reply;
pub mod request;
pub mod server;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use access::{Access, Token, TokenKey};
pub use authority::Authority;
pub use client::Client;
pub use config::{ALICE, BOB, Config, REALM, SECRET};
pub use disk::SmallDisk;
pub use login::{Login, Scheme, User};
pub use namespace::Namespace;
pub use peer::Peer;
pub use reply::Reply;
pub use request::Request;
pub use server::Server;

/// How long anything that must come may take on a loaded machine; less than the
/// minute after which the server lets an idle client go.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// A loopback address that no other test uses, so that all of its ports below
/// the ephemeral range are free.
pub fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 16 + (number % 200) as u8, high, low.max(1))
}

/// Says that a test can't be done here, and why; a failure where every test is
/// required, unless `tests/UNAVAILABLE` names it. Written past libtest's capture,
/// for `tests/run` to count.
pub fn skip(name: &str, reason: &str) {
    let unavailable = include_str!("../UNAVAILABLE").lines().any(|line| line.split(':').next() == Some(name));
    let required = std::env::var("FLOE_TEST_REQUIRE").as_deref() == Ok("all");
    assert!(unavailable || !required, "{name} is required here: {reason}");
    let word = if unavailable { "UNAVAILABLE" } else { "SKIPPED" };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let _ = std::io::stderr().write_all(format!("{word} {test}: {name}: {reason}\n").as_bytes());
}
