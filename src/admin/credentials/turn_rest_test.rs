use crate::admin::harness::{Answer, Server, without_secret};
use crate::admin::server::Limits;
use crate::admin::*;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// What the harness's clock says.
const NOW: u64 = 1_756_200_400;

/// Whether the credentials are those of `user` for `ttl` seconds from now.
fn assert_minted(answer: &Answer, user: &str, ttl: u64) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    let (until, name) = json["username"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(name, user);
    assert_eq!(until.parse(), Ok(NOW + ttl));
    assert_eq!(json["ttl"], ttl);
    assert_eq!(json["password"], "cGFzc3dvcmQ=");
    // Janus takes the host of the first URI up to the first colon.
    assert_eq!(json["uris"][0], "turn:192.0.2.1:3478?transport=udp");
    assert_eq!(json["uris"].as_array().unwrap().len(), 2);
    assert_eq!(json.as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn get_and_post_mint_for_an_api_key() {
    let server = Server::start();
    let answer = server.get("/turn?service=turn&username=alice&key=janus-key", "").await;
    assert_minted(&answer, "alice", DEFAULT_TTL);

    let body = "service=turn&username=alice&key=janus-key&ttl=600";
    let answer = server.ask("POST", "/turn", FORM, body).await;
    assert_minted(&answer, "alice", 600);

    let answer = server.ask("POST", "/turn?service=turn&username=bob&ttl=60&key=janus-key", "", "").await;
    assert_minted(&answer, "bob", 60);

    // As Janus asks: the key twice, and the query again as the body.
    let query = "service=turn&api=janus-key&key=janus-key&username=carol";
    let answer = server.ask("POST", &format!("/turn?{query}"), FORM, query).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["username"].as_str().unwrap().ends_with(":carol"));
    // An IPv6 literal would be its end.
    assert_eq!(answer.json()["uris"], serde_json::json!(["turn:192.0.2.1:3478?transport=udp"]));
}

#[tokio::test]
async fn the_runs_token_and_the_bearer_header_are_keys_too() {
    let server = Server::start();
    let answer = server.get("/turn?service=turn&username=a&key=run-token", "").await;
    assert_minted(&answer, "a", DEFAULT_TTL);
    for key in ["run-token", "janus-key"] {
        let header = format!("Authorization: Bearer {key}\r\n");
        let answer = server.get("/turn?service=turn&username=a", &header).await;
        assert_minted(&answer, "a", DEFAULT_TTL);
    }
}

#[tokio::test]
async fn without_a_right_key_there_is_nothing() {
    let server = Server::start();
    for path in
        ["/turn?service=turn&username=a", "/turn?service=turn&username=a&key=", "/turn?service=turn&key=x"]
    {
        let answer = server.get(path, "").await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        assert!(!answer.error().is_empty());
    }
    // Not even what is wrong with the rest.
    assert_eq!(server.get("/turn?service=stun", "").await.status, 401);
}

#[tokio::test]
async fn many_wrong_keys_get_429_and_a_right_one_still_passes() {
    let server = Server::start();
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(server.get("/turn?service=turn&key=guess", "").await.status);
    }
    assert_eq!(statuses.first(), Some(&401));
    let answer = server.get("/turn?service=turn&key=guess", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    assert!(!answer.error().is_empty());
    assert_eq!(server.get("/turn?service=turn&key=janus-key", "").await.status, 200);
}

#[tokio::test]
async fn wrong_parameters_are_400() {
    let server = Server::start();
    let long = format!("service=turn&username={}", "x".repeat(MAX_USERNAME + 1));
    for query in [
        "username=a",
        "service=stun&username=a",
        "service=turn&username=a%00b",
        "service=turn&username=a%0d%0ab",
        "service=turn&username=a%c2%85b",
        "service=turn&username=%ff",
        "service=turn&ttl=0",
        "service=turn&ttl=-1",
        "service=turn&ttl=1e3",
        "service=turn&ttl=99999999999999999999999",
        &long,
    ] {
        let answer = server.get(&format!("/turn?key=janus-key&{query}"), "").await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(!answer.error().is_empty());
    }
}

#[tokio::test]
async fn a_long_ttl_is_cut_and_the_longest_name_is_taken() {
    let server = Server::start();
    let name = "x".repeat(MAX_USERNAME);
    let answer =
        server.get(&format!("/turn?key=janus-key&service=turn&username={name}&ttl=9999999"), "").await;
    assert_minted(&answer, &name, MAX_TTL);
    let answer = server.get("/turn?key=janus-key&service=turn&username=a%3Ab%20%C3%A9", "").await;
    assert_minted(&answer, "a:b é", DEFAULT_TTL);
}

#[tokio::test]
async fn without_a_name_everybody_gets_another() {
    let server = Server::start();
    let mut names = std::collections::BTreeSet::new();
    for query in ["", "&username=", ""] {
        let json = server.get(&format!("/turn?key=janus-key&service=turn{query}"), "").await.json();
        let name = json["username"].as_str().unwrap().split_once(':').unwrap().1.to_owned();
        assert_eq!(name.len(), 16);
        assert!(names.insert(name));
    }
}

#[tokio::test]
async fn without_a_shared_secret_it_says_so() {
    let server = Server::with(Limits::default(), |state| state.live = without_secret());
    let answer = server.get("/turn?key=janus-key&service=turn&username=a", "").await;
    assert_eq!(answer.status, 501);
    assert!(answer.error().contains("auth.secrets"));
    assert_eq!(server.get("/turn?service=turn&username=a", "").await.status, 401);
}

#[tokio::test]
async fn bodies_are_forms_or_objects_of_at_most_8_kib() {
    let server = Server::start();
    let text = server.ask("POST", "/turn?key=janus-key", "Content-Type: text/plain\r\n", "{}").await;
    assert_eq!(text.status, 415);
    let large = format!("key=janus-key&service=turn&username={}", "x".repeat(9_000));
    let answer = server.ask("POST", "/turn", FORM, &large).await;
    assert_eq!(answer.status, 413);
    assert!(!answer.error().is_empty());
}
