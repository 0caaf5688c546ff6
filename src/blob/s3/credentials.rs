//! Who asks: keys of the connection, else what the machine provides; then, if there is one, the role they take.

use super::transport::{Transport, Trust};
use super::{S3Options, unusable};
use crate::blob::Result;
use crate::blob::remote::Timeouts;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use std::time::Duration;

/// Where Kopia's and our keys say they are from.
const SOURCE: &str = "connection";
const ROLE_SESSION: &str = "packhorse";

/// What signs requests.
pub(super) async fn provider(options: &S3Options, region: &str) -> Result<SharedCredentialsProvider> {
    if !options.web_identity_token.is_empty() {
        return Err(unusable("webIdentityToken is not supported: name a file (webIdentityTokenFile)"));
    }
    if !options.web_identity_token_file.is_empty() {
        return web_identity(options, region);
    }
    let own = match fixed(options) {
        Some(keys) => keys,
        None => chain(options, region).await?,
    };
    if options.role_arn.is_empty() {
        return Ok(own);
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(transport(options)?)
        .region(Region::new(role_region(options, region)))
        .credentials_provider(own);
    if !options.role_endpoint.is_empty() {
        loader = loader.endpoint_url(&options.role_endpoint);
    }
    let mut role = AssumeRoleProvider::builder(&options.role_arn)
        .region(Region::new(role_region(options, region)))
        .session_name(session_name(options));
    if let Some(length) = session_length(&options.duration) {
        role = role.session_length(length);
    }
    Ok(SharedCredentialsProvider::new(role.configure(&loader.load().await).build().await))
}

fn fixed(options: &S3Options) -> Option<SharedCredentialsProvider> {
    if options.access_key_id.is_empty() && options.secret_access_key.is_empty() {
        return None;
    }
    let token = Some(options.session_token.clone()).filter(|token| !token.is_empty());
    let keys = Credentials::new(&options.access_key_id, &options.secret_access_key, token, None, SOURCE);
    Some(SharedCredentialsProvider::new(keys))
}

/// Environment, profile, web identity, container, instance: what Amazon's tools look at, in their order. Token services
/// are public hosts and are trusted as the system does.
async fn chain(options: &S3Options, region: &str) -> Result<SharedCredentialsProvider> {
    let chain = DefaultCredentialsChain::builder().region(Region::new(region.to_owned())).configure(
        ProviderConfig::default()
            .with_http_client(transport(options)?)
            .with_region(Some(Region::new(region.to_owned()))),
    );
    Ok(SharedCredentialsProvider::new(chain.build().await))
}

/// Keys for a token of an identity provider, asked of Amazon's service.
fn web_identity(options: &S3Options, region: &str) -> Result<SharedCredentialsProvider> {
    let configuration = StaticConfiguration {
        web_identity_token_file: options.web_identity_token_file.clone().into(),
        role_arn: options.role_arn.clone(),
        session_name: session_name(options),
    };
    let provider = WebIdentityTokenCredentialsProvider::builder()
        .configure(
            &ProviderConfig::default()
                .with_http_client(transport(options)?)
                .with_region(Some(Region::new(role_region(options, region)))),
        )
        .static_configuration(configuration)
        .build();
    Ok(SharedCredentialsProvider::new(provider))
}

/// The way to token services, which have TLS also where the bucket has none.
fn transport(options: &S3Options) -> Result<Transport> {
    let own =
        Some(options.root_ca.as_slice()).filter(|pem| !pem.is_empty() && !options.role_endpoint.is_empty());
    Transport::new(&own.map_or(Trust::System, Trust::Authorities), &Timeouts::DEFAULT)
}

fn session_name(options: &S3Options) -> String {
    let name = Some(&options.session_name).filter(|name| !name.is_empty());
    name.map_or_else(|| ROLE_SESSION.to_owned(), String::clone)
}

fn role_region(options: &S3Options, region: &str) -> String {
    if options.role_region.is_empty() { region.to_owned() } else { options.role_region.clone() }
}

/// Text of a Go duration (`1h0m0s`), or nanoseconds; none for zero and for what is neither.
fn session_length(text: &str) -> Option<Duration> {
    let length = match text.parse::<u64>() {
        Ok(nanos) => Duration::from_nanos(nanos),
        Err(_) => go_duration(text)?,
    };
    (!length.is_zero()).then_some(length)
}

fn go_duration(text: &str) -> Option<Duration> {
    let mut whole = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        whole += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_sessions_are_go_s() {
        assert_eq!(session_length("1h0m0s"), Some(Duration::from_hours(1)));
        assert_eq!(session_length("1m30.5s"), Some(Duration::from_millis(90_500)));
        assert_eq!(session_length("5000000000"), Some(Duration::from_secs(5)));
        for nothing in ["0s", "", "0", "x", "1", "-1s", "1y"] {
            assert_eq!(session_length(nothing).filter(|length| length.as_secs() > 0), None, "{nothing}");
        }
    }
}
