//! The running server that a command talks to: the one of this user's runtime
//! file, or the one that the flags name.

use std::path::PathBuf;

use serde_json::Value;

use super::Failure;
use crate::admin::runtime_file::{self, Runtime};
use crate::client::http::{self, Question};
use crate::server;

/// Says where the runtime file is, as `state-directory` does for the server.
const STATE_DIRECTORY: &str = "FLOE_STATE_DIRECTORY";
/// Where the package's service has it; root may read it there.
const OF_THE_SERVICE: &str = "/var/lib/floe";

/// Which server, and how to be let in.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ServerArgs {
    /// Admin address of the server, http://HOST:PORT; default: the server that
    /// runs on this machine for this user, and for root the service's.
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    admin: Option<String>,
    /// API key, or the token of the run; default: the running server's token.
    #[arg(long, value_name = "KEY", requires = "admin", allow_hyphen_values = true)]
    token: Option<String>,
}

/// A server that can be asked.
#[derive(Debug)]
pub(super) struct RunningServer {
    admin: String,
    token: Option<String>,
}

impl ServerArgs {
    /// The server; `Err` says which flag helps.
    pub(super) fn find(&self) -> Result<RunningServer, Failure> {
        let mut found = all().into_iter();
        if let Some(admin) = self.admin.clone() {
            let known = found.find(|runtime| runtime.admin.as_ref() == Some(&admin));
            let token = self.token.clone().or_else(|| known.map(|runtime| runtime.token));
            return Ok(RunningServer { admin, token });
        }
        let first = found.next().ok_or_else(|| {
            let why = "no server of this user runs on this machine; name one with --admin (root finds that of \
                       the package's service)";
            Failure::Failed(why.to_owned())
        })?;
        if let Some(second) = found.next() {
            let named = |admin: Option<String>| admin.unwrap_or_else(|| "one without".to_owned());
            return Err(Failure::Wrong(format!(
                "several servers run here; name one with --admin: {}, {} …",
                named(first.admin),
                named(second.admin)
            )));
        }
        let admin = first.admin.ok_or_else(|| {
            Failure::Failed("the running server has no admin address: set admin.listen".to_owned())
        })?;
        Ok(RunningServer { admin, token: Some(first.token) })
    }
}

/// Every server of this user that runs on this machine, for root also that of
/// the service; the newest first.
pub(super) fn all() -> Vec<Runtime> {
    let configured = std::env::var_os(STATE_DIRECTORY).map(PathBuf::from).unwrap_or_default();
    let mut places = server::places(configured);
    places.state_directory.get_or_insert_with(|| OF_THE_SERVICE.into());
    runtime_file::find(&places).into_iter().map(|(_, runtime)| runtime).collect()
}

/// `http://HOST:PORT` of what a user writes.
pub(super) fn admin_url(text: &str) -> Result<String, &'static str> {
    if text.starts_with("https://") {
        return Err("https:// is not supported: write http://HOST:PORT, the server's admin.listen");
    }
    let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
            Ok(format!("http://{authority}"))
        }
        _ => Err("write http://HOST:PORT"),
    }
}

impl RunningServer {
    /// Address of its web page, with what lets a browser in.
    pub(super) fn page(&self) -> String {
        let token = self.token.as_deref().map(|token| format!("#token={}", encoded(token)));
        format!("{}/{}", self.admin, token.unwrap_or_default())
    }

    /// Status and body.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<(u16, String), Failure> {
        self.ask_with(method, path, "")
    }

    fn ask_with(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), Failure> {
        let question = Question { method, path, token: self.token.as_deref(), body };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        runtime.block_on(http::ask(&self.admin, question)).map_err(Failure::Failed)
    }

    /// The object that answers; any status but 200 is a failure, in words.
    pub(super) fn json(&self, method: &str, path: &str) -> Result<Value, Failure> {
        self.answer(path, self.ask(method, path)?)
    }

    /// The same of a question with an object in it.
    pub(super) fn send(&self, method: &str, path: &str, object: &Value) -> Result<Value, Failure> {
        self.answer(path, self.ask_with(method, path, &object.to_string())?)
    }

    fn answer(&self, path: &str, (status, body): (u16, String)) -> Result<Value, Failure> {
        let answer = serde_json::from_str::<Value>(&body);
        match (status, answer) {
            (200, Ok(answer)) => Ok(answer),
            (200, Err(error)) => Err(Failure::Failed(format!("{}{path} is no JSON: {error}", self.admin))),
            (401 | 403, _) => Err(Failure::Failed(format!(
                "{} wants a key ({status}): run this as the server's user, or give --admin and --token",
                self.admin
            ))),
            (_, answer) => {
                let answer = answer.ok();
                let why = answer.as_ref().and_then(|answer| answer["error"].as_str());
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Err(Failure::Failed(format!("{}{path} answers {status}{why}", self.admin)))
            }
        }
    }
}

/// `text` as one segment of a path, or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    // A path's segment takes no "+" for a blank.
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// 1234567 as `1.2 MB`.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// Seconds as `1 h 02 min`, two units at most.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(3725), "1 h 02 min");
        assert_eq!(duration(90_000), "1 d 01 h");
    }

    #[test]
    fn an_admin_address_is_one_of_http_with_a_port() {
        for text in ["http://127.0.0.1:8080/", "http://127.0.0.1:8080", "127.0.0.1:8080"] {
            assert_eq!(admin_url(text).as_deref(), Ok("http://127.0.0.1:8080"));
        }
        assert_eq!(admin_url("[::1]:8080").as_deref(), Ok("http://[::1]:8080"));
        for text in ["https://turn.example.org:443", "turn.example.org", "http://:80", "http://a/b:80", ""] {
            assert!(admin_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_segment_has_no_slash_or_blank() {
        assert_eq!(encoded("1790000000:a b/c+d"), "1790000000%3Aa%20b%2Fc%2Bd");
    }
}
