//! The Dashboard: nothing without a key; with one, who is on the server and an end
//! to it.

use crate::driver::{Driver, ENTER};
use crate::support::{ALICE, BOB, Client, Request, Server};

#[test]
fn sessions_are_watched_searched_and_ended() {
    let Some(driver) = Driver::start() else { return };
    let server = Server::start(|config| _ = config.set("listen.shards", 2));
    let mut alice = Client::udp(&server).user(ALICE);
    let relayed = alice.allocate();
    let mut bob = Client::tcp(&server).user(BOB);
    bob.allocate();
    let browser = driver.browser();
    browser.open(&server, "/dashboard");
    browser.wait_for_text("[data-testid=dashboard-gate]", "An administrator's key is needed");
    assert_eq!(browser.eval("document.querySelector('[data-testid=dashboard-body]').hidden"), true);

    browser.open_with_token(&server, "dashboard");
    browser.wait_for_text("[data-testid=sessions]", &relayed.to_string());
    browser.wait_for_text("#tiles", "1 tcp, 1 udp");
    browser.wait_for_text("#tiles", "serving");
    browser.wait_for_text("#shards", "%");
    browser.wait_for_text("#users", "alice (1)");
    // The last hour has begun.
    browser.wait("a sample", "document.querySelector('#hour .line').getAttribute('d') !== ''");
    browser.type_into("[data-testid=sessions-search]", "ali");
    browser.wait_for_text("[data-testid=sessions-count]", "1 of 2");
    assert!(!browser.text("[data-testid=sessions]").contains("bob"));

    browser.click("[data-testid=sessions] .danger");
    browser.wait("its details", "document.querySelector('[data-testid=session-dialog]').open");
    browser.wait_for_text("#session-body", &relayed.to_string());
    // The safe way out has the focus.
    assert_eq!(browser.eval("document.activeElement.textContent"), "Close");
    browser.press(&[ENTER]);
    browser.wait("it is closed", "!document.querySelector('[data-testid=session-dialog]').open");
    alice.call(Request::refresh(600)).ok();
    browser.click("[data-testid=sessions] .danger");
    browser.wait("its details", "document.querySelector('[data-testid=session-dialog]').open");
    browser.click("[data-testid=session-kick]");
    browser.wait_for_text("#sessions-empty", "No session has “ali” in it");
    assert_eq!(alice.call(Request::refresh(600)).code(), 437);
    bob.call(Request::refresh(600)).ok();
    browser.expect_clean_console();

    // The server goes: that is told, and what was seen stays.
    drop(server);
    browser.wait_for_text("#dashboard-error", "No news from the server");
}

#[test]
fn what_users_are_called_stays_text() {
    let Some(driver) = Driver::start() else { return };
    let name = "<img src=x onerror=alert(1)>";
    let server = Server::start(|config| {
        let mut users = toml::Table::new();
        users.insert(name.to_owned(), BOB.password.into());
        config.set("auth.users", users);
    });
    let mut mallory = Client::udp(&server).user(crate::support::User { name, password: BOB.password });
    mallory.allocate();
    let browser = driver.browser();
    browser.open_with_token(&server, "dashboard");
    browser.wait_for_text("[data-testid=sessions]", name);
    browser.wait_for_text("#users", name);
    assert_eq!(browser.eval("document.querySelectorAll('main img').length"), 0);
    browser.expect_clean_console();
}
