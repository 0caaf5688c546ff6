//! Who is trusted: a server behind TLS whose authority nobody knows but the test (`tests/fixtures/tls`; the key of that
//! authority was thrown away).

use super::failures::{answer, check, options};
use packhorse::base::{ErrorClass, SystemClock};
use packhorse::blob::remote::Timeouts;
use packhorse::blob::{Error, S3, S3Options, Storage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

const AUTHORITY: &[u8] = include_bytes!("../fixtures/tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("../fixtures/tls/server.pem");
const KEY: &[u8] = include_bytes!("../fixtures/tls/server.key.pem");

/// Answers everything with the same bytes; its port.
fn server() -> u16 {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket.unwrap());
            std::thread::spawn(move || {
                let reply = answer(200, "ETag: \"x\"\r\n", "{}");
                let mut request = [0; 8192];
                while stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                    stream.write_all(reply.as_bytes()).ok();
                }
            });
        }
    });
    port
}

fn open(options: S3Options) -> Result<Arc<dyn Storage>, Error> {
    S3::open(options, Timeouts::DEFAULT, Arc::new(SystemClock))
}

#[test]
fn only_authorities_that_were_named_are_trusted() {
    let port = server();
    let behind_tls = |host: &str| S3Options { do_not_use_tls: false, ..options(&format!("{host}:{port}")) };
    let here = behind_tls("127.0.0.1");
    let named = S3Options { root_ca: AUTHORITY.into(), ..here.clone() };
    let store = open(named.clone()).unwrap();
    assert_eq!(store.get(&"p1".into(), None).unwrap(), b"{}");

    // The authority of another server.
    let other = S3Options { root_ca: CERTIFICATE.into(), ..here.clone() };
    let error = open(other).unwrap_err();
    check(&error, ErrorClass::Denied, &["127.0.0.1", "is not trusted", "--root-ca-pem-path"]);

    // The right authority, the wrong name.
    let elsewhere = S3Options { endpoint: format!("127.0.0.2:{port}"), ..named };
    check(&open(elsewhere).unwrap_err(), ErrorClass::Denied, &["127.0.0.2", "is not trusted"]);

    let anybody = S3Options { do_not_verify_tls: true, ..here };
    let store = open(anybody).unwrap();
    assert_eq!(store.get(&"p1".into(), None).unwrap(), b"{}");
}
