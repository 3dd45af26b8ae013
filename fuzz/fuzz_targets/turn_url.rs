//! Any text as a TURN URL: what is understood is printed in one form, and reads the
//! same in it.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used)]

use floe::client::url::ServerUrl;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<ServerUrl>() {
        Ok(url) => {
            assert!(url.port != 0 && !url.host.is_empty());
            let printed = url.to_string();
            assert_eq!(printed.parse().as_ref(), Ok(&url), "{printed}");
        }
        Err(reason) => assert!(reason.contains("turn:"), "{reason:?} does not say what to write"),
    }
}
