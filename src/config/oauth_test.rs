use super::super::Config;
use super::super::testing::{load_given, load_text, problems};

const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
const SHORT: &str = "q83vEjRWeJCrze8SNFZ4kA==";

fn with(entries: &str) -> String {
    problems(&format!("[auth]\noauth-keys = [{entries}]"))
}

#[test]
fn a_key_has_a_name_and_the_length_of_its_algorithm() {
    assert_eq!(with(&format!("{{ kid = \"a\", key = \"{KEY}\" }}")), "");
    assert_eq!(with(&format!("{{ kid = \"a\", key = \"{SHORT}\", algorithm = \"A128GCM\" }}")), "");
    let all = "not-before = 1790000000, lifetime = 7776000, authorization-server = \"a\"";
    assert_eq!(with(&format!("{{ kid = \"a\", key = \"{KEY}\", algorithm = \"A256GCM\", {all} }}")), "");
    assert_eq!(
        with(&format!("\n{{ kid = \"a\", key = \"{SHORT}\" }}")),
        "floe.toml:3: auth.oauth-keys: the key \"a\": its key has 16 bytes; A256GCM takes 32; \
         make one with `openssl rand -base64 32`, for A128GCM 16"
    );
    assert!(with("{ kid = \"a\", key = \"*\" }").contains("its key is not base64"));
    assert!(with(&format!("{{ kid = \"\", key = \"{KEY}\" }}")).contains("its kid is empty"));
    assert!(
        with(&format!("{{ kid = \"a\", key = \"{KEY}\", algorithm = \"A128CBC\" }}")).contains("A256GCM")
    );
    assert!(with("{ kid = \"a\" }").contains("of which kid and key are needed"));
    assert!(with(&format!("{{ kid = \"a\", key = \"{KEY}\", exp = 1 }}")).contains("unknown field exp"));
}

#[test]
fn a_kid_is_there_once() {
    let entry = format!("{{ kid = \"a\", key = \"{KEY}\" }}");
    assert_eq!(
        with(&format!("\n{entry},\n{entry}")),
        "floe.toml:4: auth.oauth-keys: the key \"a\" is listed twice; give each its own kid"
    );
    assert_eq!(
        problems(&format!("[auth]\nusers = {{ a = \"k3Vq9xTz0L\" }}\noauth-keys = [{entry}]")),
        "floe.toml:3: auth.oauth-keys: the key \"a\" has the name of one of auth.users; give it another kid"
    );
}

#[test]
fn a_lifetime_counts_from_somewhere() {
    assert_eq!(
        with(&format!("{{ kid = \"a\", key = \"{KEY}\", lifetime = 60 }}")),
        "floe.toml:2: auth.oauth-keys: the key \"a\" ends 60 s after 1970; give not-before too"
    );
}

// H-035
#[test]
fn a_key_out_of_a_manual_is_for_loopback() {
    let weak = "{ kid = \"a\", key = \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\" }";
    assert!(with(weak).contains("the key \"a\" is a sample out of a manual; make one with"));
    let loopback = "[listen]\nudp = [\"127.0.0.1:0\"]\ntcp = []\n";
    assert!(problems(&format!("{loopback}[auth]\noauth-keys = [{weak}]")).starts_with("warning: "));
}

#[test]
fn the_server_name_is_the_realm_unless_it_is_given() {
    let name = |text: &str| load_text(text).unwrap().config.oauth_server_name().to_owned();
    assert_eq!(name("realm = \"example.org\""), "example.org");
    let keys = format!("oauth-keys = [{{ kid = \"a\", key = \"{KEY}\" }}]");
    assert_eq!(
        name(&format!("[auth]\noauth-server-name = \"turn.example.org\"\n{keys}")),
        "turn.example.org"
    );
    assert_eq!(
        problems("[auth]\noauth-server-name = \"turn.example.org\""),
        "warning: floe.toml:2: auth.oauth-server-name: is of no use while auth.oauth-keys is empty"
    );
    let long = "a".repeat(256);
    assert!(
        problems(&format!("[auth]\noauth-server-name = \"{long}\"\n{keys}")).contains("255 bytes at most")
    );
}

// H-035
#[test]
fn keys_are_not_shown() {
    let loaded = load_text(&format!("[auth]\noauth-keys = [{{ kid = \"a\", key = \"{KEY}\" }}]")).unwrap();
    let shown: String =
        loaded.effective().iter().map(|key| format!("{} {}\n", key.name, key.value)).collect();
    assert!(shown.contains("kid = \"a\"") && shown.contains("key = \"…\""), "{shown}");
    assert!(!shown.contains(&KEY[..8]) && !format!("{:?}", loaded.config).contains(&KEY[..8]));
}

#[test]
fn keys_may_stand_in_a_file_of_their_own() {
    let directory = super::super::testing::Directory::new();
    let (one, two) =
        (format!("{{ kid = \"a\", key = \"{KEY}\" }}"), format!("{{ kid = \"b\", key = \"{KEY}\" }}"));
    for text in [format!("[{one}, {two}]\n"), format!("{one}\n{two}\n")] {
        let file = directory.file("keys", &text);
        let loaded = load_given(&[("FLOE_AUTH__OAUTH_KEYS__FILE", file.to_str().unwrap())], &[]).unwrap();
        let kids: Vec<_> = loaded.config.auth.oauth_keys.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!(kids, ["a", "b"], "{text}");
    }
}

#[test]
fn it_is_off_by_default() {
    assert_eq!(Config::default().auth.oauth_keys, []);
    assert!(Config::default().auth.is_empty());
}
