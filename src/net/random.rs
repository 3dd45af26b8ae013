//! The engine's source of unpredictable bytes.

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use crate::relay::world::Random;

/// A CSPRNG (rand's `StdRng`, ChaCha12) seeded from the operating system.
pub struct OsRandom(StdRng);

impl OsRandom {
    /// Seeds a new one; an error only when the kernel gives no entropy.
    pub fn new() -> std::io::Result<Self> {
        StdRng::try_from_rng(&mut SysRng).map(Self).map_err(std::io::Error::other)
    }
}

impl std::fmt::Debug for OsRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OsRandom(..)")
    }
}

impl Random for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
