//! `floe::wire` seen from outside: one module per behaviour. The ids are those of
//! the conformance catalogue.

// Clippy counts helpers of tests as production code.
#![allow(clippy::unwrap_used, clippy::panic)]

mod build;
mod channel_data;
mod first_of_its_type;
mod framing;
mod integrity;
mod malformed;
mod stun_crate;
mod turn_crate;
mod values;
mod vectors;

// What the fuzz targets check of any input, the properties here check of theirs.
#[path = "../../fuzz/fuzz_targets/stream_framing.rs"]
mod stream_framing;
#[path = "../../fuzz/fuzz_targets/wire_decode.rs"]
mod wire_decode;
