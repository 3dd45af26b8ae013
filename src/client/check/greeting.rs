//! What a stranger sees of a server: the connection, a Binding, the challenge.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::report::{Cause, Finding, Status, Step};
use super::{Doctor, Target, address, certificate};
use crate::client::transport::{self, Transport};
use crate::client::turn::session::SessionError;
use crate::client::turn::{Failure, Request, Response, security_features};
use crate::net::discover::is_private;
use crate::wire::AttributeType;

impl Doctor<'_> {
    /// Whether there is a connection on which to go on; over UDP there is none to
    /// be made.
    pub(super) async fn connection(&mut self, target: &Target<'_>) -> bool {
        let endpoint = &target.endpoint;
        if !endpoint.transport.is_reliable() {
            return true;
        }
        self.begin(Step::Connection);
        let start = Instant::now();
        let stream = match timeout(self.options.patience, TcpStream::connect(endpoint.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.unreachable(target, Step::Connection, &error),
            Err(_) => return self.unreachable(target, Step::Connection, &io::ErrorKind::TimedOut.into()),
        };
        self.add(Finding::ok(Step::Connection, format!("open, {}", milliseconds(start.elapsed()))));
        if endpoint.transport != Transport::Tls {
            return true;
        }
        self.begin(Step::Certificate);
        let name = target.server.certified_name();
        let examined = certificate::examine(stream, name, self.options.ca.as_deref());
        let finding = timeout(self.options.patience, examined).await.unwrap_or_else(|_| {
            Finding::failed(
                Step::Certificate,
                Cause::WrongProtocol,
                "the port is open, but no TLS handshake comes to an end",
                "see that the URL's port is the one of listen.tls, and that no proxy stands before it",
            )
        });
        let good = finding.status != Status::Failed;
        self.add(finding);
        good
    }

    /// Whether the server answers a Binding request.
    pub(super) async fn binding(&mut self, target: &Target<'_>) -> bool {
        self.begin(Step::Binding);
        let mut session = match self.open(&target.endpoint, None).await {
            Ok(session) => session,
            Err(error) => return self.unreachable(target, Step::Binding, &error),
        };
        let outcome = session.ask(Request::binding()).await;
        session.close().await;
        match outcome {
            Ok(response) => {
                self.add(mapped(&response, target.endpoint.address));
                true
            }
            Err(SessionError::Connection(error)) => self.unreachable(target, Step::Binding, &error),
            Err(SessionError::Request(Failure::Silent { .. })) => {
                self.unreachable(target, Step::Binding, &io::ErrorKind::TimedOut.into())
            }
            Err(error) => {
                let advice = "see whether a STUN or TURN server listens on this port";
                self.add(Finding::failed(Step::Binding, Cause::Refused, error.to_string(), advice));
                // Some servers speak TURN alone.
                !target.server.stun
            }
        }
    }

    /// Whether the server asks who it is that wants to allocate.
    pub(super) async fn challenge(&mut self, target: &Target<'_>) -> bool {
        self.begin(Step::Challenge);
        let mut session = match self.open(&target.endpoint, None).await {
            Ok(session) => session,
            Err(error) => return self.unreachable(target, Step::Challenge, &error),
        };
        let outcome = session.ask(Request::allocate()).await;
        if outcome.is_ok() {
            let _ = session.ask(Request::refresh(Duration::ZERO)).await;
        }
        session.close().await;
        let finding = match outcome {
            Ok(_) => Finding::failed(
                Step::Challenge,
                Cause::OpenRelay,
                "it allocates for anybody, without credentials: an open relay",
                "configure users or a shared secret (coturn: remove no-auth, set lt-cred-mech or use-auth-secret)",
            ),
            Err(SessionError::Request(Failure::Refused { refusal, response })) if refusal.code == 401 => {
                challenged(&response)
            }
            Err(SessionError::Connection(error)) => {
                return self.unreachable(target, Step::Challenge, &error);
            }
            Err(error) => Finding::failed(
                Step::Challenge,
                Cause::Refused,
                error.to_string(),
                "a TURN server answers 401 here; see its log, and whether it is one of STUN alone",
            ),
        };
        let good = finding.status == Status::Ok;
        self.add(finding);
        good
    }

    /// Says why nothing is heard; false, for there is nothing to go on with.
    pub(super) fn unreachable(&mut self, target: &Target<'_>, step: Step, error: &io::Error) -> bool {
        let finding = no_contact(target, step, error);
        // A way that nobody has named need not be there.
        let finding = match target.beside {
            true => Finding {
                status: Status::Warning,
                advice: Some(
                    "open TCP too (listen.tcp, and the firewall): clients whose network blocks UDP need it"
                        .to_owned(),
                ),
                ..finding
            },
            false => finding,
        };
        self.add(finding);
        false
    }
}

