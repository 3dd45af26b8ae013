use super::*;

fn would_block(_: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let mut queue = OutQueue::default();
    let mut spares = Vec::new();
    assert!(queue.push([b"head", b"payload", b"\0"], 20, &mut spares));
    assert!(!queue.push([b"head", b"payload", b""], 20, &mut spares));
    assert_eq!(queue.len(), 12);
    assert!(queue.push([b"12345678", b"", b""], 20, &mut spares), "exactly the limit fits");
    assert!(!queue.push([b"1", b"", b""], 20, &mut spares));
}

#[test]
fn partial_writes_keep_the_order() {
    let mut queue = OutQueue::default();
    let mut spares = Vec::new();
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for round in 0..500_u32 {
        let packet = round.to_be_bytes();
        if queue.push([&packet[..1], &packet[1..], b"!"], 64, &mut spares) {
            expected.extend_from_slice(&packet);
            expected.push(b'!');
        }
        let mut room = round as usize % 7;
        let written = queue.write(|bytes| {
            let n = bytes.len().min(room);
            if n == 0 {
                return would_block(bytes);
            }
            room -= n;
            sent.extend_from_slice(&bytes[..n]);
            Ok(n)
        });
        written.unwrap();
        assert!(queue.len() <= 64 && queue.bytes.len() <= 130, "bounded: {}", queue.bytes.len());
    }
    queue
        .write(|bytes| {
            sent.extend_from_slice(bytes);
            Ok(bytes.len())
        })
        .unwrap();
    assert_eq!(sent, expected);
}

#[test]
fn an_error_of_the_stream_comes_out() {
    let mut queue = OutQueue::default();
    queue.push([b"x", b"", b""], 64, &mut Vec::new());
    queue.write(would_block).expect("not an error");
    assert!(queue.write(|_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
    assert!(queue.write(|_| Ok(0)).is_err());
}

#[test]
fn an_empty_queue_holds_no_memory() {
    let mut queue = OutQueue::default();
    let mut spares = Vec::new();
    queue.push([&[0; 1000], b"", b""], 4096, &mut spares);
    queue.write(|bytes| Ok(bytes.len())).unwrap();
    queue.recycle(&mut spares);
    assert_eq!((queue.bytes.capacity(), spares.len()), (0, 1));
    queue.push([b"again", b"", b""], 4096, &mut spares);
    assert!(spares.is_empty(), "taken from the spares");
}

/// A connection whose client reads nothing, among the connections of a shard.
async fn unread() -> (Connections, Slot, tokio::net::TcpStream) {
    use crate::relay::{ClientAddr, ServerAddr, Transport};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let five_tuple = FiveTuple {
        client: ClientAddr::new(address),
        server: ServerAddr::new(listener.local_addr().unwrap()),
        transport: Transport::Tcp,
    };
    let mut connections = Connections::default();
    let path = connections.insert(Rc::new(Stream::new(stream, None)), Rc::default(), five_tuple).unwrap();
    (connections, Slot::of(path.link).unwrap(), client)
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_relayed_packets_first_and_then_the_connection() {
    let (mut connections, slot, _client) = unread().await;
    let five_tuple = connections.open[slot.index()].five_tuple;
    connections.set_tenure(five_tuple, Tenure::Allocated);
    let payload = [0; 60_000];
    let mut queued = 0;
    while connections.relayed(slot, [&[0; 4], &payload, &[]]) {
        connections.write_all();
        queued += 1;
        assert!(queued < 1000, "the kernel's buffers are not that large");
    }
    assert!(!connections.closing(slot), "a dropped packet is no reason to close");
    assert!(connections.waiting(slot));
    let mut replies = 0;
    while connections.control(slot, &[0; 100]) {
        connections.write_all();
        replies += 1;
    }
    assert!(replies * 100 >= CONTROL_RESERVE - 100, "{replies} replies were taken");
    assert!(connections.closing(slot));
}

#[tokio::test]
async fn a_closed_connection_is_forgotten() {
    let (mut connections, slot, client) = unread().await;
    let five_tuple = connections.open[slot.index()].five_tuple;
    connections.set_tenure(five_tuple, Tenure::Allocated);
    assert_eq!(connections.tenure(slot), Tenure::Allocated);
    assert!(connections.relayed(slot, [b"x", b"", b""]));
    drop(client);
    connections.remove(slot);
    connections.write_all();
    assert!(!connections.control(slot, b"x"));
    assert!(connections.by_client.is_empty() && connections.open.is_empty());
}

#[test]
fn links_tell_connections_from_listeners() {
    assert_eq!(Slot::of(Link(7)), None);
    assert_eq!(Slot::of(Slot(7).link()), Some(Slot(7)));
}
