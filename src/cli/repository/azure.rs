//! Flags of a repository in a container of Azure.

use super::shared::Speeds;
use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::Failure;
use packhorse::blob::{AzureOptions, ConnectionInfo};

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the container.
    #[arg(long)]
    container: String,
    /// Name of the account (`AZURE_STORAGE_ACCOUNT`).
    #[arg(long, value_name = "ACCOUNT")]
    storage_account: Option<String>,
    /// Key of the account (`AZURE_STORAGE_KEY`).
    #[arg(long, value_name = "KEY")]
    storage_key: Option<String>,
    /// A token in place of the key (`AZURE_STORAGE_SAS_TOKEN`).
    #[arg(long, value_name = "TOKEN")]
    sas_token: Option<String>,
    /// What the account's name stands before (`AZURE_STORAGE_DOMAIN`).
    #[arg(long, value_name = "DOMAIN")]
    storage_domain: Option<String>,
    /// What every name begins with; a folder needs its / at the end.
    #[arg(long)]
    prefix: Option<String>,
    /// The whole address of the account, for emulators and private networks.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    #[command(flatten)]
    speeds: Speeds,
}

impl Args {
    /// The store as a connection file describes it.
    pub(super) fn connection(&self, environment: &Environment) -> Result<ConnectionInfo> {
        let options = AzureOptions {
            container: self.container.clone(),
            prefix: self.prefix.clone().unwrap_or_default(),
            storage_account: environment.or_store(self.storage_account.as_ref(), "AZURE_STORAGE_ACCOUNT"),
            storage_key: environment.or_store(self.storage_key.as_ref(), "AZURE_STORAGE_KEY"),
            sas_token: environment.or_store(self.sas_token.as_ref(), "AZURE_STORAGE_SAS_TOKEN"),
            storage_domain: environment.or_store(self.storage_domain.as_ref(), "AZURE_STORAGE_DOMAIN"),
            endpoint: self.endpoint.clone().unwrap_or_default(),
            ..AzureOptions::default()
        };
        if options.storage_account.is_empty() {
            return Err(Failure::usage("--storage-account or AZURE_STORAGE_ACCOUNT is needed"));
        }
        Ok(self.speeds.note(ConnectionInfo::of("azureBlob", &options)?))
    }
}
