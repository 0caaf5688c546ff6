//! Flags of a repository on a WebDAV server.

use super::shared::{Shards, Speeds};
use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::Failure;
use packhorse::blob::{ConnectionInfo, WebDavOptions};

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the folder.
    #[arg(long)]
    url: String,
    /// User on the server (`KOPIA_WEBDAV_USERNAME`).
    #[arg(long, value_name = "USER")]
    webdav_username: Option<String>,
    /// Password of the user (`KOPIA_WEBDAV_PASSWORD`).
    #[arg(long, value_name = "PASSWORD")]
    webdav_password: Option<String>,
    /// The server shows no file before it is complete, so that none needs another name first.
    #[arg(long)]
    atomic_writes: bool,
    #[command(flatten)]
    shards: Shards,
    #[command(flatten)]
    speeds: Speeds,
}

impl Args {
    /// The store as a connection file describes it. `version` is the format version of a repository about to be made.
    pub(super) fn connection(
        &self,
        environment: &Environment,
        version: Option<u8>,
    ) -> Result<ConnectionInfo> {
        let username = environment.or_store(self.webdav_username.as_ref(), "KOPIA_WEBDAV_USERNAME");
        let password = environment.or_store(self.webdav_password.as_ref(), "KOPIA_WEBDAV_PASSWORD");
        if !username.is_empty() && password.is_empty() {
            return Err(Failure::usage(
                "a user needs a password: give --webdav-password or KOPIA_WEBDAV_PASSWORD",
            ));
        }
        let options = WebDavOptions {
            url: self.url.clone(),
            username,
            password,
            atomic_writes: self.atomic_writes,
            dir_shards: self.shards.widths(version),
            list_parallelism: self.shards.list_parallelism,
            ..WebDavOptions::default()
        };
        Ok(self.speeds.note(ConnectionInfo::of("webdav", &options)?))
    }
}
