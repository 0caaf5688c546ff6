//! What the SDK's client does not do with TLS: look at authorities before they are used, and trust anybody.

use super::unusable;
use crate::blob::Result;
use crate::blob::remote::{Timeouts, without_authorities};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Refuses authorities that are no certificates.
pub(super) fn check_authorities(pem: &[u8]) -> Result<()> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.map(|certificate| store.add(certificate));
        if !matches!(added, Ok(Ok(()))) {
            return Err(unusable("rootCA holds something that is no certificate"));
        }
    }
    if store.is_empty() { Err(unusable("rootCA holds no PEM certificate")) } else { Ok(()) }
}

/// A client that talks to whoever answers, as `--disable-tls-verification` wants it.
pub(super) fn of_anybody(timeouts: &Timeouts) -> SharedHttpConnector {
    let config = without_authorities(None);
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeouts.connect));
    let client = Client::builder(TokioExecutor::new()).build(HttpsConnector::from((tcp, config)));
    SharedHttpConnector::new(Unverified(client))
}

#[derive(Debug)]
struct Unverified(Client<HttpsConnector<TcpConnector>, SdkBody>);

impl HttpConnector for Unverified {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
