//! The rules: which lines make which key. One function for each part of the
//! configuration; what none of them uses has its verdict in [`verdict`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use toml::Value;

use super::draft::Draft;
use super::lines::{Line, Lines};
use super::ranges::prefixes;
use super::users::users;
use super::verdict::{Verdict, verdict};
use crate::relay::world::Random;

/// Keys that the functions below look at; each of their lines is accounted for
/// there.
const TRANSLATED: &[&str] = &[
    "allocation-default-address-family",
    "allow-loopback-peers",
    "allowed-peer-ip",
    "alt-listening-port",
    "alternate-server",
    "aux-server",
    "bps-capacity",
    "cert",
    "channel-lifetime",
    "denied-peer-ip",
    "external-ip",
    "listening-ip",
    "listening-port",
    "log-file",
    "max-allocate-lifetime",
    "max-bps",
    "max-port",
    "min-port",
    "mobility",
    "no-dtls",
    "no-tcp",
    "no-tls",
    "no-udp",
    "permission-lifetime",
    "pkey",
    "prometheus-address",
    "prometheus-port",
    "realm",
    "relay-ip",
    "relay-threads",
    "cpus",
    "rfc3489-compatibility",
    "rfc5766-channel-numbers",
    "rfc5780",
    "sock-buf-size",
    "static-auth-secret",
    "tcp-alternate-server",
    "tcp-proxy-port",
    "tls-alternate-server",
    "tls-listening-port",
    "total-quota",
    "udp-alternate-server",
    "unauthorized-ratelimit",
    "unauthorized-ratelimit-rps",
    "user",
    "user-quota",
    "Verbose",
];

const METRICS: &str = "metrics are at /metrics of admin.listen";
const TURN_PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// Bits of a byte, times the two directions that our limits count together.
const BITS_BOTH_WAYS: u64 = 16;

pub(super) fn translate(
    lines: &Lines<'_>,
    draft: &mut Draft,
    is_there: &dyn Fn(&Path) -> bool,
    random: &mut dyn Random,
) {
    listeners(lines, is_there, draft);
    relays(lines, draft);
    users(lines, random, draft);
    peers(lines, draft);
    limits(lines, draft);
    the_rest(lines, draft);
    for line in lines.iter().filter(|line| !TRANSLATED.contains(&line.key)) {
        match verdict(line.key) {
            // A switch that is off asks for what is not there anyway.
            Some(Verdict::LeftOut(_)) if line.says_off() => draft.as_is(line, "off"),
            Some(Verdict::AsIs(why)) => draft.as_is(line, why),
            Some(Verdict::LeftOut(why)) => draft.leave_out(line, why),
            None => draft.leave_out(line, "coturn has no such key"),
        }
    }
}

/// The number of the key's last line, which words may follow; lines that hold none
/// are left out.
fn number<'a, 'l>(lines: &'a Lines<'l>, key: &str, draft: &mut Draft) -> Option<(&'a Line<'l>, u64)> {
    let last = lines.last(key)?;
    overridden(lines, key, draft);
    let number = last.value.split_whitespace().next().and_then(|number| number.parse().ok());
    match number {
        Some(number) => Some((last, number)),
        None => {
            draft.leave_out(last, "is not a number; the default holds");
            None
        }
    }
}

/// Lines before the last one of a key that takes one value.
pub(super) fn overridden(lines: &Lines<'_>, key: &str, draft: &mut Draft) {
    let mut all: Vec<_> = lines.all(key).collect();
    all.pop();
    for line in all {
        draft.leave_out(line, "a later line says otherwise");
    }
}

/// The port of a key's last line, or coturn's default.
fn port<'a, 'l>(
    lines: &'a Lines<'l>,
    key: &str,
    default: u16,
    draft: &mut Draft,
) -> (u16, Option<&'a Line<'l>>) {
    match number(lines, key, draft) {
        Some((_, 0)) | None => (default, None),
        Some((line, wide)) => match u16::try_from(wide) {
            Ok(port) => (port, Some(line)),
            Err(_) => {
                draft.leave_out(line, "is not a port; the default holds");
                (default, None)
            }
        },
    }
}

