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
fn an_answer_to_an_older_search_is_not_shown_any_more() {
    let Some(driver) = Driver::start() else { return };
    let server = Server::start(|_| {});
    let mut clients = [ALICE, BOB].map(|user| Client::udp(&server).user(user));
    for client in &mut clients {
        client.allocate();
    }
    let browser = driver.browser();
    browser.open_with_token(&server, "dashboard");
    browser.wait_for_text("[data-testid=sessions]", "alice");
    // Answers to one search are held back, and come though nobody waits for them.
    browser.execute(
        "const original = fetch;
        Object.assign(window, { held: [], newer: 0, shownLate: false });
        window.fetch = async (path, options) => {
          const answer = await original(path, { ...options, signal: undefined });
          if (path.includes('search=alice')) await new Promise((go) => held.push(go));
          if (path.includes('search=bob')) window.newer += 1;
          return answer;
        };
        window.search = (text) => {
          const field = document.querySelector('[data-testid=sessions-search]');
          field.value = text;
          field.dispatchEvent(new Event('input', { bubbles: true }));
        };",
    );
    browser.execute("search('alice')");
    browser.wait("it is asked for", "held.length > 0");
    browser.execute("search('bob')");
    browser.wait("bob alone", "document.querySelector('[data-testid=sessions]').innerText.startsWith('bob')");
    browser.execute(
        "const list = document.querySelector('[data-testid=sessions]');
        new MutationObserver(() => (window.shownLate ||= list.innerText.includes('alice')))
          .observe(list, { childList: true, subtree: true });
        window.newer = 0;
        held.forEach((go) => go());",
    );
    browser.wait("it has looked again", "window.newer >= 2");
    assert_eq!(browser.eval("window.shownLate"), false);
    assert!(!browser.text("[data-testid=sessions]").contains("alice"));
    browser.expect_clean_console();
}

#[test]
fn a_server_that_was_started_anew_begins_a_new_hour() {
    let Some(driver) = Driver::start() else { return };
    let server = Server::start(|_| {});
    let browser = driver.browser();
    browser.open(&server, "/dashboard");
    // Of one run five samples are told, of the next one, which is newer than they are.
    browser.execute(
        "const original = fetch;
        window.run = { started: 1, at: [1, 2, 3, 4, 5] };
        window.fetch = async (path, options) => {
          const answer = await original(path, options);
          if (!/^.api.(status|history)/.test(path)) return answer;
          const json = await answer.json();
          json.started = window.run.started;
          const since = Number(new URLSearchParams(path.split('?')[1]).get('since'));
          const at = window.run.at.filter((one) => one > since);
          for (const name in json.series) json.series[name] = name === 'at' ? at : at.map(() => 1);
          return new Response(JSON.stringify(json));
        };
        window.points = () => document.querySelector('#hour .line')?.getAttribute('d').match(/[ML]/g)?.length;",
    );
    browser.eval(&format!("(location.hash = '#/dashboard?token={}')", server.runtime().token));
    browser.wait("the first run is drawn", "points() === 5");
    browser.execute("window.run = { started: 2, at: [9] }");
    browser.wait("the second one alone is drawn", "points() === 1");
    browser.expect_clean_console();
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
