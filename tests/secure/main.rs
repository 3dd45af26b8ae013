//! Ways in that begin with more than a first frame: TLS and DTLS, and balancers
//! that speak the PROXY protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod alpn;
mod certificates;
mod dtls;
mod dtls_hello;
mod dtls_session;
mod https;
mod one_port;
mod pebble;
mod proxy_header;
mod proxy_trust;
mod slow;
mod tls;
mod versions;
