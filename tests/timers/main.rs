//! Everything that ends by itself, seen from outside at both sides of its last
//! second: permissions, channels, allocations, reservations, data connections,
//! nonces.
//!
//! Each story is told twice. Once the server's clock is moved on by libfaketime,
//! which takes no time; and once everybody waits, for ten minutes and a half:
//! those tests are slow, and all begin when the first of them does, since they do
//! nothing but wait. Only a nonce's hour is not waited for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod allocation;
mod channel;
mod clock;
mod data_connection;
mod nonce;
mod permission;
mod reservation;
mod side_by_side;

use clock::Time;
use side_by_side::finish;

// B-076 B-077
#[test]
fn a_permission_lasts_300_seconds_from_when_it_was_last_asked_for() {
    permission::lasts_300_seconds(Time::Moved);
}

// B-076 B-077
#[test]
#[ignore = "slow: 8 minutes"]
fn a_permission_lasts_300_seconds_in_real_time() {
    finish("permission");
}

// B-135 B-136 B-137 B-142 B-147
#[test]
fn a_channel_lasts_600_seconds_and_its_permission_300() {
    channel::lasts_600_seconds(Time::Moved);
}

// B-135 B-136 B-137 B-142 B-147
#[test]
#[ignore = "slow: 10 minutes"]
fn a_channel_lasts_600_seconds_in_real_time() {
    finish("channel");
}

// B-136 Q-9
#[test]
fn by_setting_a_permission_lasts_as_long_as_its_channel() {
    channel::keeps_its_permission(Time::Moved);
}

// B-136 Q-9
#[test]
#[ignore = "slow: 10 minutes"]
fn by_setting_a_permission_lasts_as_long_as_its_channel_in_real_time() {
    finish("channel that keeps its permission");
}

// B-043 B-044 B-060
#[test]
fn an_allocation_lasts_600_seconds_from_its_last_refresh() {
    allocation::lasts_600_seconds(Time::Moved);
}

// B-043 B-044 B-060
#[test]
#[ignore = "slow: 10.5 minutes"]
fn an_allocation_lasts_600_seconds_in_real_time() {
    finish("allocation");
}

// B-028 B-029 B-032
#[test]
fn a_port_is_held_for_30_seconds() {
    reservation::lasts_30_seconds(Time::Moved);
}

// B-028 B-029 B-032
#[test]
#[ignore = "slow: 31 s"]
fn a_port_is_held_for_30_seconds_in_real_time() {
    finish("reservation");
}

// C-010
#[test]
fn a_data_connection_waits_for_30_seconds() {
    data_connection::waits_for_30_seconds(Time::Moved);
}

// C-010
#[test]
#[ignore = "slow: 31 s"]
fn a_data_connection_waits_for_30_seconds_in_real_time() {
    finish("data connection");
}
