//! TLS without authorities: with whoever answers, or with the one whose certificate is known.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What an error says before the fingerprint that was found.
pub(super) const FINGERPRINT_MARK: &str = "another certificate: ";

/// Trusts the certificate with this SHA-256 (as hex) and no other, or anybody if there is none.
pub(in crate::blob) fn without_authorities(fingerprint: Option<&str>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let fingerprint = fingerprint.map(str::to_ascii_lowercase);
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has all versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Chosen { provider, fingerprint }))
        .with_no_client_auth()
}

/// Accepts every certificate, or one; signatures must be made with its key.
#[derive(Debug)]
struct Chosen {
    provider: Arc<CryptoProvider>,
    /// SHA-256 of the only certificate to accept, as lower-case hex.
    fingerprint: Option<String>,
}

impl ServerCertVerifier for Chosen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = hex::encode(Sha256::digest(certificate));
        if self.fingerprint.as_ref().is_none_or(|wanted| *wanted == found) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!("{FINGERPRINT_MARK}{found}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
