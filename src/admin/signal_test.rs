use super::super::harness::Server;
use super::*;

#[test]
fn a_message_is_an_object_with_one_known_key() {
    for good in [
        r#"{"offer":{"type":"offer","sdp":"v=0\r\n"}}"#,
        r#" { "answer" : {"type":"answer","sdp":""} } "#,
        r#"{"new-ice-candidate":{"candidate":"…","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"x"}}"#,
        r#"{"new-ice-candidate":null}"#,
    ] {
        assert_eq!(check_signal(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        r#""offer""#,
        r#"{"peers":2}"#,
        r#"{"left":true}"#,
        r#"{"Offer":{}}"#,
        r#"{"offer":{},"answer":{}}"#,
        r#"{"offer":{},"offer":{}}"#,
        r#"{"offer":{}"#,
        r#"{"offer":{}} x"#,
        r#"{"offer":}"#,
    ] {
        assert!(check_signal(bad).is_err(), "{bad}");
    }
    let padded = |length: usize| format!(r#"{{"offer":"{}"}}"#, "x".repeat(length - 12));
    assert_eq!(check_signal(&padded(MAX_MESSAGE)), Ok(()));
    assert!(check_signal(&padded(MAX_MESSAGE + 1)).is_err());
    let deep = format!(r#"{{"offer":{}}}"#, "[".repeat(60_000));
    assert!(check_signal(&deep).is_err());
}

#[test]
fn room_names_are_short_and_plain() {
    for good in ["a", "Room-1_x.y", &"x".repeat(64)] {
        assert!(is_room_name(good), "{good}");
    }
    for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
        assert!(!is_room_name(bad), "{bad}");
    }
}

#[test]
fn pages_of_other_origins_are_told_apart() {
    let same = |origin: &str, host: &str| {
        let headers = [(ORIGIN, origin.parse().unwrap()), (HOST, host.parse().unwrap())];
        same_origin(&HeaderMap::from_iter(headers))
    };
    assert!(same("http://localhost:8080", "localhost:8080"));
    assert!(same("https://turn.example.org", "turn.example.org"));
    assert!(same("https://Turn.example.org", "turn.example.org:443"));
    assert!(same("http://[::1]:8080", "[::1]:8080"));
    for (origin, host) in [
        ("http://evil.example", "localhost:8080"),
        ("http://localhost:8081", "localhost:8080"),
        ("http://localhost", "localhost:443"),
        ("null", "localhost:8080"),
        ("", "localhost:8080"),
        ("file://", ""),
        ("https://localhost:8080.evil.example", "localhost:8080"),
    ] {
        assert!(!same(origin, host), "{origin} at {host}");
    }
    assert!(same_origin(&HeaderMap::new()));
    assert!(!same_origin(&HeaderMap::from_iter([(ORIGIN, "http://localhost".parse().unwrap())])));
}

#[test]
fn pace_allows_so_many_frames_a_second() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert!((0..FRAMES_PER_SECOND).all(|_| pace.may(start)));
    assert!(!pace.may(start));
    assert!(pace.may(start + Duration::from_secs(1)));
}

#[tokio::test]
async fn a_room_takes_a_key_an_own_origin_a_name_and_a_websocket() {
    let server = Server::start();
    assert_eq!(server.get("/signal/room", "").await.status, 401);
    assert_eq!(server.get("/signal/room?token=wrong", "").await.status, 401);
    let foreign = "Origin: http://evil.example\r\n";
    let answer = server.get("/signal/room?token=run-token", foreign).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.error().is_empty());
    for bad in ["a%20b", "a%2Fb", "%FF", &"x".repeat(65)] {
        let answer = server.get(&format!("/signal/{bad}?token=run-token"), "").await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(!answer.error().is_empty());
    }
    let answer = server.get("/signal/room?token=run-token", "").await;
    assert_eq!(answer.status, 426);
    assert!(!answer.error().is_empty());
}

/// Whole conversations over real WebSockets.
#[cfg(feature = "client")]
mod conversations {
    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpStream;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    use tokio_tungstenite::tungstenite::{Error, Message};
    use tokio_tungstenite::{WebSocketStream, client_async};

    use super::super::super::harness::PATIENCE;
    use super::*;

    const OFFER: &str = r#"{"offer": {"type":"offer", "sdp":"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"}}"#;

    struct Peer(WebSocketStream<TcpStream>);

    impl Peer {
        async fn join(server: &Server, room: &str) -> Self {
            let headers = [("authorization", "Bearer run-token")];
            Self(Self::try_join(server, &format!("/signal/{room}"), &headers).await.unwrap())
        }

        async fn try_join(
            server: &Server,
            path: &str,
            headers: &[(&'static str, &str)],
        ) -> Result<WebSocketStream<TcpStream>, Error> {
            let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            Ok(client_async(request, server.connect().await).await?.0)
        }

        async fn say(&mut self, text: &str) {
            self.0.send(Message::text(text)).await.unwrap();
        }

        /// The next text.
        async fn hear(&mut self) -> String {
            loop {
                match timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap() {
                    Message::Text(text) => return text.as_str().to_owned(),
                    Message::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }

        /// Hears an error, then the end; the error.
        async fn hear_error(&mut self) -> String {
            let text = self.hear().await;
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            self.hear_end().await;
            json["error"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
        }

        /// Whether nothing but a close comes.
        async fn hear_end(&mut self) {
            while let Some(Ok(message)) = timeout(PATIENCE, self.0.next()).await.unwrap() {
                assert!(matches!(message, Message::Close(_)), "{message:?}");
            }
        }
    }

    #[tokio::test]
    async fn two_peers_find_each_other_and_part() {
        let server = Server::start();
        let mut first = Peer::join(&server, "r").await;
        assert_eq!(first.hear().await, r#"{"peers":1}"#);
        let mut second = Peer::join(&server, "r").await;
        assert_eq!(second.hear().await, r#"{"peers":2}"#);
        assert_eq!(first.hear().await, r#"{"peers":2}"#);
        // Byte for byte, spaces too, and in order.
        let candidate = r#"{"new-ice-candidate":{"candidate":"c","sdpMid":"0","sdpMLineIndex":0}}"#;
        let talk = [OFFER, candidate, r#"{"new-ice-candidate":null}"#];
        for text in talk {
            first.say(text).await;
        }
        for text in talk {
            assert_eq!(second.hear().await, text);
        }
        second.say(r#"{"answer":{"type":"answer","sdp":""}}"#).await;
        assert_eq!(first.hear().await, r#"{"answer":{"type":"answer","sdp":""}}"#);

        first.0.close(None).await.unwrap();
        assert_eq!(second.hear().await, r#"{"left":true}"#);
        assert_eq!(second.hear().await, r#"{"peers":1}"#);
        let closed = timeout(PATIENCE, first.0.next()).await.unwrap();
        assert!(matches!(closed, Some(Ok(Message::Close(_)))), "{closed:?}");
        // Who stayed offers to the next; one that vanishes has left, too.
        let mut third = Peer::join(&server, "r").await;
        assert_eq!(third.hear().await, r#"{"peers":2}"#);
        assert_eq!(second.hear().await, r#"{"peers":2}"#);
        drop(third);
        assert_eq!(second.hear().await, r#"{"left":true}"#);
    }

    #[tokio::test]
    async fn a_third_is_told_and_closed_and_disturbs_nobody() {
        let server = Server::start();
        let mut first = Peer::join(&server, "r").await;
        let mut second = Peer::join(&server, "r").await;
        assert_eq!(second.hear().await, r#"{"peers":2}"#);
        let mut third = Peer::join(&server, "r").await;
        assert!(third.hear_error().await.contains("two peers"));
        second.say(OFFER).await;
        assert_eq!(first.hear().await, r#"{"peers":1}"#);
        assert_eq!(first.hear().await, r#"{"peers":2}"#);
        assert_eq!(first.hear().await, OFFER);
    }

    #[tokio::test]
    async fn bad_messages_are_answered_and_end_the_stay() {
        let server = Server::start();
        let large = format!(r#"{{"offer":"{}"}}"#, "x".repeat(MAX_MESSAGE));
        for bad in [
            Message::text("hello"),
            Message::text(r#"{"peers":9}"#),
            Message::text(large),
            Message::binary(b"\x00".as_slice()),
        ] {
            let mut good = Peer::join(&server, "r").await;
            assert_eq!(good.hear().await, r#"{"peers":1}"#);
            let mut evil = Peer::join(&server, "r").await;
            assert_eq!(evil.hear().await, r#"{"peers":2}"#);
            assert_eq!(good.hear().await, r#"{"peers":2}"#);
            evil.0.send(bad).await.unwrap();
            assert!(!evil.hear_error().await.is_empty());
            assert_eq!(good.hear().await, r#"{"left":true}"#);
            good.0.close(None).await.unwrap();
            good.hear_left_over().await;
        }
    }

    impl Peer {
        /// Reads until the server has closed, so that the room is empty.
        async fn hear_left_over(&mut self) {
            while let Some(Ok(_)) = timeout(PATIENCE, self.0.next()).await.unwrap() {}
        }
    }

    #[tokio::test]
    async fn a_flood_is_ended() {
        let server = Server::start();
        let mut peer = Peer::join(&server, "r").await;
        assert_eq!(peer.hear().await, r#"{"peers":1}"#);
        for _ in 0..3 * FRAMES_PER_SECOND {
            // The server may have closed by then.
            if peer.0.send(Message::text(r#"{"new-ice-candidate":null}"#)).await.is_err() {
                break;
            }
        }
        assert_eq!(peer.hear_error().await, "too many messages");
    }

    #[tokio::test]
    async fn keys_come_by_header_query_or_subprotocol() {
        let server = Server::start();
        let page = format!("http://{}", server.address);
        for (path, headers) in [
            ("/signal/r", vec![("authorization", "Bearer janus-key")]),
            ("/signal/r?token=run-token", vec![]),
            ("/signal/r?key=janus-key", vec![("origin", page.as_str())]),
            ("/signal/r", vec![("sec-websocket-protocol", "floe-signal, token.run-token")]),
        ] {
            let mut peer = Peer(Peer::try_join(&server, path, &headers).await.unwrap());
            assert_eq!(peer.hear().await, r#"{"peers":1}"#, "{path}");
            peer.0.close(None).await.unwrap();
            peer.hear_left_over().await;
        }
        for (path, headers, status) in [
            ("/signal/r", vec![], 401),
            ("/signal/r", vec![("sec-websocket-protocol", "token.wrong")], 401),
            ("/signal/r?token=run-token", vec![("origin", "http://evil.example")], 403),
        ] {
            match Peer::try_join(&server, path, &headers).await {
                Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_silent_peer_leaves_and_a_reading_one_stays() {
        let limits = Limits { ping: Duration::from_millis(50), ..Limits::default() };
        let server = Server::with(limits, |_| {});
        let mut alive = Peer::join(&server, "r").await;
        assert_eq!(alive.hear().await, r#"{"peers":1}"#);
        // Does not read, so never answers a ping.
        let _silent = Peer::join(&server, "r").await;
        assert_eq!(alive.hear().await, r#"{"peers":2}"#);
        assert_eq!(alive.hear().await, r#"{"left":true}"#);
        assert_eq!(alive.hear().await, r#"{"peers":1}"#);
    }

    #[tokio::test]
    async fn rooms_and_sockets_are_bounded() {
        let server = Server::with(Limits { rooms: 1, sockets: 2, ..Limits::default() }, |_| {});
        let mut first = Peer::join(&server, "a").await;
        assert_eq!(first.hear().await, r#"{"peers":1}"#);
        let mut second = Peer::join(&server, "b").await;
        assert!(second.hear_error().await.contains("too many rooms"));
        let _third = Peer::join(&server, "a").await;
        assert_eq!(first.hear().await, r#"{"peers":2}"#);
        let token = [("authorization", "Bearer run-token")];
        match Peer::try_join(&server, "/signal/a", &token).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 503),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_stopping_server_says_so() {
        let server = Server::start();
        let mut peer = Peer::join(&server, "r").await;
        assert_eq!(peer.hear().await, r#"{"peers":1}"#);
        let (error, ()) = tokio::join!(peer.hear_error(), server.stop());
        assert_eq!(error, "the server stops");
    }
}
