//! One HTTP request, of few lines.

use std::io::{BufRead, BufReader, Read as _, Write as _};
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
    let (mut first, mut length, mut chunked) = (String::new(), None, false);
    line(&mut first);
    loop {
        let mut header = String::new();
        if line(&mut header) == 0 || header.trim().is_empty() {
            break;
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let status = first.split(' ').nth(1).expect("a status").parse().expect("a number");
    // Not every server closes, though it was asked to.
    let mut body = String::new();
    if chunked {
        while let size @ 1.. = chunk_size(&mut stream) {
            (&mut stream).take(size).read_to_string(&mut body).expect("a chunk");
            // Its end of line.
            chunk_size(&mut stream);
        }
    } else {
        stream.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body).expect("a body");
    }
    (status, body)
}

/// The size that a line says, or 0 when it says none.
fn chunk_size(stream: &mut impl BufRead) -> u64 {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line");
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}
