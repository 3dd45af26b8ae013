//! What `floe serve` prints when it is ready: how to reach it and what to try.
//! Text out of plain values; it looks nothing up.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use crate::config::PortRange;
use crate::relay::Transport;
use crate::server::Access;

/// What is to be told of a running server.
#[derive(Clone, Debug)]
pub(super) struct Banner<'a> {
    /// floe's own.
    pub(super) version: &'a str,
    /// Realm of every challenge.
    pub(super) realm: &'a str,
    /// With their real ports.
    pub(super) listeners: &'a [(Transport, SocketAddr)],
    /// `(local, advertised)`.
    pub(super) relays: &'a [(IpAddr, IpAddr)],
    /// Public addresses that were found out, and by whom.
    pub(super) found: &'a [String],
    /// Ports of the relays.
    pub(super) ports: PortRange,
    /// `stun:` and `turn:` URLs as clients reach it.
    pub(super) urls: &'a [String],
    /// How clients log in.
    pub(super) access: &'a Access,
    /// URL of the admin server.
    pub(super) admin: Option<&'a str>,
    /// URL of the web page, with what lets its reader in.
    pub(super) page: Option<String>,
    /// What lets somebody in is shown: the reader is a person, and no journal.
    pub(super) open: bool,
    /// What does not look right.
    pub(super) warnings: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IceConfiguration<'a> {
    ice_servers: [IceServer<'a>; 1],
}

#[derive(Serialize)]
struct IceServer<'a> {
    urls: &'a [String],
    username: &'a str,
    credential: &'a str,
}

/// The whole banner, ending with a newline.
pub(super) fn banner(of: &Banner<'_>) -> String {
    let mut text = format!("floe {} is ready.\n\n", of.version);
    list(
        &mut text,
        "listening",
        of.listeners.iter().map(|(transport, at)| format!("{} {at}", transport.name())),
    );
    list(&mut text, "relaying", of.relays.iter().map(|relay| relay_line(*relay, of.ports)));
    list(&mut text, "found", of.found);
    list(&mut text, "realm", [of.realm]);
    list(&mut text, "admin", [of.admin.unwrap_or("off")]);
    list(&mut text, "web page", of.page.iter().map(|page| if of.open { page } else { without_token(page) }));
    text.push('\n');
    access(&mut text, of);
    text.push('\n');
    try_next(&mut text, of);
    let loopback = of.relays.iter().all(|(_, advertised)| advertised.is_loopback());
    if loopback {
        text.push_str(
            "\nWARNING: relaying on loopback only. Nobody outside this machine can use this server.\n\
             No route to a network was found, or relay.addresses says so: connect one, or set\n\
             relay.addresses to an address of this machine, and start again.\n",
        );
    }
    for warning in of.warnings {
        let _ = write!(text, "\nWARNING: {warning}\n");
    }
    text
}

fn list<T: std::fmt::Display>(text: &mut String, title: &str, lines: impl IntoIterator<Item = T>) {
    let mut title = title;
    for line in lines {
        let _ = writeln!(text, "  {title:11}{line}");
        title = "";
    }
}

fn relay_line((local, advertised): (IpAddr, IpAddr), ports: PortRange) -> String {
    if local == advertised {
        format!("{local}, ports {ports}")
    } else {
        format!("{local}, advertised as {advertised}, ports {ports}")
    }
}

fn access(text: &mut String, of: &Banner<'_>) {
    match of.access {
        Access::Minted { this_run, .. } if !of.open => {
            text.push_str("Clients reach it at\n");
            urls(text, of.urls);
            text.push_str(
                "Credentials, and the token of the web page, are shown at a terminal or with --show-credentials.\n",
            );
            random_secret(text, *this_run);
        }
        Access::Minted { username, credential, lasts, this_run } => {
            let configuration =
                IceConfiguration { ice_servers: [IceServer { urls: of.urls, username, credential }] };
            // Strings in a struct can't fail to serialise.
            let json = serde_json::to_string_pretty(&configuration).unwrap_or_default();
            let _ = write!(
                text,
                "For new RTCPeerConnection(…) in a browser, or any other WebRTC client; \
                 good for {}:\n\n{json}\n",
                in_words(*lasts)
            );
            random_secret(text, *this_run);
        }
        Access::Users(count) => {
            let users = if *count == 1 { "the user".to_owned() } else { format!("the {count} users") };
            let _ =
                writeln!(text, "Clients log in as {users} of auth.users, whose passwords are not shown, at");
            urls(text, of.urls);
            text.push_str(
                "With auth.secrets set, credentials that expire by themselves stand here instead.\n",
            );
        }
        Access::Tokens(count) => {
            let keys = if *count == 1 { "the key".to_owned() } else { format!("one of the {count} keys") };
            let _ = writeln!(text, "Clients log in with access tokens (RFC 7635), sealed with {keys} of");
            text.push_str("auth.oauth-keys, at\n");
            urls(text, of.urls);
        }
    }
}

fn random_secret(text: &mut String, this_run: bool) {
    if this_run {
        text.push_str(
            "\nThe secret that makes credentials is random and ends with this run; \
             to keep one, set auth.secrets.\n",
        );
    }
}

fn without_token(page: &str) -> &str {
    page.split_once('#').map_or(page, |(page, _)| page)
}

fn urls(text: &mut String, urls: &[String]) {
    for url in urls {
        let _ = writeln!(text, "  {url}");
    }
}

fn try_next(text: &mut String, of: &Banner<'_>) {
    text.push_str("Try next:\n");
    if of.page.is_some() && !of.open {
        text.push_str(
            "  floe page\n      \
             the address of the web page with this run's token in it: keep it to yourself\n",
        );
    } else if of.page.is_some() {
        text.push_str(
            "  the web page at the address above (it holds this run's token: keep it to yourself)\n      \
             tests this server from your browser, makes calls through it, and shows who is on it\n",
        );
    } else {
        text.push_str(
            "  https://webrtc.github.io/samples/src/content/peerconnection/trickle-ice/\n      \
             a browser with the URLs and credentials from above: does it find a relay candidate?\n",
        );
    }
    if cfg!(feature = "client") {
        text.push_str("  floe pair\n      two WebRTC peers connect through this server\n");
    }
    if let (Access::Minted { .. }, false, Some(_)) = (of.access, of.open, of.admin) {
        text.push_str("  floe credentials\n      an iceServers block for a browser\n");
    }
    if let (Access::Minted { username, credential, .. }, true, Some(at)) =
        (of.access, of.open, udp_address(of.urls))
    {
        // -y: clients to each other's relays; -s: Send indications, because
        // coturn 4.6's channel numbers are those of RFC 5766.
        let _ = writeln!(
            text,
            "  turnutils_uclient -y -s -c -u '{username}' -w '{credential}' -p {} {}\n      \
             the same with coturn's test client",
            at.port(),
            at.ip()
        );
    }
    if let Some(admin) = of.admin {
        let _ = writeln!(text, "  curl {admin}/metrics\n      what the server has counted");
    }
}

/// Where the first of the TURN URLs over UDP leads.
fn udp_address(urls: &[String]) -> Option<SocketAddr> {
    urls.iter().find_map(|url| url.strip_prefix("turn:")?.strip_suffix("?transport=udp")?.parse().ok())
}

fn in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        s if s >= 3600 && s % 3600 == 0 => (s / 3600, "hour"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "banner_test.rs"]
mod tests;
