//! From options to operators, one service each.

use super::transport::Transport;
use super::{AzureOptions, GcsOptions};
use crate::blob::remote::{Cause, Http, Timeouts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opendal::services::{Azblob, Gcs};
use opendal::{Builder, HttpTransporter, OperationContext, Operator};
use serde_json::Value;

const AZURE_DOMAIN: &str = "blob.core.windows.net";
const GCS_READ_WRITE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const GCS_READ_ONLY: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// Kinds of credentials in Azure that this program cannot use.
const AZURE_REFUSED: [&str; 5] =
    ["TenantID", "ClientID", "ClientSecret", "clientCertificate", "azureFederatedTokenFile"];

fn misconfigured(detail: impl Into<String>) -> Cause {
    Cause::Misconfigured { detail: detail.into() }
}

fn operator(builder: impl Builder, transport: Transport) -> Result<Operator, Cause> {
    let operator = Operator::new(builder)
        .map_err(|error| misconfigured(format!("{} ({})", error.message(), error.kind())))?;
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    Ok(operator.with_context(context))
}

/// A container in Azure.
pub(super) fn azure(options: &AzureOptions, timeouts: Timeouts) -> Result<Operator, Cause> {
    let has = |key: &&str| options.extra.get(key).is_some_and(|value| !matches!(value, "\"\"" | "null"));
    if let Some(key) = AZURE_REFUSED.iter().copied().find(|key| has(key)) {
        return Err(misconfigured(format!(
            "the credentials in {key} cannot be used: give storageKey or sasToken"
        )));
    }
    if options.storage_key.is_empty() && options.sas_token.is_empty() {
        return Err(misconfigured("there are no credentials: give --storage-key or --sas-token"));
    }
    let scheme = if options.do_not_use_tls { "http" } else { "https" };
    let domain = if options.storage_domain.is_empty() { AZURE_DOMAIN } else { &options.storage_domain };
    let public = format!("{scheme}://{}.{domain}", options.storage_account);
    let builder = Azblob::default()
        .container(&options.container)
        .endpoint(if options.endpoint.is_empty() { &public } else { &options.endpoint })
        .account_name(&options.storage_account)
        .account_key(&options.storage_key)
        .sas_token(options.sas_token.trim_start_matches('?'));
    operator(builder, Transport(Http::new(None, timeouts)?))
}

/// A bucket in Google's cloud.
pub(super) fn gcs(options: &GcsOptions, timeouts: Timeouts) -> Result<Operator, Cause> {
    let scope = if options.read_only { GCS_READ_ONLY } else { GCS_READ_WRITE };
    let mut builder = Gcs::default().bucket(&options.bucket).scope(scope).endpoint(&options.endpoint);
    if options.endpoint.starts_with("http://") {
        builder = builder.skip_signature();
    }
    match &options.credentials {
        Value::Null => builder = builder.credential_path(&options.credentials_file),
        key => builder = builder.credential(&STANDARD.encode(key.to_string())),
    }
    operator(builder, Transport(Http::new(None, timeouts)?))
}
