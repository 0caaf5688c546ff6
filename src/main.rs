//! The `packhorse` binary: parse, run, exit status. Everything it does is a call into the library.

mod cli;

use std::process::ExitCode;

/// musl's allocator takes one lock for all threads, so static binaries bring their own. glibc's needs less memory here.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