fn addresses<'a, 'l>(lines: &'a Lines<'l>, key: &str, draft: &mut Draft) -> Vec<(IpAddr, &'a Line<'l>)> {
    let mut found = Vec::new();
    for line in lines.all(key) {
        match line.value.parse() {
            Ok(address) => found.push((address, line)),
            Err(_) => draft.leave_out(
                line,
                "is not an IP address; where no line has one, those of the machine are used",
            ),
        }
    }
    found
}

pub(super) fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Value {
    Value::Array(values.into_iter().map(|value| Value::from(value.to_string())).collect())
}

fn listeners(lines: &Lines<'_>, is_there: &dyn Fn(&Path) -> bool, draft: &mut Draft) {
    let own = addresses(lines, "listening-ip", draft);
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let ips: Vec<IpAddr> =
        if own.is_empty() { everywhere.to_vec() } else { own.iter().map(|(ip, _)| *ip).collect() };
    let (plain, plain_line) = port(lines, "listening-port", TURN_PORT, draft);
    let (secure, secure_line) = port(lines, "tls-listening-port", TLS_PORT, draft);
    let mut auxiliary = Vec::new();
    for line in lines.all("aux-server") {
        match line.value.parse::<SocketAddr>() {
            Ok(address) => auxiliary.push((address, line)),
            Err(_) => draft.leave_out(line, "is not an address with a port"),
        }
    }

    let at = |port: u16| ips.iter().map(move |ip| SocketAddr::new(*ip, port)).collect::<Vec<_>>();
    let given = || own.iter().map(|(_, line)| *line);
    let main: Vec<&Line<'_>> =
        given().chain(plain_line).chain(auxiliary.iter().map(|(_, line)| *line)).collect();
    let both: Vec<SocketAddr> =
        at(plain).into_iter().chain(auxiliary.iter().map(|(address, _)| *address)).collect();
    for (off, key) in [("no-udp", "listen.udp"), ("no-tcp", "listen.tcp")] {
        match lines.last(off) {
            Some(line) if line.on() => draft.write(key, texts::<SocketAddr>([]), [line]),
            off => {
                if let Some(line) = off {
                    draft.as_is(line, "off");
                }
                if !main.is_empty() {
                    draft.write(key, texts(&both), main.iter().copied());
                }
            }
        }
    }
    if let Some((line, _)) = number(lines, "tcp-proxy-port", draft) {
        draft.leave_out(
            line,
            "name your balancers in listen.proxy-protocol-from, and this port in listen.tcp or listen.tls",
        );
    }
    secure_listeners(lines, is_there, at(secure), given().chain(secure_line).collect(), secure_line, draft);
    nat_discovery(lines, &own, draft);
    if let Some((line, threads)) =
        number(lines, "relay-threads", draft).or_else(|| number(lines, "cpus", draft))
    {
        draft.write("listen.shards", threads.min(254) as i64, [line]);
    }
    if let Some((line, bytes)) = number(lines, "sock-buf-size", draft) {
        match u32::try_from(bytes) {
            Ok(bytes) => draft.write("listen.socket-buffer", i64::from(bytes), [line]),
            Err(_) => draft.leave_out(line, "is larger than 4294967295"),
        }
    }
}

