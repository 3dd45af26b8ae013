//! Cookies: what a client has to send back before anything is kept of it
//! (RFC 6347 §4.2.1). They hold their time and a MAC, so that the server need
//! remember none.

use ring::hmac;

use super::hello::ClientHello;
use crate::relay::world::Random;
use crate::relay::{FiveTuple, Instant};

/// A cookie is good in the window of its making and in the next, seconds.
const WINDOW: u64 = 30;

/// The MAC's bytes in a cookie: enough that none can be guessed in a window.
const MAC: usize = 16;

/// Length of a cookie: its window's last byte, and the MAC.
pub(super) const COOKIE: usize = 1 + MAC;

/// The key of a server's cookies, of this run alone.
#[derive(Clone, Debug)]
pub(in crate::net) struct Cookies(hmac::Key);

impl Cookies {
    pub(in crate::net) fn new(random: &mut dyn Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// For this hello from this client.
    pub(super) fn make(&self, now: Instant, client: FiveTuple, hello: &ClientHello<'_>) -> [u8; COOKIE] {
        self.of(window(now), client, hello)
    }

    /// Whether this hello's cookie was made for it a short while ago.
    pub(super) fn is_good(&self, now: Instant, client: FiveTuple, hello: &ClientHello<'_>) -> bool {
        let Some(&last) = hello.cookie.first() else { return false };
        let now = window(now);
        [Some(now), now.checked_sub(1)].into_iter().flatten().filter(|window| *window as u8 == last).any(
            |window| {
                let good = self.of(window, client, hello);
                subtle::ConstantTimeEq::ct_eq(&good[..], hello.cookie).into()
            },
        )
    }

    /// RFC 6347 §4.2.1: the hello that comes back is the same but for the cookie.
    /// What comes behind that in it may be in another fragment, this time or the
    /// last, and is left out.
    fn of(&self, window: u64, client: FiveTuple, hello: &ClientHello<'_>) -> [u8; COOKIE] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&window.to_be_bytes());
        for address in [client.client.socket(), client.server.socket()] {
            let ip = address.ip();
            let ip = match ip {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                std::net::IpAddr::V6(ip) => ip,
            };
            context.update(&ip.octets());
            context.update(&address.port().to_be_bytes());
        }
        context.update(&hello.version);
        context.update(hello.random);
        context.update(hello.session_id);
        let mut cookie = [window as u8; COOKIE];
        cookie[1..].copy_from_slice(&context.sign().as_ref()[..MAC]);
        cookie
    }
}

const fn window(now: Instant) -> u64 {
    now.micros() / (WINDOW * 1_000_000)
}

#[cfg(test)]
#[path = "cookie_test.rs"]
mod tests;
