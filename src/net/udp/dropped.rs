//! What a socket had no room for, by the kernel's own count (`SO_MEMINFO`).

use std::io;
use std::os::fd::AsRawFd;

use super::socket::Socket;

/// `SK_MEMINFO_VARS` of linux/sock_diag.h, and where among them the drops are;
/// neither is in `libc`.
const VARIABLES: usize = 9;
const DROPS: usize = 8;

impl Socket {
    /// Packets that arrived and were dropped since the socket was opened, most
    /// of them because its receive buffer was full; wraps.
    pub fn dropped(&self) -> io::Result<u32> {
        let mut info = [0_u32; VARIABLES];
        let mut length = size_of_val(&info) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `info`, and to
        // `length` how many.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(info[DROPS]) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Options, Received};

    #[test]
    fn what_does_not_fit_is_counted() {
        let (socket, to) = ours(V4, &Options { buffer: 4_096, ..Options::default() });
        let (client, _) = theirs(V4);
        assert_eq!(socket.dropped().unwrap(), 0);
        // On loopback a packet has arrived, or is dropped, when it is sent.
        for _ in 0..100 {
            client.send_to(&[0; 1_000], to).unwrap();
        }
        let mut batch = Received::new();
        let mut arrived = 0;
        while let Ok(count) = socket.recv(&mut batch) {
            arrived += count as u32;
        }
        assert!(arrived < 100);
        assert_eq!(socket.dropped().unwrap(), 100 - arrived);
    }
}
