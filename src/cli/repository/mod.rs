//! `repository`: create, connect, describe, change, disconnect.

mod azure;
pub(crate) mod cache_dir;
mod change_password;
mod connect;
mod connection;
mod create;
mod disconnect;
mod filesystem;
mod from_config;
mod gcs;
mod masked;
mod mirror;
mod s3;
mod set_client;
mod set_parameters;
mod sftp;
mod shared;
mod status;
mod sync_to;
mod throttle;
mod upgrade;
mod validate_provider;
mod webdav;

use super::Result;
use super::context::Context;
use super::exit::Explain;
use packhorse::base::Secret;
use packhorse::blob::ConnectionInfo;
use std::path::Path;

/// Verbs of the group.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Change the password of the repository.
    ChangePassword(change_password::Args),
    /// Connect to a repository.
    Connect(Box<connect::Args>),
    /// Create a repository and connect to it.
    Create(Box<create::Args>),
    /// Forget the connection; the repository stays as it is.
    Disconnect,
    /// Keep a second copy up to date.
    #[command(subcommand)]
    Mirror(mirror::Command),
    /// Change what the connection says of this client.
    SetClient(set_client::Args),
    /// Change parameters of the repository.
    #[command(visible_alias = "set-params")]
    SetParameters(Box<set_parameters::Args>),
    /// Describe the connection and the repository.
    Status(status::Args),
    /// Copy the repository to another place, and bring the copy up to date.
    SyncTo(Box<sync_to::Args>),
    /// Show and change the limits for speed and requests.
    #[command(subcommand)]
    Throttle(throttle::Command),
    /// Upgrade the format under a lock.
    #[command(subcommand, hide = true)]
    Upgrade(upgrade::Command),
    /// Try out whether the storage does what a repository needs of it.
    ValidateProvider(validate_provider::Args),
}

/// Runs a verb.
pub(crate) fn run(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::ChangePassword(args) => change_password::run(ctx, args),
        Command::Connect(args) => connect::run(ctx, args),
        Command::Create(args) => create::run(ctx, args),
        Command::Disconnect => disconnect::run(ctx),
        Command::Mirror(command) => mirror::run(ctx, command),
        Command::SetClient(args) => set_client::run(ctx, args),
        Command::SetParameters(args) => set_parameters::run(ctx, args),
        Command::Status(args) => status::run(ctx, args),
        Command::SyncTo(args) => sync_to::run(ctx, args),
        Command::Throttle(command) => throttle::run(ctx, command),
        Command::Upgrade(command) => upgrade::run(ctx, command),
        Command::ValidateProvider(args) => validate_provider::run(ctx, args),
    }
}

/// Where a repository is.
#[derive(Debug, clap::Subcommand)]
enum Provider {
    /// In a folder, local or mounted.
    Filesystem(filesystem::Args),
    /// In a bucket: S3, R2 and what speaks their protocol.
    S3(Box<s3::Args>),
    /// In a container of Azure.
    Azure(Box<azure::Args>),
    /// In a bucket of Google's cloud.
    Gcs(Box<gcs::Args>),
    /// On an SFTP server.
    Sftp(Box<sftp::Args>),
    /// On a WebDAV server.
    Webdav(Box<webdav::Args>),
    /// Where a connection file or a token leads to.
    FromConfig(from_config::Args),
}

/// A store, and the password if whoever described the store gave it along.
struct Target {
    info: ConnectionInfo,
    password: Option<Secret>,
}

impl Provider {
    /// The store to connect to; or to make a repository of format version `creates` in.
    fn target(&self, ctx: &Context, creates: Option<u8>) -> Result<Target> {
        let environment = ctx.environment();
        let info = match self {
            Self::Filesystem(args) => args.connection(environment, creates)?,
            Self::S3(args) => args.connection(environment, creates.is_some())?,
            Self::Azure(args) => args.connection(environment)?,
            Self::Gcs(args) => args.connection(environment)?,
            Self::Sftp(args) => args.connection(environment, creates)?,
            Self::Webdav(args) => args.connection(environment, creates)?,
            Self::FromConfig(args) => return args.target(creates.is_some()),
        };
        Ok(Target { info, password: None })
    }
}

/// Removes a file that may be missing.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).explain(format_args!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
