use super::super::testing::{Directory, chmod, load_given, load_text, problems, set, variables};
use super::super::{LogFormat, PortRange, Secret};
use super::*;

fn socket(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap()
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);
    assert!(loaded.is_default("listen.udp"));
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
    assert_eq!(
        problems("realm = \"a\"\n\n[listen]\nupd = []\n"),
        "floe.toml:4: listen.upd: unknown key; did you mean listen.udp?"
    );
    assert_eq!(problems("reaml = \"a\""), "floe.toml:1: reaml: unknown key; did you mean realm?");
    assert_eq!(problems("[lisen]\nudp = []"), "floe.toml:1: lisen: unknown section; did you mean [listen]?");
    assert_eq!(
        problems("[quic]\ncertificate = \"\""),
        "floe.toml:1: quic: unknown section; `floe config show` lists them all"
    );
    assert_eq!(
        problems("relay.multiplex-peer = true"),
        "floe.toml:1: relay.multiplex-peer: unknown key; `floe config show` lists them all"
    );
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    assert_eq!(
        problems("[listen]\nrealm = \"a\""),
        "floe.toml:2: listen.realm: unknown key; did you mean realm?"
    );
    assert_eq!(
        problems("ports = \"50000-50100\""),
        "floe.toml:1: ports: unknown key; did you mean relay.ports?"
    );
}

#[test]
fn a_wrong_type_says_what_was_found_and_what_to_write() {
    assert_eq!(
        problems("[listen]\nudp = 3478"),
        "floe.toml:2: listen.udp: found the number 3478; write a list of addresses with ports, as [\"0.0.0.0:3478\"]"
    );
    assert_eq!(
        problems("drain-timeout = \"60\""),
        "floe.toml:1: drain-timeout: found the text \"60\"; write a whole number of seconds, as 60"
    );
    assert_eq!(
        problems("drain-timeout = -1"),
        "floe.toml:1: drain-timeout: found the number -1; write a whole number of seconds, as 60"
    );
    assert_eq!(
        problems("drain-timeout = 5000000000"),
        "floe.toml:1: drain-timeout: found the number 5000000000, which is too large; \
         write a whole number of seconds, as 60"
    );
    assert_eq!(
        problems("[relay]\nlegacy-channels = \"yes\""),
        "floe.toml:2: relay.legacy-channels: found the text \"yes\"; write true or false"
    );
    assert_eq!(
        problems("[relay]\nports = \"49152:65535\""),
        "floe.toml:2: relay.ports: found the text \"49152:65535\"; write first and last port, as \"49152-65535\""
    );
    assert_eq!(
        problems("[log]\nformat = \"xml\""),
        "floe.toml:2: log.format: found the text \"xml\"; write \"auto\", \"text\" or \"json\""
    );
    assert_eq!(
        problems("admin = \"127.0.0.1:80\""),
        "floe.toml:1: admin: is a section; write [admin], and its keys below it"
    );
    assert_eq!(
        problems("[[listen]]\nudp = []"),
        "floe.toml:1: listen: is a section of its own; write it once, as [listen]"
    );
}

#[test]
fn each_bad_entry_of_a_list_is_named_on_its_own_line() {
    let text = "[peers]\nallow = [\n  \"10.0.0.0/8\",\n  \"10.0.0.0/33\",\n  \"fritz.box\",\n]";
    assert_eq!(
        problems(text),
        "floe.toml:4: peers.allow: found the text \"10.0.0.0/33\"; \
         write a list of addresses and prefixes, as [\"10.1.0.0/16\", \"2001:db8::1\"]\n\
         floe.toml:5: peers.allow: found the text \"fritz.box\"; \
         write a list of addresses and prefixes, as [\"10.1.0.0/16\", \"2001:db8::1\"]"
    );
}

#[test]
fn no_message_shows_a_secret() {
    let text =
        "[auth]\nsecrets = [{ name = \"a\", secre = \"hunter2hunter2\" }, 4711]\nusers = { bob = 4711 }";
    assert_eq!(
        problems(text),
        "floe.toml:2: auth.secrets: unknown field secre; did you mean secret?\n\
         floe.toml:2: auth.secrets: found a number; \
         write a list of secrets, each as \"…\" or { name = \"…\", secret = \"…\" }\n\
         floe.toml:3: auth.users: found a number; write names and passwords, as { alice = \"…\" }"
    );
}

