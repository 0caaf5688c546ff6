//! Flags of a repository on an SFTP server.

use super::shared::{Shards, Speeds};
use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::{Explain, Failure};
use packhorse::blob::{ConnectionInfo, SftpOptions};
use std::path::{Path, PathBuf};

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the repository on the server.
    #[arg(long)]
    path: String,
    /// Name or address of the server.
    #[arg(long)]
    host: String,
    /// Port of the server.
    #[arg(long, default_value_t = 22)]
    port: u16,
    /// User on the server.
    #[arg(long)]
    username: String,
    /// Password of the user.
    #[arg(long, value_name = "PASSWORD")]
    sftp_password: Option<String>,
    /// File of a private key without a passphrase.
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// The private key itself.
    #[arg(long, value_name = "KEY")]
    key_data: Option<String>,
    /// File of known hosts.
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// Lines of a file of known hosts.
    #[arg(long, value_name = "LINES")]
    known_hosts_data: Option<String>,
    /// Keep key and known hosts in the connection, not where they are.
    #[arg(long)]
    embed_credentials: bool,
    /// Let an ssh program make the connection; it must not ask for anything.
    #[arg(long)]
    external: bool,
    /// That program.
    #[arg(long, default_value = "ssh", value_name = "PROGRAM")]
    ssh_command: String,
    /// What the program is told besides, with spaces in between.
    #[arg(long = "ssh-args", value_name = "ARGUMENTS", allow_hyphen_values = true)]
    ssh_arguments: Option<String>,
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
        let mut options = SftpOptions {
            path: self.path.clone(),
            host: self.host.clone(),
            port: self.port,
            username: self.username.clone(),
            external_ssh: self.external,
            ssh_command: self.ssh_command.clone(),
            ssh_arguments: self.ssh_arguments.clone().unwrap_or_default(),
            dir_shards: self.shards.widths(version),
            list_parallelism: self.shards.list_parallelism,
            ..SftpOptions::default()
        };
        if !self.external {
            self.add_credentials(environment, &mut options)?;
            self.add_known_hosts(environment, &mut options)?;
        }
        Ok(self.speeds.note(ConnectionInfo::of("sftp", &options)?))
    }

    fn add_credentials(&self, environment: &Environment, options: &mut SftpOptions) -> Result<()> {
        options.password = self.sftp_password.clone().unwrap_or_default();
        options.key_data = self.key_data.clone().unwrap_or_default();
        if let Some(path) = &self.keyfile {
            if self.embed_credentials && options.key_data.is_empty() {
                options.key_data = read(path)?;
            } else {
                options.keyfile = absolute(environment, path);
            }
        }
        if options.password.is_empty() && options.key_data.is_empty() && options.keyfile.is_empty() {
            return Err(Failure::usage("one of --sftp-password, --keyfile and --key-data is needed"));
        }
        Ok(())
    }

    fn add_known_hosts(&self, environment: &Environment, options: &mut SftpOptions) -> Result<()> {
        options.known_hosts_data = self.known_hosts_data.clone().unwrap_or_default();
        match &self.known_hosts {
            _ if !options.known_hosts_data.is_empty() => Ok(()),
            None => Err(Failure::usage("one of --known-hosts and --known-hosts-data is needed")),
            Some(path) if self.embed_credentials => {
                options.known_hosts_data = read(path)?;
                Ok(())
            }
            Some(path) => {
                options.known_hosts_file = absolute(environment, path);
                Ok(())
            }
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).explain(format_args!("cannot read {}", path.display()))
}

fn absolute(environment: &Environment, path: &Path) -> String {
    environment.current_dir.join(environment.with_home(path)).to_string_lossy().into_owned()
}