fn secure_listeners<'a>(
    lines: &'a Lines<'a>,
    is_there: &dyn Fn(&Path) -> bool,
    addresses: Vec<SocketAddr>,
    mut from: Vec<&'a Line<'a>>,
    port: Option<&'a Line<'a>>,
    draft: &mut Draft,
) {
    let (cert, pkey) = (lines.last("cert"), lines.last("pkey"));
    overridden(lines, "cert", draft);
    overridden(lines, "pkey", draft);
    let tls_off = lines.on("no-tls");
    let present = |line: &&Line<'_>| is_there(Path::new(line.value));
    let (Some(cert), Some(pkey)) = (cert.filter(present), pkey.filter(present)) else {
        for line in [cert, pkey].into_iter().flatten() {
            match present(&line) {
                true => draft.leave_out(line, "coturn serves no TLS without both cert and pkey"),
                false => draft.leave_out(
                    line,
                    "there is no such file here, so no TLS is served, nor by coturn, which looks for a relative \
                     path in /etc and elsewhere too; when there is one, set tls.certificate, tls.private-key and \
                     listen.tls, or let floe get one: [acme]",
                ),
            }
        }
        if let Some(line) = port {
            draft.leave_out(line, "there is no certificate (cert, pkey), so coturn serves no TLS either");
        }
        for line in ["no-tls", "no-dtls"].into_iter().filter_map(|key| lines.last(key)) {
            draft.as_is(line, "there is no certificate");
        }
        return;
    };
    for (line, key) in [(cert, "tls.certificate"), (pkey, "tls.private-key")] {
        draft.write(key, line.value, [line]);
        if !line.value.starts_with('/') {
            draft.note(format!(
                "{key} is a relative path: coturn looks for it in /etc and elsewhere, floe where it is started"
            ));
        }
    }
    from.extend([cert, pkey]);
    match lines.last("no-tls") {
        Some(line) if tls_off => draft.as_is(line, "listen.tls is empty by default"),
        off => {
            if let Some(line) = off {
                draft.as_is(line, "off");
            }
            draft.write("listen.tls", texts(&addresses), from.iter().copied());
        }
    }
    match lines.last("no-dtls") {
        Some(line) if line.on() => draft.as_is(line, "listen.dtls is empty by default"),
        off => {
            if let Some(line) = off {
                draft.as_is(line, "off");
            }
            draft.write("listen.dtls", texts(&addresses), from);
        }
    }
}

fn nat_discovery(lines: &Lines<'_>, own: &[(IpAddr, &Line<'_>)], draft: &mut Draft) {
    let alternate = number(lines, "alt-listening-port", draft);
    let Some(line) = lines.last("rfc5780") else {
        if let Some((line, _)) = alternate {
            draft.leave_out(line, "it is for NAT discovery alone, which is off: stun.nat-discovery");
        }
        return;
    };
    if line.on() && own.len() >= 2 {
        draft.write("stun.nat-discovery", true, [line]);
        if let Some((line, port)) = alternate {
            draft.write("stun.alternate-port", port.min(u64::from(u16::MAX)) as i64, [line]);
        }
        return;
    }
    match line.on() {
        true => draft.leave_out(line, "NAT discovery takes two listening-ip lines"),
        false => draft.as_is(line, "NAT discovery is off unless stun.nat-discovery is set"),
    }
    if let Some((line, _)) = alternate {
        draft.leave_out(line, "it is for NAT discovery alone");
    }
}

fn relays(lines: &Lines<'_>, draft: &mut Draft) {
    relay_addresses(lines, draft);
    let first = number(lines, "min-port", draft);
    let last = number(lines, "max-port", draft);
    if first.is_some() || last.is_some() {
        let ends = (first.map_or(49152, |(_, port)| port), last.map_or(65535, |(_, port)| port));
        let from = first.iter().chain(&last).map(|(line, _)| *line);
        if (1024..=ends.1).contains(&ends.0) && ends.1 <= 65535 {
            draft.write("relay.ports", format!("{}-{}", ends.0, ends.1), from);
        } else {
            from.for_each(|line| {
                draft.leave_out(line, "relay.ports lie between 1024 and 65535, the lower end first")
            });
        }
    }
    for (key, path) in [
        ("mobility", "relay.mobility"),
        ("rfc5766-channel-numbers", "relay.legacy-channels"),
        ("rfc3489-compatibility", "stun.classic"),
    ] {
        match lines.last(key) {
            Some(line) if line.on() => draft.write(path, true, [line]),
            Some(line) => draft.as_is(line, "off"),
            None => {}
        }
    }
    if let Some((line, seconds)) = number(lines, "max-allocate-lifetime", draft) {
        match u32::try_from(seconds) {
            Ok(seconds) if seconds >= 600 => draft.write("relay.max-lifetime", i64::from(seconds), [line]),
            _ => draft.leave_out(line, "relay.max-lifetime is 600 seconds or more (RFC 8656 §7.2)"),
        }
    }
    for (key, fixed) in [("channel-lifetime", 600), ("permission-lifetime", 300)] {
        if let Some((line, seconds)) = number(lines, key, draft) {
            match seconds == fixed {
                true => draft.as_is(line, "always"),
                false => draft.leave_out(line, format!("it is {fixed} seconds (RFC 8656)")),
            }
        }
    }
    let mut others: Vec<(SocketAddr, &Line<'_>)> = Vec::new();
    for key in ["alternate-server", "udp-alternate-server", "tcp-alternate-server"] {
        for line in lines.all(key) {
            let bare =
                || line.value.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, TURN_PORT));
            match line.value.parse().ok().or_else(bare) {
                Some(address) if others.iter().all(|(known, _)| *known != address) => {
                    others.push((address, line))
                }
                Some(_) => draft.as_is(line, "once is enough: floe sends clients to each in turn"),
                None => draft.leave_out(line, "is not an address"),
            }
        }
    }
    if !others.is_empty() {
        let from: Vec<_> = others.iter().map(|(_, line)| *line).collect();
        draft.write("relay.alternate-servers", texts(others.iter().map(|(address, _)| *address)), from);
        draft.note(
            "coturn sends every new client to the alternate servers; floe only while it drains or is full",
        );
    }
    for line in lines.all("tls-alternate-server") {
        draft.leave_out(line, "clients over TLS are sent to relay.alternate-servers like all others");
    }
    if let Some(line) = lines.last("allocation-default-address-family") {
        match line.value == "ipv4" {
            true => draft.as_is(line, "IPv4 where a client asks for no family (RFC 8656 §7.2)"),
            false => draft.leave_out(line, "a client that wants IPv6 asks for it (REQUESTED-ADDRESS-FAMILY)"),
        }
    }
    if !lines.on("no-tcp-relay") {
        draft.note("coturn relays TCP (RFC 6062) unless told not to; floe only with relay.tcp = true");
    }
}

