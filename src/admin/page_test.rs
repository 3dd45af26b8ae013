use super::super::harness::{Server, without_secret};
use super::*;
use crate::admin::Readiness;

const KEY: &str = "Authorization: Bearer run-token\r\n";
const WRONG: &str = "Authorization: Bearer wrong\r\n";

#[tokio::test]
async fn the_page_is_open_and_lets_nothing_foreign_in() {
    let server = Server::start();
    for (path, kind) in
        [("/", HTML), ("/page/app.js", SCRIPT), ("/page/style.css", STYLE), ("/page/icon.svg", PICTURE)]
    {
        let answer = server.get(path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    for missing in ["/page/", "/page/x.js", "/page/..%2Fpage.rs", "/page/%FF"] {
        assert_eq!(server.get(missing, "").await.status, 404, "{missing}");
    }
    let off = Server::with(Default::default(), |state| state.page = false);
    for path in ["/", "/page/app.js", "/signal/room", "/signal/room/events"] {
        assert_eq!(off.get(path, KEY).await.status, 404, "{path}");
    }
    assert_eq!(off.get("/api/page", KEY).await.status, 404);
    assert_eq!(off.get("/api/status", KEY).await.status, 200);
}

#[test]
fn no_page_has_script_or_style_in_it_or_speaks_to_others() {
    for (name, kind, text) in FILES {
        if *kind == HTML {
            for inline in [" style=", "<style", " onclick", " onload", "javascript:"] {
                assert!(!text.contains(inline), "{name} has {inline}");
            }
            let scripts = text.matches("<script").count();
            assert_eq!(scripts, text.matches("<script type=\"module\" src=\"/page/").count(), "{name}");
        }
        if *kind == SCRIPT {
            for raw in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!text.contains(raw), "{name} has {raw}");
            }
        }
    }
}

#[tokio::test]
async fn a_visitor_is_told_what_it_may_do() {
    let server = Server::start();
    for (headers, access) in [
        ("", "loopback"),
        (WRONG, "loopback"),
        (KEY, "key"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "none"),
        ("Forwarded: for=192.0.2.1\r\n", "none"),
    ] {
        let json = server.get("/api/page", headers).await.json();
        assert_eq!(
            json,
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "access": access,
                "administrator": access == "key",
                "mint": true,
            }),
            "{headers}"
        );
    }
}

/// The header by which a browser says that the page is this server's.
fn own_page(server: &Server) -> String {
    format!("Origin: http://{}\r\n", server.address)
}

#[tokio::test]
async fn at_this_machine_the_test_page_mints_without_a_key() {
    let server = Server::start();
    let answer = server.ask("POST", "/api/page/ice", &own_page(&server), "").await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["ttl"], 300);
    let server_of = &json["iceServers"][0];
    assert!(server_of["username"].as_str().unwrap().ends_with(":floe-test"));
    assert_eq!(server_of["urls"][0], "stun:192.0.2.1:3478");
    assert_eq!(server.get("/api/page/ice", "").await.status, 405, "no link can make one");
}

#[tokio::test]
async fn nobody_elsewhere_mints_without_a_key() {
    let server = Server::start();
    let own = own_page(&server);
    for headers in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "x-forwarded-proto: https\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "Via: 1.1 proxy\r\n",
        "X-Real-IP: 192.0.2.1\r\n",
        WRONG,
    ] {
        let headers = format!("{own}{headers}");
        assert_eq!(server.ask("POST", "/api/page/ice", &headers, "").await.status, 401, "{headers}");
    }
    assert_eq!(server.ask("POST", "/api/page/ice", "", "").await.status, 401, "no browser");
    // As nginx passes on what comes from anywhere, if it is told no more than where to.
    let host = server.address;
    let passed_on = format!("POST /api/page/ice HTTP/1.0\r\nHost: {host}\r\n{own}Connection: close\r\n\r\n");
    let answer = server.exchange(passed_on.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.0 401"), "{}", String::from_utf8_lossy(&answer));
    let foreign = "Origin: http://evil.example\r\n";
    assert_eq!(server.ask("POST", "/api/page/ice", foreign, "").await.status, 403);
    // A foreign name that leads here: DNS rebinding.
    let rebound = b"POST /api/page/ice HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\
        Connection: close\r\n\r\n";
    let answer = server.exchange(rebound).await;
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn only_loopback_has_a_loopback_name() {
    for local in ["localhost", "LocalHost:8080", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080"] {
        assert!(is_loopback_name(local), "{local}");
    }
    for other in [
        "",
        "localhost.evil.example",
        "localhost.",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "192.0.2.1:8080",
        "[2001:db8::1]",
        "::1",
        "0.0.0.0:8080",
        "[127.0.0.1]",
        "localhost:x",
        "2130706433",
    ] {
        assert!(!is_loopback_name(other), "{other}");
    }
}

#[tokio::test]
async fn a_key_mints_for_longer_and_invites() {
    let server = Server::start();
    let forwarded = format!("{KEY}X-Forwarded-For: 192.0.2.1\r\n");
    let json = server.ask("POST", "/api/page/ice", &forwarded, "").await.json();
    assert_eq!(json["ttl"], 3600);
    assert!(json["iceServers"][0]["username"].as_str().unwrap().ends_with(":floe-page"));

    assert_eq!(server.ask("POST", "/api/page/invitation?room=tea", "", "").await.status, 401);
    assert_eq!(server.ask("POST", "/api/page/invitation?room=a%20b", KEY, "").await.status, 400);
    let json = server.ask("POST", "/api/page/invitation?room=tea", KEY, "").await.json();
    let invitation = format!(
        "Authorization: Bearer {}\r\nX-Forwarded-For: 192.0.2.1\r\n",
        json["invitation"].as_str().unwrap()
    );
    let json = server.ask("POST", "/api/page/ice?room=tea", &invitation, "").await.json();
    assert_eq!(json["ttl"], 3600);
    for (method, path) in [
        ("POST", "/api/page/ice?room=coffee"),
        ("POST", "/api/page/ice"),
        ("POST", "/api/page/invitation?room=tea"),
    ] {
        assert_eq!(server.ask(method, path, &invitation, "").await.status, 401, "{path}");
    }
    assert_eq!(server.get("/api/sessions", &invitation).await.status, 401);
    // In its room a WebSocket is missing, in others all.
    assert_eq!(server.get("/signal/tea", &invitation).await.status, 426);
    assert_eq!(server.get("/signal/coffee", &invitation).await.status, 401);
}

#[tokio::test]
async fn without_a_secret_or_while_draining_nothing_is_minted() {
    let server = Server::with(Default::default(), |state| state.live = without_secret());
    assert_eq!(server.get("/api/page", "").await.json()["mint"], false);
    let urls_alone = server.ask("POST", "/api/page/ice", &own_page(&server), "").await.json();
    assert_eq!(urls_alone["iceServers"][0].as_object().unwrap().len(), 1, "{urls_alone}");
    let server = Server::start();
    server.readiness.send_replace(Readiness::Draining);
    for headers in [KEY, own_page(&server).as_str()] {
        assert_eq!(server.ask("POST", "/api/page/ice", headers, "").await.status, 503, "{headers}");
    }
}
