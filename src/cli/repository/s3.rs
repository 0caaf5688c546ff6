//! Flags of a repository in a bucket.

#![expect(clippy::doc_markdown, reason = "doc comments of flags are their help, which shows no backticks")]

use super::filesystem::keep_speed;
use crate::cli::Result;
use crate::cli::environment::Environment;
use crate::cli::exit::{Explain, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use packhorse::base::{Secret, Timestamp};
use packhorse::blob::{ConnectionInfo, S3Options, r2_endpoint};
use serde_json::Value;
use std::path::PathBuf;

const AMAZON: &str = "s3.amazonaws.com";
const R2_REGION: &str = "auto";

/// Who runs the store, where that decides about more than the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Service {
    /// Any store that speaks the protocol.
    S3,
    /// Cloudflare's R2.
    R2,
}

/// Flags of the provider.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the bucket.
    #[arg(long)]
    bucket: String,
    /// Host, or host:port, of the server (s3.amazonaws.com).
    #[arg(long, value_name = "HOST")]
    endpoint: Option<String>,
    /// Who runs the store: r2 needs --account-id in place of --endpoint.
    #[arg(long, value_enum, default_value = "s3", value_name = "SERVICE")]
    provider: Service,
    /// Account of R2.
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// Region of the bucket.
    #[arg(long)]
    region: Option<String>,
    /// Access key id [env: AWS_ACCESS_KEY_ID]; without keys the machine's credentials are used.
    #[arg(long, value_name = "ID")]
    access_key: Option<String>,
    /// Secret access key [env: AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "KEY")]
    secret_access_key: Option<String>,
    /// Session token [env: AWS_SESSION_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    session_token: Option<String>,
    /// What all names begin with; end it with a slash for a folder.
    #[arg(long)]
    prefix: Option<String>,
    /// Speak plain HTTP.
    #[arg(long)]
    disable_tls: bool,
    /// Trust whoever answers.
    #[arg(long)]
    disable_tls_verification: bool,
    /// Look at a versioned bucket as it was at a time (RFC 3339); read-only.
    #[arg(long, value_name = "TIME")]
    point_in_time: Option<String>,
    /// Authority that signed the server's certificate, as PEM in base64 [env: ROOT_CA_PEM_BASE64]
    #[arg(long, value_name = "BASE64", conflicts_with = "root_ca_pem_path")]
    root_ca_pem_base64: Option<String>,
    /// The same as a PEM file.
    #[arg(long, value_name = "FILE")]
    root_ca_pem_path: Option<PathBuf>,
    /// Put the bucket into the host name for all servers.
    #[arg(long)]
    virtual_host_style: bool,
    /// Kept in the connection.
    #[arg(long, hide = true, value_name = "BYTES_PER_SEC")]
    max_download_speed: Option<f64>,
    /// Kept in the connection.
    #[arg(long, hide = true, value_name = "BYTES_PER_SEC")]
    max_upload_speed: Option<f64>,
}

impl Args {
    /// The store as a connection file describes it.
    pub(super) fn connection(&self, environment: &Environment, creates: bool) -> Result<ConnectionInfo> {
        let (endpoint, region) = self.place()?;
        let (access_key_id, secret_access_key) = self.keys(environment)?;
        let options = S3Options {
            prefix: self.prefix.clone().unwrap_or_default(),
            do_not_use_tls: self.disable_tls,
            do_not_verify_tls: self.disable_tls_verification,
            root_ca: self.authority(environment)?,
            session_token: or_variable(self.session_token.as_ref(), environment.aws_session_token.as_ref())
                .filter(|_| !access_key_id.is_empty())
                .unwrap_or_default(),
            access_key_id,
            secret_access_key,
            region,
            point_in_time: self.moment(creates)?,
            virtual_host_style: self.virtual_host_style,
            ..S3Options::new(endpoint, &self.bucket)
        };
        let mut info = ConnectionInfo::s3(&options)?;
        if let Value::Object(config) = &mut info.config {
            keep_speed(config, "maxDownloadSpeedBytesPerSecond", self.max_download_speed);
            keep_speed(config, "maxUploadSpeedBytesPerSecond", self.max_upload_speed);
        }
        Ok(info)
    }

    /// Endpoint and region.
    fn place(&self) -> Result<(String, String)> {
        let region = self.region.clone().unwrap_or_default();
        let has = |flag: &Option<String>| flag.as_deref().is_some_and(|text| !text.is_empty());
        match self.provider {
            Service::S3 if has(&self.account_id) => {
                Err(Failure::usage("--account-id is for --provider=r2 only"))
            }
            Service::S3 => Ok((self.endpoint.clone().unwrap_or_else(|| AMAZON.to_owned()), region)),
            Service::R2 if has(&self.endpoint) == has(&self.account_id) => {
                Err(Failure::usage("--provider=r2 needs either --account-id or --endpoint"))
            }
            Service::R2 => {
                let account = self.account_id.as_deref().map(r2_endpoint);
                let endpoint = account.or_else(|| self.endpoint.clone()).unwrap_or_default();
                Ok((endpoint, if region.is_empty() { R2_REGION.to_owned() } else { region }))
            }
        }
    }

    /// Both keys, or none.
    fn keys(&self, environment: &Environment) -> Result<(String, String)> {
        let id = or_variable(self.access_key.as_ref(), environment.aws_access_key_id.as_ref());
        let secret = or_variable(self.secret_access_key.as_ref(), environment.aws_secret_access_key.as_ref());
        match (id, secret) {
            (Some(id), Some(secret)) => Ok((id, secret)),
            (None, None) => Ok(Default::default()),
            _ => Err(Failure::usage("--access-key and --secret-access-key must be given together")),
        }
    }

    fn authority(&self, environment: &Environment) -> Result<Vec<u8>> {
        if let Some(path) = &self.root_ca_pem_path {
            let explain = format!("cannot read --root-ca-pem-path {}", path.display());
            return std::fs::read(environment.with_home(path)).explain(explain);
        }
        let text = self.root_ca_pem_base64.as_ref().or(environment.root_ca_pem_base64.as_ref());
        let Some(text) = text else { return Ok(Vec::new()) };
        STANDARD.decode(text).map_err(|_| Failure::usage("--root-ca-pem-base64 is not base64"))
    }

    fn moment(&self, creates: bool) -> Result<Option<Timestamp>> {
        let Some(text) = self.point_in_time.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if creates {
            return Err(Failure::usage("--point-in-time is not for new repositories"));
        }
        let moment = text.parse().map_err(|_| {
            Failure::usage(format!("--point-in-time: {text} is no time such as 2024-05-06T07:08:09Z"))
        });
        moment.map(Some)
    }
}

fn or_variable(given: Option<&String>, variable: Option<&Secret>) -> Option<String> {
    let of_variable = || variable.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
    given.cloned().filter(|text| !text.is_empty()).or_else(of_variable)
}
