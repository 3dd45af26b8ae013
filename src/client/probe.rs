//! One plain Binding and Allocate with the given credentials, over the same
//! transport that is used later, to learn what a server answers: webrtc-rs
//! gathers no candidate when its Allocate fails and keeps the error code to
//! itself.
//!
//! Leaves nothing behind: the allocation is deleted before the answer is given.
//! Built on the `stun` and `turn` crates, so that it is an opinion of its own
//! about a server that speaks through [`crate::wire`].

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use webrtc::stun::agent::TransactionId;
use webrtc::stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_SOFTWARE, ATTR_USERNAME};
use webrtc::stun::error_code::ErrorCodeAttribute;
use webrtc::stun::fingerprint::FINGERPRINT;
use webrtc::stun::integrity::MessageIntegrity;
use webrtc::stun::message::{
    BINDING_REQUEST, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE,
    METHOD_CREATE_PERMISSION, METHOD_REFRESH, Message, MessageType, Setter,
};
use webrtc::stun::textattrs::TextAttribute;
use webrtc::stun::xoraddr::XorMappedAddress;
use webrtc::turn::proto::PROTO_UDP;
use webrtc::turn::proto::lifetime::Lifetime;
use webrtc::turn::proto::peeraddr::PeerAddress;
use webrtc::turn::proto::relayaddr::RelayedAddress;
use webrtc::turn::proto::reqtrans::RequestedTransport;

use crate::client::Credentials;
use crate::client::framing::MAX_MESSAGE;
use crate::client::refusal::Refusal;
use crate::client::transport::{self, Endpoint, SharedConn};

/// First retransmission over UDP; doubles (RFC 8489 §6.2.1 allows a shorter
/// start than 500 ms where the path is known to be quick).
const RETRANSMIT: Duration = Duration::from_millis(300);

/// What a willing server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// This client's address as the server sees it.
    pub mapped: SocketAddr,
    /// The relayed transport address it gave.
    pub relayed: SocketAddr,
    /// Its realm.
    pub realm: String,
    /// Its SOFTWARE, when it tells.
    pub software: Option<String>,
    /// Whether it lets a client relay to its own relay address, as two clients
    /// of one server must; the refusal otherwise.
    pub own_relay_permitted: Result<(), Refusal>,
}

/// Why there is no [`Probe`].
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The transport failed.
    #[error("cannot reach {server}: {}", transport::explain(error))]
    Unreachable {
        /// What was dialled.
        server: Endpoint,
        /// The socket's error.
        error: std::io::Error,
    },
    /// No answer to this request in time.
    #[error("no answer from {server} to {request}: wrong address or port, or a firewall drops it")]
    Silent {
        /// What was asked.
        server: Endpoint,
        /// The request.
        request: &'static str,
    },
    /// An answer that is not TURN.
    #[error("{server} does not answer as a TURN server: {what}")]
    Strange {
        /// What was asked.
        server: Endpoint,
        /// What was wrong with the answer.
        what: String,
    },
    /// An error response.
    #[error("{0}")]
    Refused(Refusal),
}

/// Asks `server` for an allocation and gives it back.
///
/// # Errors
/// [`ProbeError`], within `patience`.
pub async fn probe(
    server: Endpoint,
    credentials: &Credentials,
    patience: Duration,
) -> Result<Probe, ProbeError> {
    let deadline = Instant::now() + patience;
    let conn = match timeout_at(deadline, transport::connect(&server)).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => return Err(ProbeError::Unreachable { server, error }),
        Err(_) => return Err(ProbeError::Silent { server, request: "connecting" }),
    };
    let client = Client { server, conn, deadline };
    let outcome = client.allocate(credentials).await;
    let _ = client.conn.close().await;
    outcome
}

struct Client {
    server: Endpoint,
    conn: SharedConn,
    deadline: Instant,
}

/// What signs a request.
struct Signature {
    username: String,
    realm: String,
    nonce: String,
    key: MessageIntegrity,
}

impl Client {
    async fn allocate(&self, credentials: &Credentials) -> Result<Probe, ProbeError> {
        let binding = self.ask("Binding", &self.build(BINDING_REQUEST, vec![], None)?).await?;
        let mut mapped = XorMappedAddress::default();
        self.read(&mut mapped, &binding, "XOR-MAPPED-ADDRESS")?;

        let allocate = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
        let udp = || -> Vec<Box<dyn Setter>> { vec![Box::new(RequestedTransport { protocol: PROTO_UDP })] };
        let challenge = self.exchange("Allocate", &self.build(allocate, udp(), None)?).await?;
        let mut signature = match refusal("Allocate", &challenge) {
            Some(refusal) if refusal.code == 401 => self.sign(&challenge, credentials)?,
            Some(refusal) => return Err(ProbeError::Refused(refusal)),
            None => return Err(self.strange("it allocates without authentication: an open relay")),
        };

        let mut answer = self.exchange("Allocate", &self.build(allocate, udp(), Some(&signature))?).await?;
        if refusal("Allocate", &answer).is_some_and(|refusal| refusal.code == 438) {
            signature = self.sign(&answer, credentials)?;
            answer = self.exchange("Allocate", &self.build(allocate, udp(), Some(&signature))?).await?;
        }
        if let Some(refusal) = refusal("Allocate", &answer) {
            return Err(ProbeError::Refused(refusal));
        }
        let outcome = self.inspect(&mut answer, &signature, mapped).await;

        let refresh = MessageType::new(METHOD_REFRESH, CLASS_REQUEST);
        let delete = self.build(refresh, vec![Box::new(Lifetime(Duration::ZERO))], Some(&signature))?;
        self.ask("Refresh", &delete).await?;
        outcome
    }

