//! What the other side of a call may send, and what it may not do to the page.

use serde_json::json;

use crate::call::{enter, options, wait_connected};
use crate::driver::{Browser, Driver};
use crate::server;

/// Offers files as a program would that keeps to nothing: `offer(NAME, MESSAGE…)`;
/// what is answered is in `answers`.
const GUEST: &str = "
    const Original = RTCPeerConnection;
    window.RTCPeerConnection = class extends Original {
      constructor(...all) {
        super(...all);
        window.pc = this;
      }
    };
    window.answers = {};
    window.offer = (name, ...messages) => {
      const channel = window.pc.createDataChannel('file');
      channel.onopen = () => messages.forEach((message) => channel.send(message));
      channel.onmessage = ({ data }) => (window.answers[name] = data);
      return channel;
    };
    window.head = (name, size) => JSON.stringify({ name, size });";

fn answer(browser: &Browser<'_>, name: &str, starts: &str) {
    browser.wait(&format!("{name} is answered"), &format!("window.answers.{name}"));
    let said = browser.eval(&format!("window.answers.{name}"));
    assert!(said.as_str().is_some_and(|said| said.starts_with(starts)), "{name}: {said}");
}

#[test]
fn files_that_are_not_what_they_say_are_refused_and_not_kept() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    let enter_tea = || {
        browser.open_with_token(&server, "call");
        browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
        options(&browser, &[("policy", "relay"), ("media", "made")]);
    };
    enter_tea();
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    let [host, guest] = browser.second_tab();
    enter_tea();
    browser.execute(GUEST);
    enter(&browser);
    wait_connected(&browser);

    browser.execute("offer('text', 'hello')");
    answer(&browser, "text", "refused: this is no file");
    browser.execute("offer('large', head('large', 1e12))");
    answer(&browser, "large", "refused: larger than");
    browser.execute("offer('negative', head('negative', -1))");
    answer(&browser, "negative", "refused: this is no file");
    browser.execute("offer('words', head('words', 10), 'ten letter')");
    answer(&browser, "words", "refused: this is not what was announced");
    browser.execute("offer('more', head('more', 10), new Uint8Array(11))");
    answer(&browser, "more", "refused: this is not what was announced");

    // One comes, and a second waits for no place.
    browser.execute("window.first = offer('first', head('first one', 10), new Uint8Array(4))");
    browser.to_tab(&host);
    browser.wait_for_text("[data-testid=chat-log]", "first one");
    browser.to_tab(&guest);
    browser.execute("offer('second', head('second', 1), new Uint8Array(1))");
    answer(&browser, "second", "refused: one file at a time");
    browser.execute("window.first.send(new Uint8Array(6))");
    answer(&browser, "first", "done");

    browser.to_tab(&host);
    let saved = "Array.from(document.querySelectorAll('[data-testid=chat-log] a'), (one) => one.download)";
    assert_eq!(browser.eval(saved), json!(["first one"]));
    assert!(!browser.text("[data-testid=chat-log]").contains("second"));
    browser.expect_clean_console();
}

#[test]
fn the_late_end_of_a_room_that_was_left_ends_no_later_call() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "call");
    browser.execute(
        "window.late = [];
        const Original = WebSocket;
        window.WebSocket = class extends Original {
          addEventListener(name, hear, ...more) {
            super.addEventListener(name, name === 'close' ? (event) => late.push(() => hear(event)) : hear, ...more);
          }
        };",
    );
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    browser.click("[data-testid=call-leave]");
    browser.wait("the first one's end is held back", "window.late.length === 1");
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    browser.execute("window.late.shift()()");
    assert!(browser.text("[data-testid=call-status]").contains("Waiting"), "{}", browser.text("main"));
    browser.click("[data-testid=call-leave]");
    browser.expect_clean_console();
}
