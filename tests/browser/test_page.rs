//! The Test page: a verdict for each transport, and what is wrong in words.

use crate::driver::{Browser, Driver};
use crate::server;
use crate::support::{ALICE, Authority, Config, Server};

/// Data through the relay for as short as may be, then all is done.
pub(crate) fn run(browser: &Browser<'_>) {
    browser.eval("document.querySelector('#test-form [name=seconds]').value = '3'");
    browser.click("[data-testid=test-start]");
    browser.wait("the test ends", "!document.querySelector('[data-testid=test-done]').hidden");
}

fn verdict(browser: &Browser<'_>, kind: &str) -> String {
    let state =
        browser.eval(&format!("document.querySelector('[data-testid=verdict-{kind}]').dataset.state"));
    state.as_str().expect("a state").to_owned()
}

/// TLS where the browser finds [`HOST`](crate::support::authority::HOST).
pub(crate) fn secure(authority: &Authority, config: &mut Config) {
    authority.secure(config);
    config.set("listen.tls", vec!["127.0.0.1:0"]);
}

/// Types a server of somebody's own.
fn type_server(browser: &Browser<'_>, urls: &str, username: &str, credential: &str) {
    browser.click("#test-options summary");
    browser.type_into("[name=urls]", urls);
    browser.type_into("#test-form [name=username]", username);
    browser.type_into("#test-form [name=credential]", credential);
}

#[test]
fn every_transport_that_is_offered_is_tried_and_works() {
    let Some(driver) = Driver::start() else { return };
    let authority = Authority::new();
    if !driver.believe(&authority) {
        return;
    }
    let server = server(|config| secure(&authority, config));
    let browser = driver.browser();
    // Without a key: this is a browser at the server's own machine.
    browser.open(&server, "");
    run(&browser);
    for kind in ["stun", "udp", "tcp", "tls"] {
        let said = browser.text(&format!("[data-testid=verdict-{kind}]"));
        assert_eq!(verdict(&browser, kind), "ok", "{said}\n{}", browser.text("main"));
    }
    assert_eq!(browser.text("[data-testid=test-done]"), "Done: all works");
    let candidates = browser.text("#found");
    for part in ["host\tudp", "relay\tudp\t", "relay\tudp over tcp", "relay\tudp over tls"] {
        assert!(candidates.contains(part), "{part}: {candidates}");
    }
    // Data and a picture went through the relay and came back.
    let said = browser.text("#loop-text");
    assert!(said.contains("0 % lost") && said.contains("frames of 640 × 360"), "{said}");
    for transport in ["udp", "tcp", "tls"] {
        server.expect_some("floe_client_bytes_total", &[transport]);
    }
    assert!(server.metric("floe_hairpin_bytes_total", &[]) > 500_000.0);
    server.expect_metric("floe_allocations_closed_total", &["expired"], 0.0);
    server.expect_metric("floe_allocations", &[], 0.0);
    browser.expect_clean_console();
}

#[test]
fn a_certificate_that_the_browser_does_not_believe_fails_and_the_rest_works() {
    let Some(driver) = Driver::start() else { return };
    let authority = Authority::new();
    let server = server(|config| secure(&authority, config));
    let browser = driver.browser();
    browser.open(&server, "");
    run(&browser);
    assert_eq!(
        ["stun", "udp", "tcp", "tls"].map(|kind| verdict(&browser, kind)),
        ["ok", "ok", "ok", "fail"],
        "{}",
        browser.text("main")
    );
    let said = browser.text("[data-testid=verdict-tls]");
    assert!(said.contains("701 No answer") && said.contains("does not believe its certificate"), "{said}");
    assert_eq!(browser.text("[data-testid=test-done]"), "Done: works in part");
    browser.expect_clean_console();
}

#[test]
fn refused_logins_and_dead_ports_are_told_in_words() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open(&server, "");
    // Nobody listens there.
    let dead = std::net::SocketAddr::from(([127, 0, 0, 1], crate::support::ports::unused()));
    let urls = format!("turn:{}?transport=udp turn:{dead}?transport=tcp", server.udp());
    type_server(&browser, &urls, "1999999999:mallory", "wrong");
    run(&browser);
    assert_eq!(
        ["stun", "udp", "tcp", "tls"].map(|kind| verdict(&browser, kind)),
        ["off", "fail", "fail", "off"]
    );
    assert!(browser.text("[data-testid=verdict-udp]").contains("401 Not let in"), "{}", browser.text("main"));
    assert!(browser.text("[data-testid=verdict-tcp]").contains("701 No answer"), "{}", browser.text("main"));
    assert!(browser.text("#wrong-list").contains(&dead.port().to_string()));
    assert_eq!(browser.text("[data-testid=test-done]"), "Done: something fails");
    browser.expect_clean_console();

    // What is no URL is told before anything is tried.
    browser.eval("document.querySelector('[name=urls]').value = 'http://example.org'");
    run(&browser);
    assert!(browser.text("#test-status").contains("http://example.org is no STUN or TURN URL"));
    browser.expect_clean_console();
}

#[test]
fn a_server_with_users_alone_is_tested_with_a_login_that_is_typed() {
    let Some(driver) = Driver::start() else { return };
    let server = Server::start(|_| {});
    let browser = driver.browser();
    browser.open(&server, "");
    run(&browser);
    assert!(browser.text("#test-status").contains("no shared secret"), "{}", browser.text("main"));
    let urls = format!("turn:{}?transport=udp", server.udp());
    type_server(&browser, &urls, ALICE.name, ALICE.password);
    run(&browser);
    assert_eq!(verdict(&browser, "udp"), "ok", "{}", browser.text("main"));
    browser.expect_clean_console();
}

#[test]
fn a_shared_link_brings_server_and_login_to_another_device() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open(&server, "");
    browser.click("#test-share");
    browser.wait("the link is there", "document.querySelector('#share-dialog').open");
    let link = browser.eval("document.querySelector('[data-testid=share-link]').value");
    let fragment = link.as_str().and_then(|link| link.split_once("/#")).expect("a link").1.to_owned();
    assert!(browser.eval("document.querySelectorAll('#share-qr path').length") == 1);
    browser.click("#share-dialog [data-close]");

    browser.open(&server, &fragment);
    assert_eq!(browser.eval("location.hash"), "#/test", "the login stays in no address");
    assert_eq!(browser.eval("document.querySelector('[name=whose]:checked').value"), "other");
    run(&browser);
    assert_eq!(["stun", "udp", "tcp"].map(|kind| verdict(&browser, kind)), ["ok", "ok", "ok"]);
    browser.expect_clean_console();
}

#[test]
fn a_shared_link_is_taken_by_a_tab_that_has_the_page_already() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open(&server, "");
    browser.eval("(location.hash = '#/test?u=turn%3A192.0.2.1&n=anna&c=secret')");
    browser.wait("it is taken", "document.querySelector('[name=urls]').value === 'turn:192.0.2.1'");
    assert_eq!(browser.eval("document.querySelector('#test-form [name=username]').value"), "anna");
    assert_eq!(browser.eval("document.querySelector('[name=whose]:checked').value"), "other");
    assert_eq!(browser.eval("location.hash"), "#/test");
    browser.expect_clean_console();
}
