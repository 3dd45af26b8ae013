//! Any text as a signaling message: what one of our own peers says is passed on, and
//! what is passed on is understood by the other or refused in words.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used)]

use floe::admin::check_signal;
use floe::client::pair::signaling::Signal;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let passed_on = check_signal(text);
    assert!(passed_on.is_ok() || passed_on.is_err_and(|reason| !reason.is_empty()));
    let Ok(signal) = serde_json::from_str::<Signal>(text) else { return };
    let written = serde_json::to_string(&signal).unwrap();
    assert_eq!(serde_json::from_str::<Signal>(&written).unwrap(), signal);
    let between_peers = matches!(signal, Signal::Offer(_) | Signal::Answer(_) | Signal::NewIceCandidate(_));
    // What only the room says, no peer may.
    assert_eq!(check_signal(&written).is_ok(), between_peers && written.len() <= 64 * 1024);
    if text.len() <= 64 * 1024 {
        assert_eq!(passed_on.is_ok(), between_peers);
    }
}
