use super::super::testing::{load_text, problems};
use super::{Challenge, LETS_ENCRYPT};

fn with(keys: &str) -> String {
    problems(&format!("[listen]\ntls = [\"0.0.0.0:443\"]\n[acme]\n{keys}"))
}

const AGREED: &str = "agree-to-terms = true";

#[test]
fn names_are_enough_and_the_terms() {
    let text = format!("[listen]\ntls = [\"0.0.0.0:443\"]\n[acme]\nnames = [\"turn.example.org\"]\n{AGREED}");
    let acme = load_text(&text).unwrap().config.acme;
    assert!(acme.is_on());
    assert_eq!((acme.challenge, acme.directory.as_str()), (Challenge::TlsAlpn01, LETS_ENCRYPT));
    assert!(!load_text("").unwrap().config.acme.is_on());
    assert_eq!(
        problems("[acme]\nagree-to-terms = true"),
        "warning: floe.toml:2: acme.agree-to-terms: is of no use while acme.names is empty"
    );
    let refused = with("names = [\"turn.example.org\"]");
    assert!(
        refused.contains("acme.agree-to-terms: read the terms of service of https://acme-v02"),
        "{refused}"
    );
}

#[test]
fn a_mistake_is_named() {
    for (keys, told) in [
        ("names = [\"a.example.org\", \"A.example.org\"]", "A.example.org is listed twice"),
        ("names = [\"*.example.org\"]", "takes the DNS challenge"),
        ("names = [\"turn\"]", "\"turn\" is no host name"),
        ("names = [\"turn example.org\"]", "is no host name"),
        (
            "names = [\"a.example.org\"]\ncontact = [\"nobody\"]",
            "acme.contact: \"nobody\" is no mail address",
        ),
        ("names = [\"a.example.org\"]\ndirectory = \"http://ca.example\"", "is no https:// URL"),
        ("names = [\"a.example.org\"]\nchallenge = \"dns-01\"", "tls-alpn-01"),
        (
            "names = [\"a.example.org\"]\nchallenge = \"http-01\"\nhttp-listen = []",
            "acme.http-listen: is empty",
        ),
        (
            "names = [\"a.example.org\"]\nchallenge = \"http-01\"\nhttp-listen = [\"127.0.0.1:8081\"]",
            "must be forwarded",
        ),
    ] {
        let problems = with(&format!("{keys}\n{AGREED}"));
        assert!(problems.contains(told), "{told}: {problems}");
    }
    assert_eq!(with(&format!("names = [\"192.0.2.1\", \"2001:db8::1\"]\n{AGREED}")), "");
}

#[test]
fn a_challenge_needs_its_listener() {
    let keys = format!("[acme]\nnames = [\"a.example.org\"]\n{AGREED}\n");
    let none = problems(&keys);
    assert!(
        none.contains(
            "acme.challenge: tls-alpn-01 is answered at listen.tls and https.listen, which are empty"
        ),
        "{none}"
    );
    let other = problems(&format!("[listen]\ntls = [\"0.0.0.0:5349\"]\n{keys}"));
    assert!(other.contains("must be forwarded"), "{other}");
    let unused = problems(&format!("{keys}challenge = \"http-01\""));
    assert!(
        unused.contains("acme.names: is of no use while listen.tls, listen.dtls and https.listen are empty"),
        "{unused}"
    );
}
