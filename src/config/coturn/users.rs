//! The rules for who may log in: the realm, shared secrets and static users. What
//! manuals print for everybody to read is replaced.

use toml::Table;

use super::draft::Draft;
use super::lines::Lines;
use super::translate::{overridden, texts};
use crate::auth::{is_placeholder, is_sample};
use crate::relay::world::Random;

pub(super) fn users(lines: &Lines<'_>, random: &mut dyn Random, draft: &mut Draft) {
    if let Some(line) = lines.last("realm") {
        overridden(lines, "realm", draft);
        match is_placeholder(line.value) || line.value.contains(['<', '>', '{', '}', '$']) {
            true => draft.leave_out(line, "is a placeholder; the realm is \"floe\" until you set one"),
            false => draft.write("realm", line.value, [line]),
        }
    }
    // coturn puts each secret in front of those it has, and tries them in turn.
    let secrets: Vec<_> = lines.all("static-auth-secret").filter(|line| !line.value.is_empty()).collect();
    for line in lines.all("static-auth-secret").filter(|line| line.value.is_empty()) {
        draft.leave_out(line, "is empty");
    }
    let (samples, own): (Vec<_>, Vec<_>) = secrets.iter().copied().partition(|line| is_sample(line.value));
    if !own.is_empty() {
        let newest_first = own.iter().rev();
        draft.write("auth.secrets", texts(newest_first.map(|line| line.value)), own);
        samples.iter().for_each(|line| draft.leave_out(line, "is a sample out of a manual"));
    } else if !samples.is_empty() {
        draft.write("auth.secrets", texts([fresh(random)]), samples);
        draft.remark(
            "a NEW secret, in place of a sample out of a manual; the application that makes the credentials \
             (Synapse, Jitsi, Nextcloud …) must be given it",
        );
    }
    let secret_rules = !secrets.is_empty() || lines.on("use-auth-secret");
    let mut known = Table::new();
    let mut from = Vec::new();
    for line in lines.all("user") {
        match line.value.split_once(':') {
            _ if secret_rules => draft.leave_out(
                line,
                "coturn ignores users beside a shared secret; to have both, add it to auth.users",
            ),
            Some(("", _)) => draft.leave_out(line, "has no name"),
            Some((_, key)) if key.starts_with("0x") => draft.leave_out(
                line,
                "an MD5 key cannot log in with SHA-256 (RFC 8489): write the password into auth.users",
            ),
            Some((name, password)) if !password.is_empty() => {
                known.insert(name.to_owned(), password.into());
                from.push(line);
            }
            _ => draft.leave_out(line, "is not name:password"),
        }
    }
    let mut renewed = Vec::new();
    for (name, password) in &mut known {
        if password.as_str().is_some_and(is_sample) {
            *password = fresh(random).into();
            renewed.push(name.clone());
        }
    }
    if !known.is_empty() {
        draft.write("auth.users", known, from);
    }
    for name in renewed {
        draft.remark(&format!(
            "a NEW password for {name:?}, in place of a sample out of a manual; the application that logs in \
             with it must be given it"
        ));
    }
}

/// As `openssl rand -hex 32` makes it.
fn fresh(random: &mut dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
