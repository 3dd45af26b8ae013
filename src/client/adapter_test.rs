use super::*;
use crate::client::framing::FramedConn;
use crate::client::transport::Transport;
use std::net::Ipv6Addr;
use tokio::net::TcpListener;
use webrtc_util::Conn;

async fn agent(adapter: &Adapter) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(adapter.local_addr()).await.unwrap();
    socket
}

fn channel_data(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0x40, 1];
    message.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    message.extend_from_slice(payload);
    message
}

/// A server that accepts TCP and sends every message back.
async fn tcp_echo() -> (Endpoint, JoinHandle<u32>) {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = Endpoint { transport: Transport::Tcp, address: listener.local_addr().unwrap(), tls: None };
    let task = tokio::spawn(async move {
        let mut accepted = 0;
        for _ in 0..2 {
            let (stream, remote) = listener.accept().await.unwrap();
            accepted += 1;
            let conn = FramedConn::new(stream, remote, remote);
            tokio::spawn(async move {
                let mut buffer = vec![0; MAX_MESSAGE];
                while let Ok(length) = conn.recv(&mut buffer).await {
                    conn.send(&buffer[..length]).await.unwrap();
                }
            });
        }
        accepted
    });
    (endpoint, task)
}

#[tokio::test]
async fn two_agents_have_a_connection_each_and_messages_stay_whole() {
    let (server, accepted) = tcp_echo().await;
    let adapter = Adapter::start(server).await.unwrap();
    let agents = [agent(&adapter).await, agent(&adapter).await];
    let mut bytes = 0;
    let mut buffer = vec![0; MAX_MESSAGE];
    for size in [0, 1, 5, 1_200, 9_000] {
        for (which, agent) in agents.iter().enumerate() {
            let message = channel_data(&vec![which as u8; size]);
            agent.send(&message).await.unwrap();
            let length = agent.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], &message[..]);
            bytes += message.len() as u64;
        }
    }
    assert_eq!(accepted.await.unwrap(), 2);
    let carried = adapter.close().await;
    assert_eq!(carried, Carried { to_server: bytes, from_server: bytes, dropped: 0 });
}

#[tokio::test]
async fn udp_over_ipv6_is_carried_too() {
    let far = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let server = Endpoint { transport: Transport::Udp, address: far.local_addr().unwrap(), tls: None };
    let adapter = Adapter::start(server).await.unwrap();
    let agent = agent(&adapter).await;
    let mut buffer = [0; 64];
    agent.send(b"\0\x01ping").await.unwrap();
    let (length, from) = far.recv_from(&mut buffer).await.unwrap();
    assert!(from.is_ipv6());
    far.send_to(&buffer[..length], from).await.unwrap();
    let length = agent.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"\0\x01ping");
    adapter.close().await;
}

/// The Refresh that deletes an allocation is the last thing an agent says.
#[tokio::test]
async fn closing_delivers_the_last_message_first() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let server = Endpoint { transport: Transport::Tcp, address: listener.local_addr().unwrap(), tls: None };
    let adapter = Adapter::start(server).await.unwrap();
    let agent = agent(&adapter).await;
    agent.send(&channel_data(b"goodbye")).await.unwrap();
    let closed = tokio::spawn(adapter.close());
    let accepted = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await;
    let (stream, remote) = accepted.expect("the message is delivered").unwrap();
    let conn = FramedConn::new(stream, remote, remote);
    let mut buffer = [0; 64];
    let length = conn.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], &channel_data(b"goodbye")[..]);
    assert!(conn.recv(&mut buffer).await.is_err(), "closed after it");
    assert_eq!(closed.await.unwrap().dropped, 0);
}

#[tokio::test]
async fn an_unreachable_server_costs_packets_and_nothing_else() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = Endpoint { transport: Transport::Tcp, address: listener.local_addr().unwrap(), tls: None };
    drop(listener);
    let adapter = Adapter::start(server).await.unwrap();
    let agent = agent(&adapter).await;
    agent.send(b"\0\x01").await.unwrap();
    let carried = adapter.close().await;
    assert_eq!((carried.to_server, carried.from_server, carried.dropped), (0, 0, 1));
}