fn no_contact(target: &Target<'_>, step: Step, error: &io::Error) -> Finding {
    if transport::is_distrust(error) {
        return certificate::distrusted_over_dtls(target.server.certified_name(), error);
    }
    let (transport, port) = (target.endpoint.transport, target.endpoint.address.port());
    let protocol = if transport.is_reliable() { "TCP" } else { "UDP" };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Finding::failed(
            step,
            Cause::ClosedPort,
            format!("{protocol} port {port} is closed: nothing listens there"),
            format!(
                "see that the server runs and listens here (listen.{transport}), and that the URL's port is right"
            ),
        ),
        io::ErrorKind::TimedOut => Finding::failed(
            step,
            Cause::NoAnswer,
            format!("no answer from {protocol} port {port}: a firewall drops it, or the address is wrong"),
            format!("open {protocol} port {port} in the server's firewall (and the cloud's security group)"),
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Finding::failed(
            step,
            Cause::Unreachable,
            error.to_string(),
            "the address is wrong, the machine is down, or there is no route to it",
        ),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Finding::failed(
            step,
            Cause::WrongProtocol,
            format!("what answers does not speak STUN: {error}"),
            "see that the URL's port is the TURN server's, and that turns: is not asked where turn: is served",
        ),
        _ => Finding::failed(
            step,
            Cause::Unreachable,
            error.to_string(),
            "see the server's log and the firewall",
        ),
    }
}

/// What a Binding tells: this machine's address, seen from there.
fn mapped(response: &Response, server: SocketAddr) -> Finding {
    let took = milliseconds(response.took);
    let Some(mapped) = response.mapped() else {
        return Finding::failed(
            Step::Binding,
            Cause::WrongProtocol,
            "the answer has no XOR-MAPPED-ADDRESS",
            "it is no server of RFC 8489; update it",
        );
    };
    let here = match address::source_toward(server) {
        Some(own) if own == mapped.ip().to_canonical() => "no NAT between",
        _ if is_private(server.ip()) => "another address than its own",
        _ => "behind NAT",
    };
    Finding::ok(Step::Binding, format!("it sees this machine as {mapped} ({here}), {took}"))
}

/// What the challenge offers.
fn challenged(response: &Response) -> Finding {
    let realm = response.text(AttributeType::REALM);
    let (Some(realm), Some(nonce)) = (realm, response.get(AttributeType::NONCE)) else {
        return Finding::failed(
            Step::Challenge,
            Cause::BadChallenge,
            "401 without REALM or NONCE: no client can log in",
            "set a realm (coturn: realm=…, and lt-cred-mech)",
        );
    };
    let features = match security_features(nonce) {
        None => "RFC 5389: MD5 keys and SHA-1".to_owned(),
        Some(features) => {
            let mut told = "RFC 8489".to_owned();
            if features.password_algorithms {
                told.push_str(", password algorithms");
            }
            if features.username_anonymity {
                told.push_str(", anonymous user names");
            }
            told
        }
    };
    let software = response.text(AttributeType::SOFTWARE).map(|it| format!(", {it}")).unwrap_or_default();
    Finding::ok(Step::Challenge, format!("401, realm {realm:?}, {features}{software}"))
}

/// `1.2 ms`
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
