//! Any bytes as what a server sends over a stream: the client hears the same
//! messages however they are cut, and what it sends is framed as servers read it.
//!
//! The first byte of the input says how the stream is cut.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;

use floe::client::framing::{FramedConn, MAX_MESSAGE};
use floe::wire::frame::{self, Next};
use tokio::io::AsyncWriteExt as _;
use webrtc_util::Conn as _;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    let [cut, stream @ ..] = data else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let heard = heard(stream, 1 + usize::from(*cut)).await;
        assert_eq!(heard, messages(stream));
        assert_eq!(sent(&heard).await, heard, "what is sent reads the same");
    });
}

/// The messages of a stream, by the framing that the server uses.
fn messages(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Next::Frame { message, total } = frame::next(stream, MAX_MESSAGE) {
        all.push(stream[..message].to_vec());
        stream = &stream[total..];
    }
    all
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// What a client hears of a stream that ends behind these bytes.
async fn heard(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let (mut server, client) = tokio::io::duplex(64 * 1024);
    let client = FramedConn::new(client, NOWHERE, NOWHERE);
    let send = async move {
        for part in stream.chunks(piece) {
            // The client may have given up at what came before.
            if server.write_all(part).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let hear = async move {
        let mut all = Vec::new();
        let mut buffer = vec![0; MAX_MESSAGE];
        while let Ok(length) = client.recv(&mut buffer).await {
            all.push(buffer[..length].to_vec());
        }
        all
    };
    tokio::join!(send, hear).1
}

async fn sent(all: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut server, client) = tokio::io::duplex(64 * 1024);
    let send = async move {
        let client = FramedConn::new(client, NOWHERE, NOWHERE);
        for message in all {
            assert_eq!(client.send(message).await.expect("sent"), message.len());
        }
    };
    let mut stream = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut server, &mut stream);
    tokio::join!(send, read).1.unwrap();
    messages(&stream)
}
