//! `repository set-client`: what the connection says of this client.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::units::{self, format_nanos};
use packhorse::repo::ClientOptions;

const NEVER: i64 = -1;

/// Flags of `set-client`. Of a flag given several times the first value counts.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of the command line")]
pub(crate) struct Args {
    /// Refuse changes through this connection.
    #[arg(long)]
    read_only: bool,
    /// Allow changes through this connection.
    #[arg(long)]
    read_write: bool,
    /// Kopia's way to open a repository with bad index blobs, or under an upgrade lock; for reading only.
    #[arg(long, hide = true)]
    permissive_cache_loading: bool,
    /// Free text about the repository.
    #[arg(long, value_name = "TEXT", action = clap::ArgAction::Append)]
    description: Vec<String>,
    /// User name of this client.
    #[arg(long, value_name = "NAME", action = clap::ArgAction::Append)]
    username: Vec<String>,
    /// Host name of this client.
    #[arg(long, value_name = "NAME", action = clap::ArgAction::Append)]
    hostname: Vec<String>,
    /// How long what is known of the format may be used: 15 minutes at most.
    #[arg(long, default_value = "0", value_name = "DURATION", value_parser = units::parse_nanos, allow_negative_numbers = true)]
    repository_format_cache_duration: i64,
    /// Keep Kopia from caching the format blob.
    #[arg(long)]
    disable_repository_format_cache: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &Args) -> Result<()> {
    // As Kopia does it: whoever cannot open the repository changes nothing.
    ctx.open_repository(false)?;
    let path = ctx.config_path()?;
    let mut connection = ctx.connection()?;
    let said = args.apply(&mut connection.client);
    for line in &said {
        ctx.talk().line(line);
    }
    if said.is_empty() {
        return Err(Failure::new("no changes"));
    }
    if connection.client.permissive_cache_loading && !connection.client.readonly {
        return Err(Failure::new("a connection with permissive cache loading must be read-only"));
    }
    Ok(connection.save(&path)?)
}

impl Args {
    /// Changes `client`; what was changed, line by line.
    fn apply(&self, client: &mut ClientOptions) -> Vec<String> {
        let mut said = Vec::new();
        if self.read_only && !client.readonly {
            client.readonly = true;
            said.push("Setting repository to read-only mode.".to_owned());
        }
        if self.read_write && client.readonly {
            client.readonly = false;
            said.push("Setting repository to read-write mode.".to_owned());
        }
        if self.permissive_cache_loading && !client.permissive_cache_loading {
            client.permissive_cache_loading = true;
            said.push("Setting to load indexes permissively.".to_owned());
        }
        for (given, field, what) in [
            (&self.description, &mut client.description, "description"),
            (&self.username, &mut client.username, "local username"),
            (&self.hostname, &mut client.hostname, "local hostname"),
        ] {
            if let Some(value) = given.first() {
                field.clone_from(value);
                said.push(format!("Setting {what} to {value}"));
            }
        }
        if self.repository_format_cache_duration != 0 {
            client.format_blob_cache_duration = self.repository_format_cache_duration;
            let text = format_nanos(self.repository_format_cache_duration);
            said.push(format!("Setting format blob cache duration to {text}"));
        }
        if self.disable_repository_format_cache {
            client.format_blob_cache_duration = NEVER;
            said.push("Disabling format blob cache".to_owned());
        }
        said
    }
}