    /// Reads the success response and tries a permission.
    async fn inspect(
        &self,
        answer: &mut Message,
        signature: &Signature,
        mapped: XorMappedAddress,
    ) -> Result<Probe, ProbeError> {
        if signature.key.check(answer).is_err() {
            return Err(self.strange("its success response is not signed with these credentials"));
        }
        let mut relayed = RelayedAddress::default();
        self.read(&mut relayed, answer, "XOR-RELAYED-ADDRESS")?;

        let peer = PeerAddress { ip: relayed.ip, port: relayed.port };
        let permission = MessageType::new(METHOD_CREATE_PERMISSION, CLASS_REQUEST);
        let request = self.build(permission, vec![Box::new(peer)], Some(signature))?;
        let permitted = self.exchange("CreatePermission", &request).await?;

        Ok(Probe {
            mapped: SocketAddr::new(mapped.ip, mapped.port),
            relayed: SocketAddr::new(relayed.ip, relayed.port),
            realm: signature.realm.clone(),
            software: TextAttribute::get_from_as(answer, ATTR_SOFTWARE).ok().map(|software| software.text),
            own_relay_permitted: refusal("CreatePermission", &permitted).map_or(Ok(()), Err),
        })
    }

    fn sign(&self, challenge: &Message, credentials: &Credentials) -> Result<Signature, ProbeError> {
        let text = |attribute, name: &str| {
            TextAttribute::get_from_as(challenge, attribute)
                .map(|found| found.text)
                .map_err(|_| self.strange(&format!("its challenge has no {name}")))
        };
        let (realm, nonce) = (text(ATTR_REALM, "REALM")?, text(ATTR_NONCE, "NONCE")?);
        let Credentials { username, password } = credentials.clone();
        let key = MessageIntegrity::new_long_term_integrity(username.clone(), realm.clone(), password);
        Ok(Signature { username, realm, nonce, key })
    }

    fn build(
        &self,
        kind: MessageType,
        attributes: Vec<Box<dyn Setter>>,
        signature: Option<&Signature>,
    ) -> Result<Message, ProbeError> {
        let mut setters: Vec<Box<dyn Setter>> = vec![Box::new(TransactionId::new()), Box::new(kind)];
        setters.extend(attributes);
        if let Some(signature) = signature {
            setters.push(Box::new(TextAttribute::new(ATTR_USERNAME, signature.username.clone())));
            setters.push(Box::new(TextAttribute::new(ATTR_REALM, signature.realm.clone())));
            setters.push(Box::new(TextAttribute::new(ATTR_NONCE, signature.nonce.clone())));
            setters.push(Box::new(signature.key.clone()));
        }
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        // Fails for a username longer than the attribute may be, and nothing else.
        message
            .build(&setters)
            .map_err(|error| self.strange(&format!("cannot write the request: {error}")))?;
        Ok(message)
    }

    fn read(&self, getter: &mut impl Getter, from: &Message, name: &str) -> Result<(), ProbeError> {
        getter.get_from(from).map_err(|_| self.strange(&format!("no {name} in its response")))
    }

    /// [`Self::exchange`] for a request that must succeed.
    async fn ask(&self, name: &'static str, request: &Message) -> Result<Message, ProbeError> {
        let answer = self.exchange(name, request).await?;
        match refusal(name, &answer) {
            Some(refusal) => Err(ProbeError::Refused(refusal)),
            None => Ok(answer),
        }
    }

    /// Sends, repeats over UDP, and waits for the response with the same
    /// transaction id.
    async fn exchange(&self, name: &'static str, request: &Message) -> Result<Message, ProbeError> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let mut wait = RETRANSMIT;
        loop {
            self.conn.send(&request.raw).await.map_err(|error| self.unreachable(error))?;
            let again = if self.server.transport.is_reliable() {
                self.deadline
            } else {
                self.deadline.min(Instant::now() + wait)
            };
            while let Ok(received) = timeout_at(again, self.conn.recv(&mut buffer)).await {
                let length = received.map_err(|error| self.unreachable(error))?;
                let mut answer = Message::new();
                if answer.write(&buffer[..length]).is_err() {
                    return Err(self.strange("the answer is not STUN"));
                }
                if answer.transaction_id == request.transaction_id {
                    return Ok(answer);
                }
            }
            if Instant::now() >= self.deadline {
                return Err(ProbeError::Silent { server: self.server.clone(), request: name });
            }
            wait *= 2;
        }
    }

    fn strange(&self, what: &str) -> ProbeError {
        ProbeError::Strange { server: self.server.clone(), what: what.to_owned() }
    }

    fn unreachable(&self, error: webrtc_util::Error) -> ProbeError {
        ProbeError::Unreachable { server: self.server.clone(), error: transport::io_error(error) }
    }
}

/// The error in `answer`, when it is not a success response.
fn refusal(request: &'static str, answer: &Message) -> Option<Refusal> {
    if answer.typ.class == CLASS_SUCCESS_RESPONSE {
        return None;
    }
    let mut error = ErrorCodeAttribute::default();
    let _ = error.get_from(answer);
    let reason = String::from_utf8_lossy(&error.reason).replace(char::is_control, "");
    Some(Refusal { request, code: error.code.0, reason })
}
