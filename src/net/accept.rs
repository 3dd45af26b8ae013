//! Accepts TCP connections, whatever the system is short of meanwhile.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::seldom::Seldom;

/// After a failed accept: nothing gets better at once when descriptors or
/// memory are short.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listener that gives connections and no errors.
#[derive(Debug)]
pub struct Accept {
    listener: TcpListener,
    /// Whose connections these are, for the log.
    whose: &'static str,
    complaints: Seldom,
}

impl Accept {
    /// Connections of `whose`, a plural.
    pub fn new(listener: TcpListener, whose: &'static str) -> Self {
        Self { listener, whose, complaints: Seldom::default() }
    }

    /// The same of a listener that is not blocking.
    ///
    /// # Errors
    /// The runtime can't watch it.
    pub fn from_std(listener: std::net::TcpListener, whose: &'static str) -> io::Result<Self> {
        TcpListener::from_std(listener).map(|listener| Self::new(listener, whose))
    }

    /// The next connection, and who makes it. Cancel safe.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // That connection alone is gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if let Some(unsaid) = self.complaints.say() {
                        let whose = self.whose;
                        tracing::warn!(target: "floe::net", %error, unsaid, "cannot accept connections of {whose}");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}
