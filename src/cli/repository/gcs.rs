//! Flags of a repository in a bucket of Google's cloud.

use super::shared::Speeds;
use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::{Explain, Failure};
use packhorse::blob::{ConnectionInfo, GcsOptions};
use std::path::PathBuf;

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the bucket.
    #[arg(long)]
    bucket: String,
    /// What every name begins with; a folder needs its / at the end.
    #[arg(long)]
    prefix: Option<String>,
    /// Change nothing, and ask for no more than reading.
    #[arg(long)]
    read_only: bool,
    /// File of a service account's key.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// Keep the key in the connection, not where it is.
    #[arg(long)]
    embed_credentials: bool,
    /// Another address than Google's; over plain HTTP without credentials.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    #[command(flatten)]
    speeds: Speeds,
}

impl Args {
    /// The store as a connection file describes it.
    pub(super) fn connection(&self, environment: &Environment) -> Result<ConnectionInfo> {
        let mut options = GcsOptions {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone().unwrap_or_default(),
            read_only: self.read_only,
            endpoint: self.endpoint.clone().unwrap_or_default(),
            ..GcsOptions::default()
        };
        if let Some(path) = &self.credentials_file {
            let path = environment.current_dir.join(environment.with_home(path));
            let text = std::fs::read(&path).explain(format_args!("cannot read {}", path.display()))?;
            if self.embed_credentials {
                options.credentials = serde_json::from_slice(&text).map_err(|_| {
                    Failure::usage(format!("--credentials-file: {} is no JSON", path.display()))
                })?;
            } else {
                options.credentials_file = path.to_string_lossy().into_owned();
            }
        }
        Ok(self.speeds.note(ConnectionInfo::of("gcs", &options)?))
    }
}
