//! A flood to the UDP listener, faster than it can be read: its queue overflows
//! and whoever shares it loses datagrams, as UDP does. Control requests of
//! others are answered all the same: over TCP and on another listener each of
//! them, on the same listener at the latest when repeated.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use floe::net::udp::{BATCH, Datagram, Options, Socket};

use crate::bystander::{Bystander, OnDrop, alongside};
use crate::process::Memory;
use crate::support::client::channel_message;
use crate::support::{BOB, Client, Login, PATIENCE, Reply, Request, Server, own_address};

/// Sockets that flood, so that no shard is spared.
const SOCKETS: usize = 8;

/// How long they do.
const FLOOD: Duration = Duration::from_secs(3);

/// Between two tries of a request.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// KiB: the server reads into buffers that it has.
const GROWTH: usize = 2 * 1024;

/// A client over UDP that repeats a request until it is answered.
pub(crate) struct Patient {
    socket: UdpSocket,
    login: Login,
    lost: usize,
}

impl Patient {
    /// With an allocation, made while nothing is lost.
    pub(crate) fn new(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free loopback port");
        socket.connect(server.udp()).expect("connected");
        socket.set_read_timeout(Some(TRY_AGAIN)).expect("a timeout");
        let nobody = Login::new(BOB, "", "");
        let mut patient = Self { socket, login: nobody, lost: 0 };
        let challenge = patient.ask(&Request::allocate().bytes());
        patient.login = Login::new(BOB, challenge.realm(), challenge.nonce());
        patient.call(Request::allocate());
        patient
    }

    fn call(&mut self, request: Request) {
        let bytes = self.login.sign(request);
        self.ask(&bytes).ok();
    }

    /// Refreshes again and again, a few times at least.
    fn refresh_until(&mut self, over: &AtomicBool) {
        let mut answered = 0;
        while answered < 3 || !over.load(Ordering::Relaxed) {
            self.call(Request::refresh(600));
            answered += 1;
            thread::sleep(TRY_AGAIN);
        }
        println!("on the flooded listener: {answered} Refreshes answered, {} tries lost", self.lost);
    }

    fn ask(&mut self, request: &[u8]) -> Reply {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no answer, {} tries lost", self.lost);
            self.socket.send(request).expect("sent");
            if let Some(reply) = self.answer(request) {
                return reply;
            }
            self.lost += 1;
        }
    }

    /// The answer, if it comes in time; a second one to an earlier request is
    /// passed over.
    fn answer(&self, request: &[u8]) -> Option<Reply> {
        let mut buffer = [0; 2048];
        loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            if buffer[8..20] == request[8..20] {
                return Some(Reply::to(request, buffer[..length].to_vec()));
            }
        }
    }
}

/// Runs `event` while all of these go on.
pub(crate) fn beside<T>(patient: &mut Patient, bystanders: &mut [Bystander], event: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let event = || {
        thread::scope(|scope| {
            scope.spawn(|| patient.refresh_until(&over));
            let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
            event()
        })
    };
    alongside(bystanders, event).0
}

/// Those whose packets wait in other queues than a flood of the UDP listener.
pub(crate) fn elsewhere(server: &Server, peer: Ipv4Addr) -> [Bystander; 2] {
    [
        Bystander::new("TCP", Client::tcp(server), peer),
        Bystander::new("UDP over IPv6", Client::udp6(server), peer),
    ]
}

#[test]
fn control_requests_are_answered() {
    let server = Server::start(|_| {});
    let mut bystanders = elsewhere(&server, own_address());
    let mut patient = Patient::new(&server);

    // Bindings, and ChannelData of clients that have no allocation.
    let packets = [Request::binding().bytes(), channel_message(0x4000, &[7; 172])];
    let sockets: Vec<_> = (0..SOCKETS)
        .map(|_| Socket::bind((own_address(), 0).into(), &Options::default()).expect("a socket"))
        .collect();
    let send_all = || -> usize {
        let batch = |packet| [Datagram { to: server.udp(), from: None, parts: [packet, &[], &[]] }; BATCH];
        let turns = sockets.iter().zip(packets.iter().cycle());
        turns.map(|(socket, packet)| socket.send(&batch(packet)).sent).sum()
    };
    let heard = || server.metric("floe_client_packets_total", &["direction=\"in\"", "\"udp\""]);
    (0..20).for_each(|_| _ = send_all());
    let (memory, before) = (Memory::of(&server), heard());
    let sent = beside(&mut patient, &mut bystanders, || {
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < FLOOD {
            sent += send_all();
        }
        sent
    });
    println!("{sent} datagrams sent in {FLOOD:?}, {} heard", heard() - before);
    memory.assert_grown("a flood to the listener", GROWTH);
}
