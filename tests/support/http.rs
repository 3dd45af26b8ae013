//! One HTTP request of twenty lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Status and body of an answer; `headers` are lines that each end in `\r\n`.
pub fn ask(
    host: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    patience: Duration,
) -> (u16, String) {
    let mut stream = TcpStream::connect(host).expect("an HTTP server answers");
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    write!(stream, "{head}{headers}Content-Length: {}\r\n\r\n{body}", body.len()).expect("asked");
    let mut stream = BufReader::new(stream);
    let mut line = |line: &mut String| stream.read_line(line).expect("an answer");
    let (mut first, mut length) = (String::new(), None);
    line(&mut first);
    loop {
        let mut header = String::new();
        if line(&mut header) == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
    }
    let status = first.split(' ').nth(1).expect("a status").parse().expect("a number");
    // Not every server closes, though it was asked to.
    let mut body = String::new();
    stream.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body).expect("a body");
    (status, body)
}
