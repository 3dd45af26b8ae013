//! The signaling channel of one peer: in-process when both are local, a room
//! over WebSocket otherwise. Messages are those of the web page, so that a
//! browser can sit at the other end.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// Longest message believed, bytes; an offer of this pair is about 6,000.
const MAX_MESSAGE: usize = 64 * 1_024;
/// Messages under way in process.
const QUEUE: usize = 256;

/// One message, either direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// To the other peer.
    Offer(Description),
    /// To the other peer.
    Answer(Description),
    /// To the other peer; `null` after the last one.
    NewIceCandidate(Option<Candidate>),
    /// From the room: how many are in it now.
    Peers(u32),
    /// From the room: the other peer has gone.
    Left(bool),
    /// From the room: why it refuses.
    Error(String),
}

/// A session description, as `RTCSessionDescription` serialises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer` or `answer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The SDP.
    pub sdp: String,
}

/// A candidate, as `RTCIceCandidate` serialises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// `candidate:…`; empty after the last one.
    pub candidate: String,
    /// The media section's `a=mid`.
    #[serde(rename = "sdpMid", default)]
    pub sdp_mid: Option<String>,
    /// The media section's number.
    #[serde(rename = "sdpMLineIndex", default)]
    pub sdp_m_line_index: Option<u16>,
}

/// A room of a signaling server.
#[derive(Clone, PartialEq, Eq)]
pub struct Room {
    /// `ws://HOST:PORT`, without a path.
    pub server: String,
    /// 1 to 64 letters, digits, `-`, `_` or `.`.
    pub name: String,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url())
    }
}

impl Room {
    /// `ws://HOST:PORT/signal/ROOM`.
    pub fn url(&self) -> String {
        format!("{}/signal/{}", self.server.trim_end_matches('/'), self.name)
    }
}

/// One peer's end of a signaling channel.
pub enum Signaling {
    /// Both peers are local.
    InProcess {
        /// To the other peer.
        out: mpsc::Sender<Signal>,
        /// From it; ends when it has gone.
        incoming: mpsc::Receiver<Signal>,
    },
    /// A room of a server.
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

/// Two ends of one channel, in process; each hears that two are there.
pub fn in_process() -> (Signaling, Signaling) {
    let (to_right, at_right) = mpsc::channel(QUEUE);
    let (to_left, at_left) = mpsc::channel(QUEUE);
    for hear in [&to_right, &to_left] {
        let _ = hear.try_send(Signal::Peers(2));
    }
    (
        Signaling::InProcess { out: to_right, incoming: at_left },
        Signaling::InProcess { out: to_left, incoming: at_right },
    )
}

impl Signaling {
    /// Enters a room.
    ///
    /// # Errors
    /// The likely cause, for a person.
    pub async fn enter(room: &Room, patience: Duration) -> Result<Self, String> {
        let url = room.url();
        let mut request =
            url.as_str().into_client_request().map_err(|error| format!("{url} is not a URL: {error}"))?;
        if let Some(token) = &room.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the token has characters that a header cannot carry".to_owned())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let connecting = connect_async_with_config(request, Some(config), true);
        match tokio::time::timeout(patience, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self::WebSocket(Box::new(stream))),
            Ok(Err(error)) => Err(format!("cannot enter {url}: {}", refusal(&error))),
            Err(_) => Err(format!("no answer from {url}")),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the channel has ended.
    pub async fn send(&mut self, signal: Signal) -> Result<(), String> {
        match self {
            Self::InProcess { out, .. } => {
                out.send(signal).await.map_err(|_| "the other peer has gone".to_owned())
            }
            Self::WebSocket(stream) => {
                let text = serde_json::to_string(&signal).map_err(|error| error.to_string())?;
                let sent = stream.send(Message::text(text)).await;
                sent.map_err(|error| format!("the signaling connection failed: {error}"))
            }
        }
    }

    /// The next message. In process, the other peer's end shows as
    /// [`Signal::Left`]. May be cancelled without loss.
    ///
    /// # Errors
    /// When the channel has ended, or carries something else.
    pub async fn receive(&mut self) -> Result<Signal, String> {
        match self {
            Self::InProcess { incoming, .. } => Ok(incoming.recv().await.unwrap_or(Signal::Left(true))),
            Self::WebSocket(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return serde_json::from_str(&text)
                            .map_err(|error| format!("a signaling message is not understood: {error}"));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Binary(_))) => {
                        return Err("a signaling message is binary, not text".to_owned());
                    }
                    Some(Ok(Message::Close(_))) | None => {
                        return Err("the signaling server closed the connection".to_owned());
                    }
                    Some(Err(error)) => return Err(format!("the signaling connection failed: {error}")),
                }
            },
        }
    }

    /// Leaves; a room hears of it at once.
    pub async fn leave(self) {
        if let Self::WebSocket(mut stream) = self {
            let _ = tokio::time::timeout(Duration::from_millis(200), SinkExt::close(&mut *stream)).await;
        }
    }
}

/// Why a WebSocket could not be opened.
fn refusal(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            let hint = match response.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "; give --token (it is in the server's runtime file), or an API key"
                }
                StatusCode::NOT_FOUND => "; is this floe's admin address, and are rooms on (admin.page)?",
                StatusCode::CONFLICT => "; two peers are in this room already",
                _ => "",
            };
            format!("the server says {}{hint}", response.status())
        }
        tungstenite::Error::Url(_) => "write ws://HOST:PORT (wss:// is not supported)".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "signaling_test.rs"]
mod tests;
