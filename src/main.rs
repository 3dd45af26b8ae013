//! Parse, dispatch.
fn main() {}
