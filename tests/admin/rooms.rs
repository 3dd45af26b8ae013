//! Signaling rooms under load and abuse: forty at once, wrong keys, messages that
//! are none or too large, a third one, one that never reads. Each is refused with a
//! reason, and nobody else notices.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, http};

const ROOMS: usize = 40;

/// Somebody in a room over plain HTTP.
struct Member {
    room: String,
    name: String,
    events: BufReader<TcpStream>,
}

impl Member {
    fn enter(server: &Server, room: &str) -> Result<Self, (u16, String)> {
        Self::enter_with(server, room, &server.runtime().token, None)
    }

    /// With this key, and a receive buffer of so many bytes.
    fn enter_with(
        server: &Server,
        room: &str,
        key: &str,
        buffer: Option<usize>,
    ) -> Result<Self, (u16, String)> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).expect("a small buffer");
        }
        socket.connect(&server.admin().into()).expect("connected");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(
            stream,
            "GET /signal/{room}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\r\n",
            server.admin()
        )
        .expect("asked");
        let mut member = Self { room: room.to_owned(), name: String::new(), events: BufReader::new(stream) };
        let status = member.line()[9..12].parse().expect("a status");
        let headers: Vec<String> =
            std::iter::from_fn(|| Some(member.line()).filter(|line| !line.is_empty())).collect();
        if status != 200 {
            let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.expect("a body").parse().expect("its length")];
            member.events.read_exact(&mut body).expect("all of it");
            return Err((status, String::from_utf8_lossy(&body).into_owned()));
        }
        member.name = member.hear()["member"].as_str().expect("a name").to_owned();
        Ok(member)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.events.read_line(&mut line).expect("a line in time") > 0, "{} is closed", self.room);
        line.trim_end().to_owned()
    }

    /// The next event's data.
    fn hear(&mut self) -> Value {
        loop {
            // Between them stand names, comments, and the sizes of HTTP's chunks.
            if let Some(data) = self.line().strip_prefix("data: ") {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }

    fn say(&self, server: &Server, body: &str) -> (u16, String) {
        say(server, &self.room, &self.name, body)
    }
}

fn say(server: &Server, room: &str, member: &str, body: &str) -> (u16, String) {
    let headers = format!("Floe-Member: {member}\r\nContent-Type: application/json\r\n");
    let path = format!("/signal/{room}/messages");
    http::ask(server.admin(), "POST", &path, &headers, body, PATIENCE)
}

/// A pair in a room of its own, both told that they are two.
fn pair(server: &Server, room: &str) -> [Member; 2] {
    let mut first = Member::enter(server, room).expect("entered");
    assert_eq!(first.hear(), json!({"peers": 1}));
    let mut second = Member::enter(server, room).expect("entered");
    assert_eq!(first.hear(), json!({"peers": 2}));
    assert_eq!(second.hear(), json!({"peers": 2}));
    [first, second]
}

/// An offer there and an answer back, with nothing in between.
fn talk(server: &Server, [first, second]: &mut [Member; 2], about: &str) {
    let offer = json!({"offer": {"type": "offer", "sdp": about}});
    assert_eq!(first.say(server, &offer.to_string()).0, 204);
    assert_eq!(second.hear(), offer);
    let answer = json!({"answer": {"type": "answer", "sdp": about}});
    assert_eq!(second.say(server, &answer.to_string()).0, 204);
    assert_eq!(first.hear(), answer);
}

fn refused(outcome: Result<Member, (u16, String)>) -> (u16, String) {
    outcome.err().expect("refused")
}

#[test]
fn forty_rooms_talk_while_others_misbehave() {
    let server = Server::start(|_| {});
    let mut pairs: Vec<_> = (0..ROOMS).map(|number| pair(&server, &format!("room-{number}"))).collect();
    let before = server.memory();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stranger = scope.spawn(|| misbehave(&server, &ended));
        // All of them, again and again, until whoever misbehaves has done it all.
        let mut rounds = 0;
        while rounds < 3 || !ended.load(Ordering::Relaxed) {
            for pair in &mut pairs {
                talk(&server, pair, &format!("round {rounds}"));
            }
            rounds += 1;
        }
        stranger.join().expect("each refused with a reason");
    });
    // A room's worth of messages may wait; not what was sent in vain.
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    // Whoever goes makes room for another.
    let [mut first, second] = pairs.pop().expect("a pair");
    drop(second);
    assert_eq!(first.hear(), json!({"left": true}));
    assert_eq!(first.hear(), json!({"peers": 1}));
    let room = first.room.clone();
    drop(Member::enter(&server, &room).expect("entered"));
    assert_eq!(first.hear(), json!({"peers": 2}));
}

