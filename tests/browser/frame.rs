//! What holds for all three pages: the keyboard, a phone's width, names for
//! screen readers, dark and light.

use serde_json::json;

use crate::driver::{Driver, ENTER, TAB};
use crate::server;
use crate::support::python;

/// axe-core, the judge of what screen readers can read, in a package of 200 KB; npm
/// would be some hundred packages of Debian's.
const AXE: &str = "axe-playwright-python==0.1.8";

#[test]
fn the_keyboard_alone_leads_everywhere() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "test");
    let focused = || browser.eval("document.activeElement.textContent.trim() || document.activeElement.id");
    browser.press(&[TAB]);
    assert_eq!(focused(), "Skip to the content");
    browser.press(&[ENTER]);
    assert_eq!(browser.eval("document.activeElement.id"), "main");
    // From the content to the first thing to do there.
    browser.press(&[TAB]);
    assert_eq!(focused(), "Test this server");

    browser.open_with_token(&server, "test");
    for name in ["Skip to the content", "floe", "Test", "Call"] {
        browser.press(&[TAB]);
        assert_eq!(focused(), name);
    }
    browser.press(&[ENTER]);
    browser.wait("the call is shown", "!document.querySelector('#view-call').hidden");
    assert_eq!(focused(), "Two peers in a room", "who reads with their ears hears where they are");
    assert_eq!(browser.eval("document.title"), "floe: Call");
    assert_eq!(browser.text("nav [aria-current]"), "Call");
    browser.eval("document.querySelector('#access-button').focus()");
    browser.press(&[ENTER]);
    browser.wait("the dialog is open", "document.querySelector('#key-dialog').open");
    assert_eq!(browser.eval("document.activeElement.id"), "key-input");
    browser.press(&["\u{e00c}"]);
    browser.wait("Escape closes it", "!document.querySelector('#key-dialog').open");
    assert_eq!(browser.eval("document.activeElement.id"), "access-button");
    browser.expect_clean_console();
}

#[test]
fn an_address_from_elsewhere_takes_neither_key_nor_page_away() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "test");
    browser.wait_for_text("#access-button", "known");
    browser.open(&server, "token=wrong");
    browser.wait_for_text("#access-button", "known");
    // A name that every object has is no page's.
    browser.open(&server, "/toString");
    assert_eq!(browser.eval("document.querySelector('#view-test').hidden"), false);
    browser.wait_for_text("#access-button", "known");
    browser.expect_clean_console();
}

#[test]
fn every_page_fits_a_phone_and_every_control_has_a_name() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.resize(360, 740, true);
    for view in ["test", "call", "dashboard"] {
        browser.open_with_token(&server, view);
        browser.wait("it is shown", &format!("!document.querySelector('#view-{view}').hidden"));
        browser.eval("document.querySelectorAll('details').forEach((one) => (one.open = true))");
        if view == "dashboard" {
            browser.wait_for_text("#tiles", "serving");
        }
        let width = browser.eval("document.documentElement.scrollWidth");
        assert_eq!(width, 360, "{view} is wider than the screen");
        let nameless =
            "Array.from(document.querySelectorAll('button, input, select, textarea, a, [role=img], video'))
            .filter((one) => !one.textContent.trim() && !one.labels?.length && !one.getAttribute('aria-label')
              && !one.closest('figure') && one.type !== 'hidden')
            .map((one) => one.outerHTML)";
        assert_eq!(browser.eval(nameless), json!([]), "{view}");
    }
    browser.expect_clean_console();
}

#[test]
fn colours_follow_the_system_or_ones_own_choice() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open(&server, "");
    let back = || browser.eval("getComputedStyle(document.body).backgroundColor");
    browser.colours("light");
    let light = back();
    browser.colours("dark");
    let dark = back();
    assert_ne!(light, dark);
    // The first press is for light, the second for dark; the choice stays.
    browser.click("#theme-button");
    assert_eq!(back(), light);
    browser.click("#theme-button");
    browser.colours("light");
    assert_eq!(back(), dark);
    browser.open(&server, "");
    assert_eq!(back(), dark);
    browser.expect_clean_console();
}

#[test]
fn axe_finds_nothing_that_keeps_anybody_out() {
    let Some(driver) = Driver::start() else { return };
    let Some(place) = python::environment(&[AXE], &["--no-deps"]) else { return };
    let libraries = std::fs::read_dir(place.join("lib")).expect("libraries").filter_map(Result::ok);
    let axe = libraries.map(|entry| entry.path().join("site-packages/axe_playwright_python/axe.min.js"));
    let axe = axe.filter_map(|file| std::fs::read_to_string(file).ok()).next().expect("axe.min.js");
    let server = server(|_| {});
    let browser = driver.browser();
    for view in ["test", "call", "dashboard"] {
        browser.open_with_token(&server, view);
        if view == "dashboard" {
            browser.wait_for_text("#tiles", "serving");
        }
        if view == "test" {
            // With a table of candidates, and what went wrong.
            crate::test_page::run(&browser);
        }
        browser.eval("document.querySelectorAll('details').forEach((one) => (one.open = true))");
        browser.execute(&axe);
        for scheme in ["light", "dark"] {
            browser.colours(scheme);
            let found = browser.eval(
                "axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>
                  [id, ...nodes.map((node) => `${node.target}: ${node.failureSummary}`)]))",
            );
            assert_eq!(found, json!([]), "{view}, {scheme}");
        }
    }
}
