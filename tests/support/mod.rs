//! What several themes need: fixtures, repositories to write to, trees on disk.

pub(crate) mod cloud_server;
pub(crate) mod compare;
pub(crate) mod dav_server;
pub(crate) mod fault_proxy;
pub(crate) mod fixture;
pub(crate) mod live_tree;
pub(crate) mod programs;
pub(crate) mod r2;
pub(crate) mod restored;
pub(crate) mod s3_server;
pub(crate) mod same_tree;
pub(crate) mod sftp_server;
pub(crate) mod trees;
pub(crate) mod world;

use std::error::Error;
use std::fmt::Write;

/// The whole chain of an error in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, ": {inner}").unwrap();
        cause = inner.source();
    }
    text
}
