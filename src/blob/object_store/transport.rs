//! How requests of the services go out: by our client, with its limits of time, and with a note of what went wrong.

use crate::base::ErrorClass;
use crate::blob::remote::{Cause, Http};
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};
use parking_lot::Mutex;
use reqwest::{Body, Url};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

tokio::task_local! {
    /// What the last request of a call came to.
    pub(super) static NOTE: Arc<Mutex<Option<Cause>>>;
}

/// Sends requests by our client.
pub(super) struct Transport(pub(super) Http);

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>, Error> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())
            .map_err(|_| Error::new(ErrorKind::ConfigInvalid, "the address cannot be used"))?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        let body = body.to_bytes();
        if body.is_empty() {
            // Length 0 must be said, not left out.
            *request.body_mut() =
                request.headers().contains_key("content-length").then(|| Body::from(Bytes::new()));
        }
        let answer = match self.0.send(request, body).await {
            Ok(answer) => answer,
            Err(cause) => {
                let is_temporary = cause.class() == ErrorClass::Unavailable;
                note(cause);
                return Err(Error::new(ErrorKind::Unexpected, "no answer").with_temporary(is_temporary));
            }
        };
        if answer.status >= 300 {
            note(answer.cause("do this", word(&answer.body)));
        }
        let mut response = Response::builder().status(answer.status).extension(head.uri);
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers;
        }
        let length = answer.body.len() as u64;
        response
            .body(HttpBody::new(Once(Some(answer.body)), Some(length)))
            .map_err(|_| Error::new(ErrorKind::Unexpected, "the answer cannot be used"))
    }
}

fn note(cause: Cause) {
    // Outside of a call nobody asks.
    let _unasked = NOTE.try_with(|note| *note.lock() = Some(cause));
}

/// A service's word for what went wrong: letters only, so that no text of a server, and no secret in it, is repeated.
fn word(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..4096).unwrap_or(body));
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest.trim_start_matches([' ', ':', '"']));
    let word =
        after("<Code>").or_else(|| after("\"code\"")).or_else(|| after("\"reason\"")).unwrap_or_default();
    word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect()
}

/// A body that has come already.
struct Once(Option<Bytes>);

impl Stream for Once {
    type Item = Result<Buffer, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Buffer::from(bytes))))
    }
}
