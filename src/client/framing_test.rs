use super::*;
use tokio::io::DuplexStream;

use crate::wire::MAGIC_COOKIE;

fn pair() -> (FramedConn<DuplexStream>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 18);
    let address = "127.0.0.1:1".parse().unwrap();
    (FramedConn::new(near, address, "127.0.0.1:2".parse().unwrap()), far)
}

fn stun(body: usize) -> Vec<u8> {
    let mut message = vec![7; 20 + body];
    message[..2].copy_from_slice(&[0, 1]);
    message[2..4].copy_from_slice(&(body as u16).to_be_bytes());
    message[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    message
}

fn channel_data(payload: usize) -> Vec<u8> {
    let mut message = vec![9; 4 + payload];
    message[..2].copy_from_slice(&[0x40, 0]);
    message[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
    message
}

fn padded(mut message: Vec<u8>) -> Vec<u8> {
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

#[tokio::test]
async fn one_recv_gives_one_message_however_the_bytes_arrive() {
    let messages = [stun(0), channel_data(5), channel_data(0), stun(120), channel_data(65_535)];
    let bytes: Vec<u8> = messages.iter().cloned().flat_map(padded).collect();
    for piece in [1, 3, 7, 1_000, bytes.len()] {
        let (conn, mut far) = pair();
        let sent = bytes.clone();
        let writer = tokio::spawn(async move {
            for part in sent.chunks(piece) {
                far.write_all(part).await.unwrap();
            }
            far
        });
        let mut buffer = vec![0; MAX_MESSAGE];
        for message in &messages {
            let length = conn.recv(&mut buffer).await.unwrap();
            assert!(&buffer[..length] == message, "pieces of {piece}");
        }
        writer.await.unwrap();
    }
}

// B: RFC 8656 §12.5, padding to four over a stream and none counted in the length.
#[tokio::test]
async fn channel_data_leaves_padded_and_stun_as_it_is() {
    let (conn, mut far) = pair();
    for message in [channel_data(5), stun(8), channel_data(4)] {
        assert_eq!(conn.send(&message).await.unwrap(), message.len());
        let mut seen = vec![1; padded(message.clone()).len()];
        far.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, padded(message));
    }
}

#[tokio::test]
async fn a_cancelled_recv_loses_nothing() {
    let (conn, mut far) = pair();
    let message = stun(16);
    far.write_all(&message[..11]).await.unwrap();
    let mut buffer = [0; 64];
    tokio::select! {
        biased;
        _ = conn.recv(&mut buffer) => panic!("half a message is not a message"),
        () = tokio::task::yield_now() => {}
    }
    far.write_all(&message[11..]).await.unwrap();
    let length = conn.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], &message[..]);
}

#[tokio::test]
async fn garbage_the_end_and_a_short_buffer_are_errors() {
    let (conn, mut far) = pair();
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    // 'H' is 0b01…: it reads as ChannelData whose end never comes.
    drop(far);
    assert!(conn.recv(&mut [0; 64]).await.is_err());

    let (conn, mut far) = pair();
    far.write_all(&[0xff; 40]).await.unwrap();
    assert!(conn.recv(&mut [0; 64]).await.unwrap_err().to_string().contains("neither STUN"));

    let (conn, mut far) = pair();
    far.write_all(&stun(100)).await.unwrap();
    assert!(conn.recv(&mut [0; 64]).await.is_err());
}
