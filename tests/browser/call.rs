//! The Call page: two tabs, a browser and `floe pair`, and who is not let in.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::driver::{Browser, Driver, ENTER};
use crate::server;
use crate::support::command::floe;
use crate::support::{Config, SECRET, Server};

pub(crate) fn enter(browser: &Browser<'_>) {
    browser.click("[data-testid=call-enter]");
}

pub(crate) fn wait_connected(browser: &Browser<'_>) {
    browser.wait_for_text("[data-testid=fact-connection]", "connected");
    browser.wait(
        "the channel is open",
        "document.querySelector('[data-testid=chat-state]').dataset.state === 'ok'",
    );
    // Decoded, so it went all the way.
    browser.wait("a picture", "document.querySelector('[data-testid=call-remote]').videoWidth > 0");
}

pub(crate) fn say(browser: &Browser<'_>, text: &str) {
    browser.type_into("[data-testid=chat-text]", &format!("{text}{ENTER}"));
}

pub(crate) fn options(browser: &Browser<'_>, choices: &[(&str, &str)]) {
    browser.click("#call-options summary");
    for (name, value) in choices {
        browser.choose(&format!("#call-form [name={name}]"), value);
    }
}

#[test]
fn two_tabs_talk_through_the_relay_over_websocket_and_http() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "call");
    assert_eq!(browser.eval("location.href.includes('token')"), false, "the token is in no address");
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
    options(&browser, &[("policy", "relay")]);
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    browser.click("#call-invite");
    browser.wait("the link is there", "document.querySelector('#share-dialog').open");
    let link = browser.eval("document.querySelector('[data-testid=share-link]').value");
    browser.click("#share-dialog [data-close]");

    // The other tab has no key, only the invitation; and no camera, and no WebSocket.
    let [first, second] = browser.second_tab();
    browser.open(&server, link.as_str().and_then(|link| link.split_once("/#")).expect("a link").1);
    options(&browser, &[("media", "made"), ("policy", "relay"), ("channel", "http")]);
    enter(&browser);
    wait_connected(&browser);
    browser.wait_for_text("[data-testid=fact-way]", "relay to relay");
    let stream = |id: &str| browser.text(&format!("[data-testid=fact-{id}]"));
    let there = [stream("sent"), stream("received")];
    browser.choose("#chat-kind", "floats");
    say(&browser, "<b>out</b>");
    browser.choose("#chat-kind", "text");
    say(&browser, "out");
    // A script of strangers stays text.
    assert!(browser.text("[data-testid=chat-log]").contains("<b>out</b>"));

    browser.to_tab(&first);
    wait_connected(&browser);
    assert_eq!([stream("received"), stream("sent")], there, "each stream has one name at both ends");
    browser.wait_for_text("[data-testid=chat-log]", "binary, 40 B: 00 00 70 42");
    browser.wait_for_text("[data-testid=chat-log]", "out");
    for (kind, text) in [("blob", "as a blob"), ("buffer", "as a buffer"), ("bytes", "as bytes")] {
        browser.choose("#chat-kind", kind);
        say(&browser, text);
    }
    let file = std::env::current_exe().expect("a file");
    let size = file.metadata().expect("its size").len();
    let small = crate::support::server::new_directory().join("numbers.bin");
    std::fs::write(
        &small,
        std::fs::read(&file).expect("read").get(..1_000_000).expect("a million of its bytes"),
    )
    .expect("written");
    assert!(size > 1_000_000);
    browser.type_into("[data-testid=file-input]", small.to_str().expect("UTF-8"));
    browser.wait_for_text("[data-testid=chat-log]", "delivered");

    browser.to_tab(&second);
    for text in ["as a blob", "as a buffer", "as bytes", "numbers.bin"] {
        browser.wait_for_text("[data-testid=chat-log]", text);
    }
    let saved = "Array.from(document.querySelectorAll('[data-testid=chat-log] a')).length";
    assert_eq!(browser.eval(saved), 1);
    assert!(server.metric("floe_hairpin_bytes_total", &[]) > 1_000_000.0);
    browser.click("[data-testid=call-leave]");
    browser.to_tab(&first);
    browser.wait_for_text("[data-testid=chat-log]", "The channel is closed.");
    browser.wait_for_text("[data-testid=call-status]", "Waiting");
    browser.expect_clean_console();
    let _ = std::fs::remove_file(small);
}

