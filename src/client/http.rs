//! HTTP in thirty lines, for a server's admin address: `ureq` and `hyper`
//! each bring a client whose connection pools, TLS and redirects nothing here
//! would use.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest page read, bytes.
const MAX_PAGE: u64 = 4 << 20;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A question to the admin address.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// GET, POST, PUT or DELETE.
    pub method: &'a str,
    /// With its query; percent-encoded.
    pub path: &'a str,
    /// Goes along as a bearer token.
    pub token: Option<&'a str>,
    /// JSON; empty is none.
    pub body: &'a str,
}

/// Status and body of the answer to `question` of the server at `admin`
/// (`HOST:PORT`, or `http://HOST:PORT`).
///
/// # Errors
/// Why there was no answer, for a person.
pub async fn ask(admin: &str, question: Question<'_>) -> Result<(u16, String), String> {
    let authority = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let shown = question.path.split('?').next().unwrap_or(question.path);
    timeout(PATIENCE, exchange(authority, question))
        .await
        .map_err(|_| format!("no answer from http://{authority}{shown}"))?
        .map_err(|error| format!("cannot read http://{authority}{shown}: {error}"))
}

/// The page at `path` of the server at `admin`, as [`ask`] has them.
///
/// # Errors
/// Why it could not be read, for a person; any status but 200 is an error.
pub async fn get(admin: &str, path: &str, token: Option<&str>) -> Result<String, String> {
    match ask(admin, Question { method: "GET", path, token, body: "" }).await? {
        (200, page) => Ok(page),
        (status, _) => {
            let shown = path.split('?').next().unwrap_or(path);
            Err(format!("{admin}{shown} answers {status}"))
        }
    }
}

/// HTTP/1.0, so that the body is neither chunked nor followed by another.
async fn exchange(authority: &str, question: Question<'_>) -> io::Result<(u16, String)> {
    let Question { method, path, token, body } = question;
    let mut stream = TcpStream::connect(authority).await?;
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = match body.is_empty() && method == "GET" {
        true => String::new(),
        false => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\n{bearer}{length}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_PAGE).read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(status) => Ok((status, body.to_owned())),
        None => Err(io::Error::other(format!("it answers {line:?}"))),
    }
}