#[test]
fn all_mistakes_are_shown_together_in_the_order_of_the_file() {
    let text = "relam = \"x\"\ndrain-timeout = false\n[log]\nlevl = \"info\"\nformat = 1\n";
    let lines: Vec<String> =
        problems(text).lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        ["floe.toml:1 relam", "floe.toml:2 drain-timeout", "floe.toml:4 log.levl", "floe.toml:5 log.format"]
    );
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let found = problems("realm = \"a\"\n[listen\nudp = []\n");
    assert!(found.starts_with("floe.toml:2: "), "{found}");
    let found = problems("realm = floe\n");
    assert!(found.starts_with("floe.toml:1: "), "{found}");
    let found = problems("realm = \"a\"\nrealm = \"b\"\n");
    assert!(found.starts_with("floe.toml:2: duplicate key"), "{found}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let sources = Sources { file: Some("/nonexistent/floe.toml".into()), ..Sources::default() };
    assert_eq!(
        load(&sources).unwrap_err().to_string(),
        "/nonexistent/floe.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let directory = Directory::new();
    let file =
        directory.file("floe.toml", "realm = \"file\"\ndrain-timeout = 1\n\n[log]\nlevel = \"warn\"\n");
    let sources = Sources {
        file: Some(file.clone()),
        environment: variables(&[("FLOE_REALM", "environment"), ("FLOE_DRAIN_TIMEOUT", "2")]),
        flags: set(&[("realm", "flag")]),
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.realm, "flag");
    assert_eq!(loaded.config.drain_timeout, 2);
    assert_eq!(loaded.config.log.level, "warn");
    assert_eq!(loaded.config.log.format, LogFormat::Auto);
    assert_eq!(*loaded.origin("realm"), Origin::Flag("--set".to_owned()));
    assert_eq!(*loaded.origin("drain-timeout"), Origin::Variable("FLOE_DRAIN_TIMEOUT".to_owned()));
    assert_eq!(*loaded.origin("log.level"), Origin::File { path: file, line: Some(5) });
    assert!(loaded.is_default("log.format"));
}

#[test]
fn variables_are_toml_or_else_plain_text() {
    let loaded = load_given(
        &[
            ("FLOE_REALM", "1234"),
            ("FLOE_LISTEN__UDP", "[\"127.0.0.1:1\", \"[::1]:2\"]"),
            ("FLOE_LISTEN__TCP", "[::1]:3"),
            ("FLOE_LISTEN__SOCKET_BUFFER", "100_000"),
            ("FLOE_RELAY__PORTS", "50000-50100"),
            ("FLOE_RELAY__LEGACY_CHANNELS", "true"),
            ("FLOE_AUTH__USERS", "{ alice = \"wonderland-4711\" }"),
            ("FLOE_AUTH__SECRETS", "00112233445566778899"),
            ("FLOE_ADMIN__LISTEN", ""),
            ("PATH", "/bin"),
        ],
        &[],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.realm, "1234");
    assert_eq!(config.listen.udp, [socket("127.0.0.1:1"), socket("[::1]:2")]);
    assert_eq!(config.listen.tcp, [socket("[::1]:3")]);
    assert_eq!(config.listen.socket_buffer, 100_000);
    assert_eq!(config.relay.ports, PortRange { first: 50000, last: 50100 });
    assert!(config.relay.legacy_channels);
    assert_eq!(config.auth.users["alice"], Secret::new("wonderland-4711"));
    assert_eq!(config.auth.secrets[0].secret, Secret::new("00112233445566778899"));
    assert_eq!(config.admin.listen, None);
}

#[test]
fn a_variable_that_names_no_key_is_an_error() {
    let error = |name| load_given(&[(name, "x")], &[]).unwrap_err().to_string();
    assert_eq!(error("FLOE_LISTEN__UPD"), "FLOE_LISTEN__UPD: names no key; did you mean FLOE_LISTEN__UDP?");
    assert_eq!(
        error("FLOE_COLOUR"),
        "FLOE_COLOUR: names no key; a variable is FLOE_SECTION__KEY, as FLOE_LISTEN__UDP"
    );
    assert_eq!(
        error("FLOE_DRAIN_TIMEOUT"),
        "FLOE_DRAIN_TIMEOUT: drain-timeout: found the text \"x\"; write a whole number of seconds, as 60"
    );
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_passed_over() {
    let links = [
        ("FLOE_SERVICE_HOST", "10.96.0.7"),
        ("FLOE_SERVICE_PORT", "3478"),
        ("FLOE_SERVICE_PORT_TURN_UDP", "3478"),
        ("FLOE_PORT", "udp://10.96.0.7:3478"),
        ("FLOE_PORT_3478_UDP_ADDR", "10.96.0.7"),
        ("FLOE_ADMIN_PORT_8080_TCP", "tcp://10.96.0.8:8080"),
    ];
    assert_eq!(load_given(&links, &[]).unwrap().config, Config::default());
}

#[test]
fn a_value_can_stand_in_a_file() {
    let directory = Directory::new();
    let secret = directory.file("secret", "a0b1c2d3e4f5a0b1c2d3\n");
    let path = secret.to_str().unwrap();
    let loaded = load_given(&[("FLOE_AUTH__SECRETS__FILE", path)], &[]).unwrap();
    assert_eq!(loaded.config.auth.secrets[0].secret.expose(), "a0b1c2d3e4f5a0b1c2d3");
    assert_eq!(*loaded.origin("auth.secrets"), Origin::Variable("FLOE_AUTH__SECRETS__FILE".to_owned()));

    let twice = [("FLOE_AUTH__SECRETS", "x"), ("FLOE_AUTH__SECRETS__FILE", path)];
    assert!(
        load_given(&twice, &[])
            .unwrap_err()
            .to_string()
            .starts_with("FLOE_AUTH__SECRETS__FILE: FLOE_AUTH__SECRETS is set too; keep one of them")
    );
    assert_eq!(
        load_given(&[("FLOE_AUTH__SECRETS__FILE", "/nonexistent")], &[]).unwrap_err().to_string(),
        "FLOE_AUTH__SECRETS__FILE: auth.secrets: /nonexistent: No such file or directory (os error 2)"
    );
}

#[test]
fn the_command_line_reaches_every_key_and_no_other() {
    let loaded = load_given(&[], &[("limits.allocations", "5"), ("limits.allocations", "7")]).unwrap();
    assert_eq!(loaded.config.limits.allocations, 7);
    assert_eq!(
        load_given(&[], &[("limit.allocations", "5")]).unwrap_err().to_string(),
        "--set: limit.allocations: unknown key; did you mean limits.allocations?"
    );
}

#[test]
fn a_file_with_secrets_that_others_can_read_is_warned_of() {
    let directory = Directory::new();
    let file = directory.file("floe.toml", "[auth]\nsecrets = [\"a0b1c2d3e4f5a0b1c2d3\"]\n");
    let sources = Sources { file: Some(file.clone()), ..Sources::default() };
    assert_eq!(load(&sources).unwrap().warnings, []);
    chmod(&file, 0o644);
    let shown = file.display();
    assert_eq!(
        load(&sources).unwrap().warnings[0].to_string(),
        format!(
            "warning: {shown}: holds secrets, and every user of this machine can read it: chmod o-r {shown}"
        )
    );
}

#[test]
fn entries_may_have_names() {
    let loaded = load_text(
        "[auth]\nsecrets = [\"a0b1c2d3e4f5a0b1c2d3\", { name = \"old\", secret = \"f0b1c2d3e4f5a0b1c2d3\" }]\n\
         [admin]\napi-keys = [{ name = \"shop\", key = \"e0b1c2d3e4f5a0b1c2d3\" }]\n",
    )
    .unwrap();
    let [first, second] = loaded.config.auth.secrets.as_slice() else { panic!("two secrets") };
    assert_eq!((first.name.as_deref(), first.secret.expose()), (None, "a0b1c2d3e4f5a0b1c2d3"));
    assert_eq!((second.name.as_deref(), second.secret.expose()), (Some("old"), "f0b1c2d3e4f5a0b1c2d3"));
    assert_eq!(loaded.config.admin.api_keys[0].name.as_deref(), Some("shop"));
}

#[test]
fn a_misspelt_term_of_a_key_is_not_taken_for_none() {
    let with = |term: &str| {
        load_text(&format!(
            "[admin]\napi-keys = [{{ name = \"shop\", key = \"e0b1c2d3e4f5a0b1c2d3\", {term} }}]"
        ))
    };
    assert_eq!(with("quota = 5").unwrap().config.admin.api_keys[0].terms.quota, 5);
    for term in ["secrets = \"shop\"", "max_lifetime = 60", "ID = \"shop-1\""] {
        assert!(with(term).is_err(), "{term}");
    }
}

#[test]
fn what_is_shown_has_no_secret_in_it() {
    let loaded = load_text(
        "[auth]\nsecrets = [\"a0b1c2d3e4f5a0b1c2d3\", { name = \"old\", secret = \"f0b1c2d3e4f5a0b1c2d3\" }]\n\
         nonce-secret = \"90b1c2d3e4f5a0b1c2d3\"\nusers = { alice = \"wonderland-4711\" }\n\
         [admin]\napi-keys = [\"e0b1c2d3e4f5a0b1c2d3\"]\n",
    )
    .unwrap();
    let mut all = format!("{:?}", loaded.config);
    for effective in loaded.effective() {
        all += &format!("\n{}.{} = {}", effective.section, effective.name, effective.value);
    }
    for secret in ["a0b1c2", "f0b1c2", "90b1c2", "wonderland", "e0b1c2"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(all.contains("auth.secrets = [\"…\", { name = \"old\", secret = \"…\" }]"), "{all}");
    assert!(all.contains("auth.users = { alice = \"…\" }"), "{all}");
}

#[test]
fn a_bare_address_is_a_prefix_and_host_bits_are_cleared() {
    let loaded = load_text("[peers]\nallow = [\"10.1.2.3\", \"10.9.9.9/8\", \"2001:db8::1\"]").unwrap();
    let shown: Vec<String> = loaded.config.peers.allow.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.1.2.3/32", "10.0.0.0/8", "2001:db8::1/128"]);
}
