use super::*;
use serde_json::json;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

#[test]
fn messages_read_as_the_design_has_them() {
    let description = |kind: &str| Description { kind: kind.to_owned(), sdp: "v=0".to_owned() };
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: Some(0),
    };
    let cases = [
        (Signal::Offer(description("offer")), json!({"offer": {"type": "offer", "sdp": "v=0"}})),
        (Signal::Answer(description("answer")), json!({"answer": {"type": "answer", "sdp": "v=0"}})),
        (
            Signal::NewIceCandidate(Some(candidate)),
            json!({"new-ice-candidate": {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host",
                   "sdpMid": "0", "sdpMLineIndex": 0}}),
        ),
        (Signal::NewIceCandidate(None), json!({"new-ice-candidate": null})),
        (Signal::Peers(2), json!({"peers": 2})),
        (Signal::Left(true), json!({"left": true})),
        (Signal::Error("full".to_owned()), json!({"error": "full"})),
    ];
    for (signal, value) in cases {
        assert_eq!(serde_json::to_value(&signal).unwrap(), value);
        assert_eq!(serde_json::from_value::<Signal>(value).unwrap(), signal);
    }
}

#[test]
fn what_a_browser_adds_is_passed_over() {
    let value = json!({"new-ice-candidate": {"candidate": "", "sdpMid": null, "usernameFragment": "x"}});
    let Signal::NewIceCandidate(Some(candidate)) = serde_json::from_value(value).unwrap() else { panic!() };
    assert_eq!((candidate.sdp_mid, candidate.sdp_m_line_index), (None, None));
}

#[tokio::test]
async fn in_process_ends_hear_each_other_and_the_end() {
    let (mut left, mut right) = in_process();
    assert_eq!(left.receive().await.unwrap(), Signal::Peers(2));
    assert_eq!(right.receive().await.unwrap(), Signal::Peers(2));
    left.send(Signal::NewIceCandidate(None)).await.unwrap();
    drop(left);
    assert_eq!(right.receive().await.unwrap(), Signal::NewIceCandidate(None));
    assert_eq!(right.receive().await.unwrap(), Signal::Left(true));
    assert!(right.send(Signal::NewIceCandidate(None)).await.is_err());
}

/// A server that checks path and token, answers, and closes.
async fn one_visitor(refuse: bool) -> (Room, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let room = Room {
        server: format!("ws://{}/", listener.local_addr().unwrap()),
        name: "den".to_owned(),
        token: Some("t0k".to_owned()),
    };
    let visit = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = String::new();
        #[allow(clippy::result_large_err)]
        let look = |request: &Request, response: Response| {
            let token = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
            heard = format!("{} {}", request.uri().path(), token.unwrap_or("-"));
            if refuse {
                let mut refused = ErrorResponse::new(None);
                *refused.status_mut() = StatusCode::UNAUTHORIZED;
                return Err(refused);
            }
            Ok(response)
        };
        if let Ok(mut stream) = tokio_tungstenite::accept_hdr_async(stream, look).await {
            stream.send(Message::text(r#"{"peers":1}"#)).await.unwrap();
            let echo = stream.next().await.unwrap().unwrap();
            stream.send(echo).await.unwrap();
            stream.close(None).await.unwrap();
        }
        heard
    });
    (room, visit)
}

#[tokio::test]
async fn a_room_is_entered_with_the_token() {
    let (room, visit) = one_visitor(false).await;
    let mut signaling = Signaling::enter(&room, Duration::from_secs(5)).await.unwrap();
    assert_eq!(signaling.receive().await.unwrap(), Signal::Peers(1));
    signaling.send(Signal::NewIceCandidate(None)).await.unwrap();
    assert_eq!(signaling.receive().await.unwrap(), Signal::NewIceCandidate(None));
    assert!(signaling.receive().await.unwrap_err().contains("closed"));
    assert_eq!(visit.await.unwrap(), "/signal/den Bearer t0k");
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let (room, visit) = one_visitor(true).await;
    let error = Signaling::enter(&room, Duration::from_secs(5)).await.err().unwrap();
    assert!(error.contains("401") && error.contains("--token"), "{error}");
    visit.await.unwrap();
}
