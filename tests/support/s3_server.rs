//! An S3 server in this process, over TCP: s3s with its store in a folder. Keys are checked.

use packhorse::blob::S3Options;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::PutObjectInput;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Request, S3Result, s3_error};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub(crate) const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
pub(crate) const SECRET_KEY: &str = "HUSH/secret+key/of/the/test/server/HUSH12";

/// The server; ends when dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    folder: TempDir,
    buckets: AtomicUsize,
    runtime: Option<Runtime>,
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = service(folder.path());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, service));
        Self { address, folder, buckets: AtomicUsize::new(0), runtime: Some(runtime) }
    }

    /// Host and port.
    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// A bucket that was not there before.
    pub(crate) fn new_bucket(&self) -> String {
        let name = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(self.path_of(&name)).unwrap();
        name
    }

    /// Where the objects of a bucket are, each a file.
    pub(crate) fn path_of(&self, bucket: &str) -> PathBuf {
        self.folder.path().join(bucket)
    }

    /// What opens a bucket.
    pub(crate) fn options(&self, bucket: &str) -> S3Options {
        S3Options {
            do_not_use_tls: true,
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: SECRET_KEY.to_owned(),
            ..S3Options::new(self.endpoint(), bucket)
        }
    }

    /// Flags of `repository create s3` and `connect s3` for a bucket.
    pub(crate) fn flags(&self, bucket: &str) -> Vec<String> {
        [
            "s3".to_owned(),
            format!("--endpoint={}", self.endpoint()),
            format!("--bucket={bucket}"),
            format!("--access-key={ACCESS_KEY}"),
            format!("--secret-access-key={SECRET_KEY}"),
            "--disable-tls".to_owned(),
        ]
        .to_vec()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn service(folder: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    builder.set_access(Rules { folder: folder.to_owned() });
    builder.build()
}

async fn serve(listener: TcpListener, service: S3Service) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(socket), service.clone());
        tokio::spawn(connection);
    }
}

/// What the store in a folder does not do: answers for missing buckets, and refuses locks, as Amazon does for buckets
/// without them.
struct Rules {
    folder: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for Rules {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let bucket = match context.s3_path() {
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => bucket,
            S3Path::Root => return Ok(()),
        };
        if self.folder.join(&**bucket).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    async fn put_object(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        match request.input.object_lock_mode {
            Some(_) => Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")),
            None => Ok(()),
        }
    }
}
