use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client(client: &str, server: &str) -> Origin {
    Origin::Client { client: socket(client), server: socket(server) }
}

/// Version 2: command, family and protocol, and what follows the length.
fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 7, 203, 0, 113, 1, 0x30, 0x39, 0x0d, 0x96];

/// What comes out of a stream of these bytes, which ends behind them, and what
/// is left in it.
async fn told(bytes: &[u8], piece: usize) -> (io::Result<Origin>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut balancer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    balancer.set_nodelay(true).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let reader = tokio::spawn(async move {
        let origin = read(&mut stream).await;
        let mut rest = Vec::new();
        if origin.is_ok() {
            stream.read_to_end(&mut rest).await.unwrap();
        }
        (origin, rest)
    });
    for part in bytes.chunks(piece) {
        // It may be closed for what came before.
        if balancer.write_all(part).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(balancer);
    reader.await.unwrap()
}

// E-052 E-053 E-054
#[tokio::test]
async fn headers_end_where_they_end_however_they_come() {
    let v4 = client("192.0.2.7:12345", "203.0.113.1:3478");
    let v6 = [[0x20; 16], [0x30; 16]].concat();
    let headers = [
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 12345 3478\r\n".to_vec(), v4),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n".to_vec(),
            client("[2001:db8::7]:1", "[2001:db8::1]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Origin::Balancer),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Origin::Balancer),
        (version_2(0x21, 0x11, &IPV4), v4),
        (
            version_2(0x21, 0x21, &[v6.as_slice(), &[0, 1, 0, 2]].concat()),
            client(
                "[2020:2020:2020:2020:2020:2020:2020:2020]:1",
                "[3030:3030:3030:3030:3030:3030:3030:3030]:2",
            ),
        ),
        (version_2(0x20, 0x00, b""), Origin::Balancer),
        (version_2(0x20, 0x11, &IPV4), Origin::Balancer),
        (version_2(0x21, 0x00, b""), Origin::Balancer),
        // TLVs nobody here knows.
        (version_2(0x21, 0x11, &[&IPV4[..], &[0xee, 0, 2, 1, 2, 0x04, 0, 0]].concat()), v4),
    ];
    for (header, expected) in headers {
        for piece in [1, 13, usize::MAX] {
            let (origin, rest) = told(&[&header[..], b"\r\nand more"].concat(), piece).await;
            assert_eq!(origin.unwrap(), expected);
            assert_eq!(rest, b"\r\nand more", "{expected:?} in pieces of {piece}");
        }
    }
}

// E-053
#[tokio::test]
async fn a_checksum_is_checked_where_there_is_one() {
    let checked = |sum: u32| {
        let tlvs = [&[0xee, 0, 1, 9, 0x03, 0, 4], sum.to_be_bytes().as_slice(), &[0x04, 0, 1, 0]].concat();
        version_2(0x21, 0x11, &[IPV4.as_slice(), &tlvs].concat())
    };
    let right = !checked(0).iter().fold(!0, crc32c);
    assert!(told(&checked(right), usize::MAX).await.0.is_ok());
    assert!(told(&checked(right ^ 1), usize::MAX).await.0.is_err());
    // A checksum of a wrong length is none.
    let odd = version_2(0x21, 0x11, &[IPV4.as_slice(), &[0x03, 0, 2, 1, 2]].concat());
    assert!(told(&odd, usize::MAX).await.0.is_err());
}

#[test]
fn crc32c_is_that_of_the_rfc() {
    assert_eq!(!b"123456789".iter().fold(!0, crc32c), 0xe306_9283);
}

// E-050 E-052 E-053
#[tokio::test]
async fn what_is_no_header_is_refused() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat();
    let bad: [&[u8]; 15] = [
        b"",
        b"P",
        b"PROXY",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 12345\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 12345 3478\n",
        b"PROXY UNKNOWN \n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 12345 99999\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 -1 3478\r\n",
        b"PROXY TCP4 2001:db8::7 203.0.113.1 1 1\r\n",
        b"PROXY TCP6 192.0.2.7 203.0.113.1 1 1\r\n",
        b"PROXY  TCP4 192.0.2.7 203.0.113.1 1 1\r\n",
        b"proxy TCP4 192.0.2.7 203.0.113.1 1 1\r\n",
        b"PROXY-TCP4 192.0.2.7 203.0.113.1 1 1\r\n",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        &long,
    ];
    let binary = [
        v2::PROTOCOL_PREFIX.to_vec(),
        version_2(0x11, 0x11, &IPV4),
        version_2(0x22, 0x11, &IPV4),
        version_2(0x21, 0x41, &IPV4),
        version_2(0x21, 0x13, &IPV4),
        version_2(0x21, 0x12, &IPV4),
        version_2(0x21, 0x11, &IPV4[..11]),
        version_2(0x21, 0x11, &[&IPV4[..], &[0xee, 0]].concat()),
        version_2(0x21, 0x11, &[&IPV4[..], &[0xee, 0, 9, 1]].concat()),
        version_2(0x21, 0x11, &vec![0; LONGEST_REST + 1]),
        [b"\r\n\r\n\0\r\nQUIX\n", &[0x21, 0x11, 0, 12][..], &IPV4].concat(),
    ];
    for header in bad.into_iter().chain(binary.iter().map(Vec::as_slice)) {
        let (origin, _) = told(header, usize::MAX).await;
        assert!(origin.is_err(), "{:?}", String::from_utf8_lossy(header));
    }
}