/// Everything that is not allowed, in the rooms of others too.
fn misbehave(server: &Server, ended: &AtomicBool) {
    let _done = OnDrop(ended);
    // Wrong keys, more than are looked at.
    let mut seen = Vec::new();
    for _ in 0..30 {
        let (status, reason) = refused(Member::enter_with(server, "room-0", "guess", None));
        assert!(reason.contains("\"error\""), "{reason}");
        seen.push(status);
    }
    assert_eq!((seen[0], seen[29]), (401, 429), "{seen:?}");
    // A third one, and a room that is none.
    let (status, reason) = refused(Member::enter(server, "room-1"));
    assert!(status == 409 && reason.contains("two peers"), "{status} {reason}");
    assert_eq!(refused(Member::enter(server, "no%20room")).0, 400);
    // Words in a room of others, without a name there, or with the name of another room.
    let [mut first, second] = pair(server, "mine");
    let offer = r#"{"offer":{}}"#;
    for name in ["", "guess", &first.name] {
        let (status, reason) = say(server, "room-2", name, offer);
        assert!(status == 403 && reason.contains("nobody in this room"), "{status} {reason}");
    }
    // Messages that are none.
    for wrong in ["", "{", "[]", "{\"offer\":{},\"answer\":{}}", "{\"peers\":9}", "{\"left\":true}"] {
        let (status, reason) = second.say(server, wrong);
        assert!(status == 400 && reason.contains("one key"), "{wrong}: {status} {reason}");
    }
    // One that is too large, and one that is as large as may be.
    let sized = |bytes: usize| format!("{{\"offer\":\"{}\"}}", "x".repeat(bytes - 12));
    let (status, reason) = second.say(server, &sized(64 * 1024 + 1));
    assert!(status == 413 && reason.contains("64 KiB"), "{status} {reason}");
    assert_eq!(second.say(server, &sized(64 * 1024)).0, 204);
    assert_eq!(first.hear()["offer"].as_str().map(str::len), Some(64 * 1024 - 12));
    a_member_that_never_reads_is_put_out(server, &sized(64 * 1024));
}

fn a_member_that_never_reads_is_put_out(server: &Server, large: &str) {
    let mut first = Member::enter(server, "stuck").expect("entered");
    assert_eq!(first.hear(), json!({"peers": 1}));
    let _silent = Member::enter_with(server, "stuck", &server.runtime().token, Some(4096)).expect("entered");
    assert_eq!(first.hear(), json!({"peers": 2}));
    let start = Instant::now();
    let (room, name) = (first.room.clone(), first.name.clone());
    let told = std::thread::scope(|scope| {
        let told = scope.spawn(|| first.hear());
        while !told.is_finished() {
            assert!(start.elapsed() < 3 * PATIENCE, "it is there for ever");
            match say(server, &room, &name, large).0 {
                204 => {}
                // So many a second, and no more.
                429 => std::thread::sleep(Duration::from_millis(50)),
                status => panic!("{status}"),
            }
        }
        told.join().expect("told")
    });
    assert_eq!(told, json!({"left": true}));
}

/// Whoever waits for the end does not wait for ever after a failure.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
