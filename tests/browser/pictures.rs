//! The pictures of `docs/web.md`: each page in light, in dark, and on a phone.
//! `FLOE_WRITE=1 cargo test --test browser pictures` takes them anew.

use std::fs;
use std::path::Path;

use crate::call::{enter, options, say, wait_connected};
use crate::driver::{Browser, Driver};
use crate::support::{ALICE, Authority, BOB, Client, SECRET, Server};
use crate::test_page::{run, secure};

const VIEWS: [&str; 3] = ["test", "call", "dashboard"];
const LOOKS: [&str; 3] = ["light", "dark", "phone"];
/// Bytes of a picture: a clone should stay small.
const LARGEST: u64 = 150_000;

fn file(view: &str, look: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/{view}-{look}.png"))
}

#[test]
fn every_page_is_shown_in_the_documentation() {
    if std::env::var_os("FLOE_WRITE").is_some() {
        take_all();
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/web.md"));
    let text = text.expect("docs/web.md");
    for (view, look) in VIEWS.iter().flat_map(|view| LOOKS.map(|look| (view, look))) {
        let size = fs::metadata(file(view, look)).expect("a picture").len();
        assert!(size < LARGEST, "{view}-{look}.png has {size} bytes");
        assert!(text.contains(&format!("images/{view}-{look}.png")), "{view}-{look}.png is not shown");
    }
}

fn take_all() {
    let Some(driver) = Driver::start() else { return };
    let authority = Authority::new();
    assert!(driver.believe(&authority));
    let server = Server::start(|config| {
        secure(&authority, config);
        config.set("auth.secrets", vec![SECRET]);
    });
    let mut clients = [Client::udp(&server).user(ALICE), Client::tcp(&server).user(BOB)];
    clients.iter_mut().for_each(|client| _ = client.allocate());
    let browser = driver.browser();

    browser.open_with_token(&server, "call");
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
    options(&browser, &[("policy", "relay"), ("media", "made")]);
    enter(&browser);
    browser.wait_for_text("[data-testid=fact-signaling]", "alone");
    let [first, _] = browser.second_tab();
    browser.open_with_token(&server, "call");
    browser.eval("document.querySelector('[data-testid=call-room]').value = 'tea'");
    options(&browser, &[("policy", "relay")]);
    enter(&browser);
    wait_connected(&browser);
    say(&browser, "Can you see the floe?");
    browser.to_tab(&first);
    say(&browser, "It drifts over your clock.");
    browser.choose("#chat-kind", "floats");
    say(&browser, "brrr");
    browser.eval("document.querySelector('#call-options').open = false");
    take(&browser, "call");

    // The call goes on, for the dashboard to have something to show.
    browser.second_tab();
    browser.open_with_token(&server, "test");
    run(&browser);
    take(&browser, "test");
    browser.second_tab();
    browser.open_with_token(&server, "dashboard");
    browser.wait(
        "a minute's samples",
        "(document.querySelector('#hour .line').getAttribute('d') ?? '').length > 60",
    );
    take(&browser, "dashboard");
}

fn take(browser: &Browser<'_>, view: &str) {
    for look in LOOKS {
        // As much as shows what the page is for.
        let height = if view == "call" { 1180 } else { 820 };
        let (width, height) = if look == "phone" { (390, 844) } else { (1180, height) };
        browser.resize(width, height, look == "phone");
        browser.colours(if look == "dark" { "dark" } else { "light" });
        browser.eval("window.scrollTo(0, 0)");
        // Drawn anew at this size.
        browser.eval(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
        );
        let file = file(view, look);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, browser.picture()).expect("written");
    }
}
