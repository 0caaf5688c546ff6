//! The way to the server: connections are pooled, bytes are counted, heads of answers are noted.

use super::call::Call;
use crate::blob::Result;
use crate::blob::remote::{Counted, Timeouts};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use std::time::Duration;

/// Connections that wait for their next request; as many requests as are in flight at once.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Load balancers forget connections after a minute.
const IDLE_TIME_MAX: Duration = Duration::from_secs(45);

/// Whom to trust.
pub(super) enum Trust<'a> {
    /// Nobody is asked: plain HTTP.
    Plain,
    /// The system's authorities.
    System,
    /// These, as PEM.
    Authorities(&'a [u8]),
    /// Anybody.
    Anybody,
}

/// A client for the SDK.
#[derive(Debug, Clone)]
pub(super) struct Transport(SharedHttpConnector);

impl Transport {
    /// # Errors
    /// [`Error::Other`](crate::blob::Error::Other) for authorities that are no certificates.
    pub(super) fn new(trust: &Trust<'_>, timeouts: &Timeouts) -> Result<Self> {
        let builder = || {
            let settings = HttpConnectorSettings::builder().connect_timeout(timeouts.connect).build();
            let mut builder = Connector::builder();
            builder
                .set_connector_settings(Some(settings))
                .set_pool_idle_timeout(Some(Some(IDLE_TIME_MAX)))
                .set_pool_max_idle_per_host(Some(IDLE_CONNECTIONS_MAX))
                .set_enable_tcp_nodelay(true)
                .set_proxy_config(Some(ProxyConfig::from_env()));
            builder
        };
        Ok(Self(match trust {
            Trust::Plain => SharedHttpConnector::new(builder().build_http()),
            Trust::System => with_tls(builder(), TrustStore::default())?,
            Trust::Authorities(pem) => with_tls(builder(), authorities(pem)?)?,
            Trust::Anybody => super::tls::of_anybody(timeouts),
        }))
    }
}

fn with_tls(builder: ConnectorBuilder, store: TrustStore) -> Result<SharedHttpConnector> {
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| super::unusable(&format!("TLS cannot be set up: {error}")))?;
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    Ok(SharedHttpConnector::new(builder.tls_provider(provider).tls_context(context).build()))
}

fn authorities(pem: &[u8]) -> Result<TrustStore> {
    super::tls::check_authorities(pem)?;
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

impl HttpClient for Transport {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Transport {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let Some(call) = request.extension::<Call>().cloned() else { return self.0.call(request) };
        if !call.body().is_empty() {
            let counter = call.clone();
            *request.body_mut() = SdkBody::from_body_1_x(Counted::new(call.body().clone(), move |bytes| {
                counter.progress().sent(bytes);
            }));
        }
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            call.note(&response);
            Ok(response)
        })
    }
}
