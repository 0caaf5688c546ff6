//! From options to operators, one service each.

use super::transport::Transport;
use super::{AzureOptions, B2Options, GcsOptions};
use crate::blob::remote::{Cause, Http, Timeouts, block_on};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use opendal::services::{Azblob, B2, Gcs};
use opendal::{Builder, HttpTransporter, OperationContext, Operator};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use serde_json::{Value, json};

const AZURE_DOMAIN: &str = "blob.core.windows.net";
const B2_HOST: &str = "https://api.backblazeb2.com";
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
    operator(builder, Transport { http: Http::new(None, timeouts)?, reroute: None })
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
    operator(builder, Transport { http: Http::new(None, timeouts)?, reroute: None })
}

/// A bucket in B2.
pub(super) fn b2(options: &B2Options, timeouts: Timeouts) -> Result<Operator, Cause> {
    let http = Http::new(None, timeouts)?;
    let private = Some(options.endpoint.trim_end_matches('/')).filter(|endpoint| !endpoint.is_empty());
    let bucket_id = block_on(b2_bucket_id(&http, private.unwrap_or(B2_HOST), options))?;
    let builder = B2::default()
        .bucket(&options.bucket)
        .bucket_id(&bucket_id)
        .application_key_id(&options.key_id)
        .application_key(&options.key);
    let reroute = private.map(|private| (B2_HOST.to_owned(), private.to_owned()));
    operator(builder, Transport { http, reroute })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct B2Account {
    account_id: String,
    api_url: String,
    authorization_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct B2Buckets {
    buckets: Vec<B2Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct B2Bucket {
    bucket_id: String,
    bucket_name: String,
}

/// Requests name buckets by their ids.
async fn b2_bucket_id(http: &Http, host: &str, options: &B2Options) -> Result<String, Cause> {
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", options.key_id, options.key)));
    let address = format!("{host}/b2api/v2/b2_authorize_account");
    let account: B2Account = b2_ask(http, Method::GET, &address, &basic, Bytes::new()).await?;
    let body = json!({"accountId": account.account_id, "bucketName": options.bucket}).to_string();
    let address = format!("{}/b2api/v2/b2_list_buckets", account.api_url);
    let token = &account.authorization_token;
    let found: B2Buckets = b2_ask(http, Method::POST, &address, token, body.into()).await?;
    let ours = found.buckets.into_iter().find(|bucket| bucket.bucket_name == options.bucket);
    ours.map(|bucket| bucket.bucket_id).ok_or_else(|| Cause::NoBucket { bucket: options.bucket.clone() })
}

async fn b2_ask<T: serde::de::DeserializeOwned>(
    http: &Http,
    method: Method,
    address: &str,
    authorization: &str,
    body: Bytes,
) -> Result<T, Cause> {
    let url = Url::parse(address).map_err(|_| misconfigured("the address of B2 cannot be used"))?;
    let mut request = Request::new(method, url);
    let mut value = HeaderValue::from_str(authorization).map_err(|_| Cause::NotUnderstood { status: 200 })?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    let answer = http.send(request, body).await?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| Cause::NotUnderstood { status: 200 }),
        401 => Err(Cause::UnknownKey),
        _ => Err(answer.cause("look for the bucket", String::new())),
    }
}
