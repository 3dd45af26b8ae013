//! The arguments that say what the configuration is, shared by the commands
//! that need one.

use std::path::PathBuf;

use crate::config::{FILE_VARIABLE, Flag, Sources};

/// Where the configuration comes from.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct SourceArgs {
    /// Configuration file [env: FLOE_CONFIG]; without one, every key has its
    /// default.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Realm that clients log in to.
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,

    /// Local address to relay from; may be repeated.
    #[arg(long, value_name = "IP")]
    relay_address: Vec<String>,

    /// Public address, when the server is behind NAT; may be repeated, once for
    /// each relay address.
    #[arg(long, value_name = "IP")]
    external_address: Vec<String>,

    /// Set any key of the configuration; may be repeated. A value that is no
    /// TOML is taken as text. [env: FLOE_SECTION__KEY]
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl SourceArgs {
    /// With the environment of this process.
    pub(super) fn sources(&self) -> Sources {
        let variable = || std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
        let file = self.config.clone().or_else(|| variable().map(PathBuf::from));
        Sources { file, environment: std::env::vars_os().collect(), flags: self.flags() }
    }

    /// Flags of their own beat `--set`.
    pub(super) fn flags(&self) -> Vec<Flag> {
        let flag = |name: &str, key: &str, values: Vec<String>| Flag {
            name: name.to_owned(),
            key: key.to_owned(),
            values,
        };
        let set = self.set.iter().map(|(key, value)| flag("--set", key, vec![value.clone()]));
        let named = [
            ("--realm", "realm", self.realm.iter().cloned().collect()),
            ("--relay-address", "relay.addresses", self.relay_address.clone()),
            ("--external-address", "relay.external-addresses", self.external_address.clone()),
        ];
        let named = named.into_iter().filter(|(_, _, values): &(_, _, Vec<String>)| !values.is_empty());
        set.chain(named.map(|(name, key, values)| flag(name, key, values))).collect()
    }
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write SECTION.KEY=VALUE, as log.level=debug")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
