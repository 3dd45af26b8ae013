//! An HTTP GET of twenty lines, for a server's admin address: `ureq` and `hyper`
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

/// The page at `path` (with its query) of the server at `admin` (`HOST:PORT`, or
/// `http://HOST:PORT`); `token` goes along as a bearer token.
///
/// # Errors
/// Why it could not be read, for a person; any status but 200 is an error.
pub async fn get(admin: &str, path: &str, token: Option<&str>) -> Result<String, String> {
    let authority = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let shown = path.split('?').next().unwrap_or(path);
    timeout(PATIENCE, exchange(authority, path, token))
        .await
        .map_err(|_| format!("no answer from http://{authority}{shown}"))?
        .map_err(|error| format!("cannot read http://{authority}{shown}: {error}"))
}

/// HTTP/1.0, so that the body is neither chunked nor followed by another.
async fn exchange(authority: &str, path: &str, token: Option<&str>) -> io::Result<String> {
    let mut stream = TcpStream::connect(authority).await?;
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n{bearer}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_PAGE).read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("it answers {status:?}")));
    }
    Ok(body.to_owned())
}
