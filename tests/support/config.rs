//! The configuration a test's server begins with: `config/strict.toml`, by the
//! letter of the RFC, and on top of it loopback only, free ports, no limits,
//! loopback allowed as peer.

use super::User;
use super::ports::Ports;

/// A static user of every server here.
pub const ALICE: User = User { name: "alice", password: "correct horse battery staple" };
/// Another one.
pub const BOB: User = User { name: "bob", password: "Tr0ub4dor and three more words" };
/// The realm of every server here; its length asks for padding.
pub const REALM: &str = "tests.example";
/// A shared secret, for servers that are given one.
pub const SECRET: &str = "e8b6a1f04c9d4f7db21a5be0c3a97d58";

/// A configuration file in the making.
#[derive(Debug)]
pub struct Config(toml::Table);

impl Config {
    /// What every test's server has; `state_directory` is its own.
    pub(super) fn new(state_directory: &str) -> Self {
        let strict = toml::from_str(include_str!("../../config/strict.toml"));
        let mut config = Self(strict.expect("config/strict.toml is TOML"));
        let users = toml::Table::from_iter([ALICE, BOB].map(|u| (u.name.to_owned(), u.password.into())));
        config
            .set("realm", REALM)
            .set("state-directory", state_directory)
            .set("drain-timeout", 0)
            .set("listen.udp", vec!["127.0.0.1:0", "[::1]:0"])
            .set("listen.tcp", vec!["127.0.0.1:0", "[::1]:0"])
            .set("relay.addresses", vec!["127.0.0.1", "::1"])
            .set("auth.users", users)
            .set("peers.allow", vec!["127.0.0.0/8", "::1/128"])
            .set("admin.listen", "127.0.0.1:0");
        for limit in [
            "unauthenticated-per-second",
            "failed-logins-per-minute",
            "tcp-connections-per-address",
            "dtls-sessions-per-address",
            "allocations-per-user",
        ] {
            config.set(&format!("limits.{limit}"), 0);
        }
        config
    }

    /// Sets one key, `section.key` or a top one.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) -> &mut Self {
        let (table, key) = match key.split_once('.') {
            None => (&mut self.0, key),
            Some((section, key)) => {
                let section = self.0.entry(section).or_insert_with(|| toml::Table::new().into());
                (section.as_table_mut().expect("a section"), key)
            }
        };
        table.insert(key.to_owned(), value.into());
        self
    }

    /// Where the server's state will be; it is there already.
    pub fn state_directory(&self) -> &std::path::Path {
        std::path::Path::new(self.0["state-directory"].as_str().expect("a path"))
    }

    /// Time-limited credentials by [`SECRET`] instead of static users.
    pub fn secret_only(&mut self) -> &mut Self {
        self.set("auth.users", toml::Table::new()).set("auth.secrets", vec![SECRET])
    }

    /// Access tokens sealed with these keys are taken.
    pub fn tokens(&mut self, keys: impl IntoIterator<Item = toml::Table>) -> &mut Self {
        self.set("auth.oauth-keys", Vec::from_iter(keys))
    }

    /// With these ports where any would do.
    pub(super) fn to_toml(&self, ports: &Ports) -> String {
        let mut table = self.0.clone();
        ports.fill(&mut table);
        toml::to_string(&table).expect("a configuration is TOML")
    }
}
