//! Bodies of requests.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What is handed to the connection at once.
const FRAME_BYTES: usize = 64 << 10;

/// A body that says how much of it has gone; it shares the bytes.
pub(in crate::blob) struct Counted {
    rest: Bytes,
    count: Box<dyn Fn(u64) + Send + Sync>,
}

impl Counted {
    /// A body of `bytes`; `count` is told of each part that goes.
    pub(in crate::blob) fn new(bytes: Bytes, count: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { rest: bytes, count: Box::new(count) }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(FRAME_BYTES);
        let frame = self.rest.split_to(length);
        (self.count)(length as u64);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
