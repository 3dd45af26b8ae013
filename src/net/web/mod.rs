//! One port for everything over TLS (`[https]`): TURN, the admin room's page, and
//! web servers behind floe, whose connections are passed on as they are. The
//! entrance asks here whose a connection is; nothing here reads what is in it.

mod recorded;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::bind::Listener;
use super::limit::Permit;
pub use recorded::Recorded;
pub(super) use tunnel::Tunnel;

/// `[https]`, as a server is made from it.
#[derive(Debug, Default)]
pub struct Web {
    /// Where it listens.
    pub listen: Vec<Listener>,
    /// Web servers whose connections are passed on.
    pub passes: Vec<Pass>,
    /// Who serves HTTP here; `None`: nobody, and it is TURN alone.
    pub visitors: Option<mpsc::Sender<Visitor>>,
}

/// A web server behind this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Host names that are asked for; `*.` at the front is any one label.
    pub names: Vec<String>,
    /// `HOST:PORT`.
    pub to: String,
    /// It is told whose a connection is (PROXY protocol 2).
    pub proxy_protocol: bool,
}

/// Somebody who wants HTTP, with the handshake behind them.
#[derive(Debug)]
pub struct Visitor {
    /// What they say.
    pub stream: TlsStream<Recorded>,
    /// Where they are.
    pub client: SocketAddr,
}

/// What the entrance knows of `[https]`.
#[derive(Debug)]
pub(super) struct Routes {
    passes: Vec<Arc<Pass>>,
    pub(super) visitors: Option<mpsc::Sender<Visitor>>,
    pub(super) counts: Counts,
}

/// What became of connections; written and read from any thread.
#[derive(Debug, Default)]
pub(super) struct Counts {
    visitors: AtomicU64,
    passed: AtomicU64,
    unanswered: AtomicU64,
}

/// Connections at `[https]` that were not TURN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WebCounts {
    /// For the admin room.
    pub visitors: u64,
    /// Passed on to a web server.
    pub passed: u64,
    /// To be passed on, but the web server did not answer.
    pub unanswered: u64,
}

impl Counts {
    pub(super) fn visitor(&self) {
        self.visitors.fetch_add(1, Relaxed);
    }

    fn passed(&self) {
        self.passed.fetch_add(1, Relaxed);
    }

    fn unanswered(&self) {
        self.unanswered.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> WebCounts {
        WebCounts {
            visitors: self.visitors.load(Relaxed),
            passed: self.passed.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
        }
    }
}

impl Routes {
    pub(super) fn new(web: Web) -> Self {
        let passes = web.passes.into_iter().map(Arc::new).collect();
        Self { passes, visitors: web.visitors, counts: Counts::default() }
    }

    /// The web server that answers for `name`.
    pub(super) fn pass(&self, name: &str) -> Option<Arc<Pass>> {
        self.passes.iter().find(|pass| pass.covers(name)).cloned()
    }
}

impl Pass {
    /// Whether this is a name of it; in any case (RFC 6066 §3).
    fn covers(&self, name: &str) -> bool {
        let below = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(parent) => below.is_some_and(|below| below.eq_ignore_ascii_case(parent)),
            None => own.eq_ignore_ascii_case(name),
        })
    }
}

/// A connection with its hello that goes on to a web server.
pub(super) fn tunnel(
    (socket, hello): (TcpStream, Vec<u8>),
    pass: Arc<Pass>,
    (client, server): (SocketAddr, SocketAddr),
    permit: Permit,
) -> Tunnel {
    Tunnel { socket, hello, pass, client, server, _permit: permit }
}

#[cfg(test)]
mod tests {
    use super::Pass;

    #[test]
    fn a_star_is_one_label() {
        let names = ["www.example.org", "*.example.net"].map(str::to_owned).into();
        let pass = Pass { names, to: "127.0.0.1:1".to_owned(), proxy_protocol: false };
        for name in ["www.example.org", "WWW.Example.org", "a.example.net", "A.EXAMPLE.NET"] {
            assert!(pass.covers(name), "{name}");
        }
        for name in ["example.org", "a.www.example.org", "example.net", "a.b.example.net", "net", ""] {
            assert!(!pass.covers(name), "{name}");
        }
    }
}
