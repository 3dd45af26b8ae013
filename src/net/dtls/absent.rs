//! In place of `session` in a build without OpenSSL: there is no context, so no
//! handshake is begun and no session comes of one.

use std::convert::Infallible;
use std::fmt;

use super::hello::ClientHello;
use super::pipe::{Flight, Opened, Pipe, Progress};

/// See `session`; none can be made.
#[derive(Clone, Debug)]
pub(in crate::net) struct Context(Infallible);

impl Context {
    pub(in crate::net) fn new<'a>(_: impl IntoIterator<Item = &'a [u8]>, _: &[u8]) -> Result<Self, String> {
        Err("this floe was built without DTLS (feature dtls)".to_owned())
    }
}

#[derive(Debug)]
pub(super) struct Handshake(Infallible);

impl Handshake {
    pub(super) fn begin(
        context: &Context,
        _: &ClientHello<'_>,
        _: &[u8],
    ) -> Result<Self, Box<dyn fmt::Display + Send>> {
        match context.0 {}
    }

    pub(super) fn receive(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub(super) fn advance(&mut self) -> Progress {
        match self.0 {}
    }

    pub(super) fn take_flight(&mut self) -> Flight {
        match self.0 {}
    }

    pub(super) fn into_session(self) -> Session {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(in crate::net) struct Session(Infallible);

impl Session {
    pub(super) fn read(&mut self, _: &mut Pipe, _: &mut [u8]) -> Opened {
        match self.0 {}
    }

    pub(super) fn seal(&mut self, _: &mut Pipe, _: &[u8]) -> bool {
        match self.0 {}
    }

    pub(super) fn close(&mut self, _: &mut Pipe) {
        match self.0 {}
    }
}
