//! Moves packets.
pub mod udp;
