//! `repository disconnect`: removes the connection file and what belongs to it. The repository is not touched.

use super::{cache_dir, remove_if_there};
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use crate::cli::{Result, password, requests};
use std::path::{Path, PathBuf};

/// Files beside a connection file `C`: Kopia's `C.mlock` and `C.update-info.json`, and the month's requests.
const COMPANIONS: [&str; 3] = ["mlock", "update-info.json", requests::EXTENSION];

/// Runs the command.
pub(super) fn run(ctx: &Context) -> Result<()> {
    let path = ctx.config_path()?;
    let connection = ctx.connection().explain("cannot disconnect")?;
    if let Some(cache) = connection.cache_directory(&path) {
        cache_dir::remove_known(&cache);
    }
    for companion in COMPANIONS {
        remove_if_there(&beside(&path, companion))?;
    }
    password::forget(&path)?;
    remove_if_there(&path)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
