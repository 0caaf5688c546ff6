//! One test binary: links once, runs everything.