/// `floe pair --room tea`, and its report.
fn pair(server: &Server) -> impl FnOnce() -> Value + use<> {
    let (admin, udp) = (server.admin(), server.udp());
    let url = format!("turn:{udp}?transport=udp");
    let mut command: Command = floe();
    command
        .args(["pair", "--json", "--timeout", "60", "--room", "tea", "--server", &url, "--secret", SECRET])
        .args(["--signal", &format!("ws://{admin}"), "--token", &server.runtime().token])
        .args(["--admin", &format!("http://{admin}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("floe runs");
    move || {
        let output = child.wait_with_output().expect("it ends");
        serde_json::from_slice(&output.stdout).expect("a report")
    }
}

fn assert_all_seen(report: &Value) {
    assert_eq!(report["ok"], true, "{report:#}");
    for check in report["checks"].as_array().expect("checks") {
        assert_eq!(check["status"], "ok", "{check:#}");
    }
    let packets = report["checks"].as_array().into_iter().flatten().find(|check| check["step"] == "packets");
    let packets = packets.expect("a check")["detail"].as_str().expect("text").to_owned();
    for part in ["audio came", "video came", "of ours it has"] {
        assert!(packets.contains(part), "{packets}");
    }
}

/// Keeps the width of the picture that comes, since the pair goes when all is seen.
fn watch_for_picture(browser: &Browser<'_>) {
    browser.eval("window.seenWidth = 0");
    browser.eval(
        "document.querySelector('[data-testid=call-remote]').onresize = (event) => \
         (window.seenWidth = event.target.videoWidth || window.seenWidth), true",
    );
}

#[test]
fn a_browser_calls_floe_pair_and_is_called_by_it() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "call");
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
    // The pair's relay reaches nothing but this machine, and so the browser's must.
    options(&browser, &[("policy", "relay")]);
    // Whoever is there first offers.
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    watch_for_picture(&browser);
    assert_all_seen(&pair(&server)());
    browser.wait("its picture", "window.seenWidth === 64");
    browser.wait_for_text("[data-testid=chat-log]", "44 messages went back to it");
    browser.click("[data-testid=call-leave]");

    let report = pair(&server);
    server.wait_until("it is in the room", || {
        server.log().contains("floe-pair") || server.metric("floe_requests_total", &["allocate"]) > 4.0
    });
    watch_for_picture(&browser);
    enter(&browser);
    assert_all_seen(&report());
    browser.wait("its picture", "window.seenWidth === 64");
    browser.expect_clean_console();
}

#[test]
fn floe_pair_says_that_it_answers_no_ice_restart() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_| {});
    let browser = driver.browser();
    browser.open_with_token(&server, "call");
    // As the page does when a connection has failed, but at once.
    browser.execute(
        "const Original = RTCPeerConnection;
        window.RTCPeerConnection = class extends Original {
          constructor(...all) {
            super(...all);
            const begin = () => this.signalingState === 'stable' && this.restartIce();
            this.addEventListener('signalingstatechange', begin);
          }
        };",
    );
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
    options(&browser, &[("policy", "relay")]);
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    let report = pair(&server)();
    assert_eq!(report["ok"], false, "{report:#}");
    assert!(report["verdict"].as_str().is_some_and(|said| said.contains("ICE restart")), "{report:#}");
    browser.expect_clean_console();
}

#[test]
fn who_may_not_enter_is_told_why() {
    let Some(driver) = Driver::start() else { return };
    let server = server(|_: &mut Config| {});
    let browser = driver.browser();
    browser.open(&server, "/call");
    enter(&browser);
    browser.wait_for_text("[data-testid=call-status]", "takes a key");
    // A wrong key is refused in words, and forgotten.
    browser.click("#access-button");
    browser.type_into("[data-testid=key-input]", &format!("wrong{ENTER}"));
    browser.wait_for_text("#key-error", "does not know this key");
    browser.type_into("[data-testid=key-input]", &format!("{}{ENTER}", server.runtime().token));
    browser.wait_for_text("#access-button", "known");
    browser.expect_clean_console();

    // Two are in it already.
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'full'");
    let _seats = [(); 2].map(|()| Seat::take(&server, "full"));
    enter(&browser);
    browser.wait_for_text("[data-testid=call-status]", "two peers already");
    browser.expect_clean_console();
}

/// Somebody in a room, over HTTP.
struct Seat(#[expect(dead_code, reason = "held open")] std::net::TcpStream);

impl Seat {
    fn take(server: &Server, room: &str) -> Self {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(server.admin()).expect("connected");
        let token = &server.runtime().token;
        write!(
            stream,
            "GET /signal/{room}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
            server.admin()
        )
        .expect("asked");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        Self(stream)
    }
}
