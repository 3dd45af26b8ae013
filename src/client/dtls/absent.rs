//! In place of `session` in a build without OpenSSL: no session can be made.

use std::convert::Infallible;
use std::io;

use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

/// See `session`; it is for nothing.
#[derive(Clone, Debug)]
pub(in crate::client) struct Context;

impl Context {
    pub(in crate::client) fn new(_: ServerName<'static>, _: &[CertificateDer<'_>]) -> Result<Self, String> {
        Ok(Self)
    }
}

#[derive(Debug)]
pub(in crate::client) struct Session(Infallible);

impl Session {
    pub(in crate::client) fn new(_: &Context) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this floe was built without DTLS (feature dtls)"))
    }

    pub(in crate::client) fn is_open(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::client) fn advance(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(in crate::client) fn put(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub(in crate::client) fn read(&mut self, _: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0 {}
    }

    pub(in crate::client) fn write(&mut self, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub(in crate::client) fn close(&mut self) {
        match self.0 {}
    }

    pub(in crate::client) fn leaving(&self) -> std::iter::Empty<&[u8]> {
        match self.0 {}
    }

    pub(in crate::client) fn sent(&mut self) {
        match self.0 {}
    }
}