/// `relay-ip`, else `listening-ip`; and what `external-ip` says of each.
fn relay_addresses(lines: &Lines<'_>, draft: &mut Draft) {
    let mut locals = addresses(lines, "relay-ip", draft);
    if locals.is_empty() {
        // A line that can't be read was reported with the listeners.
        let listening = lines.all("listening-ip").filter_map(|line| Some((line.value.parse().ok()?, line)));
        locals = listening.filter(|(ip, _): &(IpAddr, _)| !ip.is_unspecified()).collect();
    }
    let mut mapped: Vec<(IpAddr, IpAddr, &Line<'_>)> = Vec::new();
    let mut bare = Vec::new();
    for line in lines.all("external-ip") {
        let (public, private) = match line.value.split_once('/') {
            Some((public, private)) => (public.parse(), Some(private.parse())),
            None => (line.value.parse(), None),
        };
        match (public, private) {
            (Ok(public), None) => bare.push((public, line)),
            (Ok(public), Some(Ok(private))) => mapped.push((private, public, line)),
            _ => draft.leave_out(
                line,
                "is not an IP address, and a name is not looked up; behind NAT, set relay.external-addresses or \
                 relay.discover",
            ),
        }
    }
    for (private, _, line) in &mapped {
        if locals.iter().all(|(ip, _)| ip != private) {
            locals.push((*private, line));
        }
    }
    let public_of = |local: IpAddr| {
        let exact = mapped.iter().find(|(private, _, _)| *private == local).map(|(_, public, _)| *public);
        let same_family =
            || bare.iter().map(|(ip, _): &(IpAddr, _)| *ip).find(|ip| ip.is_ipv4() == local.is_ipv4());
        exact.or_else(same_family)
    };
    let told: Vec<_> =
        mapped.iter().map(|(_, _, line)| *line).chain(bare.iter().map(|(_, line)| *line)).collect();
    if locals.is_empty() {
        if !told.is_empty() {
            draft.write("relay.external-addresses", texts(bare.iter().map(|(ip, _)| *ip)), told);
        }
        return;
    }
    draft.write(
        "relay.addresses",
        texts(locals.iter().map(|(ip, _)| *ip)),
        locals.iter().map(|(_, line)| *line),
    );
    if !told.is_empty() {
        let publics = locals.iter().map(|(ip, _)| public_of(*ip).unwrap_or(*ip));
        draft.write("relay.external-addresses", texts(publics), told);
    }
}

fn peers(lines: &Lines<'_>, draft: &mut Draft) {
    let mut lists: [(Vec<IpNet>, Vec<&Line<'_>>); 2] = Default::default();
    for (list, key) in lists.iter_mut().zip(["allowed-peer-ip", "denied-peer-ip"]) {
        for line in lines.all(key) {
            match prefixes(line.value) {
                Some(found) => {
                    list.0.extend(
                        found.into_iter().filter(|prefix| !list.0.contains(prefix)).collect::<Vec<_>>(),
                    );
                    list.1.push(line);
                }
                None => draft.leave_out(line, "is neither an address nor a range, first-last"),
            }
        }
    }
    let [(mut allowed, mut allowed_from), (mut denied, denied_from)] = lists;
    if let Some(line) = lines.last("allow-loopback-peers") {
        match line.on() {
            true => {
                allowed.extend([IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))]);
                allowed.extend("127.0.0.0/8".parse::<IpNet>());
                allowed_from.push(line);
            }
            false => draft.as_is(line, "loopback peers are refused unless allowed"),
        }
    }
    // coturn asks the allowed ones first; here the longest prefix decides.
    denied.retain(|inner| !allowed.iter().any(|outer| outer.contains(inner)));
    if !allowed.is_empty() {
        draft.write("peers.allow", texts(allowed), allowed_from);
    }
    match denied.is_empty() {
        false => draft.write("peers.deny", texts(denied), denied_from),
        true => {
            denied_from.iter().for_each(|line| draft.leave_out(line, "allowed-peer-ip covers it, and wins"))
        }
    }
    draft.note(
        "coturn relays to private addresses (10.0.0.0/8, 192.168.0.0/16 …) unless denied; floe only to those in \
         peers.allow: name there what clients must reach, an SFU on your network for instance",
    );
}

fn limits(lines: &Lines<'_>, draft: &mut Draft) {
    for (key, path) in [("user-quota", "limits.allocations-per-user"), ("total-quota", "limits.allocations")]
    {
        if let Some((line, count)) = number(lines, key, draft) {
            match u32::try_from(count) {
                Ok(count) => draft.write(path, i64::from(count), [line]),
                Err(_) => draft.leave_out(line, "is larger than 4294967295"),
            }
        }
    }
    if lines.last("user-quota").is_none() {
        draft.note(
            "coturn lets one user have any number of allocations; floe 64, see limits.allocations-per-user",
        );
    }
    for (key, path) in
        [("max-bps", "limits.bits-per-second-per-allocation"), ("bps-capacity", "limits.bits-per-second")]
    {
        if let Some((line, bytes)) = number(lines, key, draft) {
            // coturn counts bytes and each direction alone.
            match bytes.checked_mul(BITS_BOTH_WAYS).and_then(|bits| i64::try_from(bits).ok()) {
                Some(bits) => draft.write(path, bits, [line]),
                None => draft.leave_out(line, "is too large"),
            }
        }
    }
    let rate = number(lines, "unauthorized-ratelimit-rps", draft);
    match lines.last("unauthorized-ratelimit") {
        Some(line) if line.on() => {
            let (from, per_second) = rate.unwrap_or((line, 10));
            draft.write(
                "limits.unauthenticated-per-second",
                per_second.min(u64::from(u32::MAX)) as i64,
                [from],
            );
        }
        off => {
            for line in off.into_iter().chain(rate.map(|(line, _)| line)) {
                draft.leave_out(
                    line,
                    "unauthenticated answers are always limited: limits.unauthenticated-per-second",
                );
            }
        }
    }
}

fn the_rest(lines: &Lines<'_>, draft: &mut Draft) {
    if let Some(line) = lines.last("Verbose") {
        match line.on() {
            true => draft.write("log.level", "debug", [line]),
            false => draft.as_is(line, "off"),
        }
    }
    if let Some(line) = lines.last("log-file") {
        match line.value {
            "stdout" | "-" => draft.as_is(line, "the log goes to stderr, which services keep like stdout"),
            _ => draft.leave_out(line, "the log goes to stderr; the journal or your container keeps it"),
        }
    }
    if let Some(line) = lines.last("prometheus-address") {
        let (port, given) = port(lines, "prometheus-port", 9641, draft);
        match line.value.parse() {
            Ok(ip) if lines.on("prometheus") => {
                let listen = SocketAddr::new(ip, port).to_string();
                draft.write("admin.listen", listen, [line].into_iter().chain(given));
            }
            _ => [line].into_iter().chain(given).for_each(|line| draft.leave_out(line, METRICS)),
        }
    } else {
        lines.all("prometheus-port").for_each(|line| draft.leave_out(line, METRICS));
    }
}
