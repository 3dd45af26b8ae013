//! HTTP for `http-01`: one kind of page, for whoever asks, and nothing else. On
//! hyper itself, as the admin room is; it takes far less, and must not be it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answers::Tokens;
use crate::net::Accept;

/// Where a certificate authority looks (RFC 8555 §8.3).
const PATH: &str = "/.well-known/acme-challenge/";

/// Connections at once: a certificate authority asks from a handful of places. Beyond
/// that the oldest makes room, so that strangers who say nothing can't keep it out.
const AT_ONCE: usize = 64;

/// For a connection, from accept to its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Request line and headers, bytes.
const MAX_HEAD: usize = 8 * 1024;

/// Binds one address; needs no runtime.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, tokens: Arc<Tokens>) {
    let mut arrivals = match Accept::from_std(listener, "certificate authorities") {
        Ok(arrivals) => arrivals,
        Err(error) => {
            tracing::error!(target: "floe::acme", %error, "http-01 can't be answered");
            return;
        }
    };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, _) = arrivals.accept().await;
        open.retain(|connection| !connection.is_finished());
        if open.len() >= AT_ONCE
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // How it ends is the other side's affair.
        let connection = tokio::spawn(timeout(PATIENCE, connection(stream, Arc::clone(&tokens))));
        open.push_back(connection.abort_handle());
    }
}

async fn connection(stream: TcpStream, tokens: Arc<Tokens>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &tokens);
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(request: &Request<Incoming>, tokens: &Tokens) -> Response<Body> {
    let is_get = *request.method() == Method::GET;
    let known =
        request.uri().path().strip_prefix(PATH).filter(|_| is_get).and_then(|token| tokens.get(token));
    let mut response = Response::new(Body::empty());
    match known {
        Some(text) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            *response.body_mut() = Body::from(text);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn strangers_who_say_nothing_keep_nobody_out() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let _server = tokio::spawn(serve(listener, Arc::default()));
        let mut silent = Vec::new();
        for _ in 0..2 * AT_ONCE {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut asking = TcpStream::connect(address).await.unwrap();
        let question = format!("GET {PATH}x HTTP/1.1\r\nHost: a\r\n\r\n");
        asking.write_all(question.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        asking.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
    }
}
