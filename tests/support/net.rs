//! A net that is not kind: a forwarder of datagrams between one client and a
//! server.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What a net does with the datagrams of one direction: says, for the datagram of
/// this number, which are delivered now.
pub type Habit = fn(usize, Vec<u8>, &mut Vec<Vec<u8>>) -> Vec<Vec<u8>>;

/// Every second datagram at first: some of each flight of a handshake.
pub fn is_lossy(number: usize, datagram: Vec<u8>, _: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if number < 6 && number % 2 == 1 { vec![] } else { vec![datagram] }
}

pub fn is_repeating(_: usize, datagram: Vec<u8>, _: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    vec![datagram.clone(), datagram]
}

pub fn is_swapping(number: usize, datagram: Vec<u8>, held: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if number.is_multiple_of(2) {
        held.push(datagram);
        return vec![];
    }
    [vec![datagram], std::mem::take(held)].concat()
}

/// A net between one client and a server: where the client finds it.
pub fn net(server: SocketAddr, habit: Habit) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").expect("a free loopback port");
    let address = near.local_addr().expect("bound");
    let far = UdpSocket::bind("127.0.0.1:0").expect("a free loopback port");
    far.connect(server).expect("connected");
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        let Ok((length, client)) = near.recv_from(&mut buffer) else { return };
        near.connect(client).expect("connected");
        let (near, far) = (Arc::new(near), Arc::new(far));
        let back = (Arc::clone(&far), Arc::clone(&near));
        thread::spawn(move || pass(&back.0, &back.1, habit, Vec::new()));
        pass(&near, &far, habit, vec![buffer[..length].to_vec()]);
    });
    address
}

fn pass(from: &UdpSocket, to: &UdpSocket, habit: Habit, first: Vec<Vec<u8>>) {
    let mut first = first.into_iter();
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut buffer = vec![0; 65_536];
    // What is held back is not held for ever.
    from.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    for number in 0.. {
        let datagram = match first.next() {
            Some(datagram) => datagram,
            None => match from.recv(&mut buffer) {
                Ok(length) => buffer[..length].to_vec(),
                Err(_) => {
                    for datagram in std::mem::take(&mut held) {
                        let _ = to.send(&datagram);
                    }
                    continue;
                }
            },
        };
        for datagram in habit(number, datagram, &mut held) {
            let _ = to.send(&datagram);
        }
    }
}
