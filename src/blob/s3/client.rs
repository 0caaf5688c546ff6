//! The SDK's client, made as a store of backups needs it: one attempt a call, no checksums that servers may not know.

use super::endpoint::Endpoint;
use super::transport::{Transport, Trust};
use super::{S3Options, credentials};
use crate::blob::Result;
use crate::blob::remote::Timeouts;
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Config, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

/// Makes a client that signs for `region`.
pub(super) async fn client(
    options: &S3Options,
    endpoint: &Endpoint,
    region: String,
    timeouts: &Timeouts,
) -> Result<Client> {
    let transport = Transport::new(&trust(options, endpoint), timeouts)?;
    let credentials = credentials::provider(options, &region).await?;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint.url())
        .force_path_style(endpoint.wants_path_style(options))
        .region(Region::new(region))
        .credentials_provider(credentials)
        .http_client(transport)
        // Retries and limits of time are ours: the same for every store, and counted once.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // The payload's SHA-256 is part of the signature; trailing checksums are unknown to many servers.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Client::from_conf(config))
}

fn trust<'a>(options: &'a S3Options, endpoint: &Endpoint) -> Trust<'a> {
    if endpoint.is_plain {
        Trust::Plain
    } else if options.do_not_verify_tls {
        Trust::Anybody
    } else if options.root_ca.is_empty() {
        Trust::System
    } else {
        Trust::Authorities(&options.root_ca)
    }
}
