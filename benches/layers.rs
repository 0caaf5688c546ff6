//! Layer benches.
fn main() {}
