//! A WebDAV server over a folder, just large enough for a repository.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::UNIX_EPOCH;
use tokio::net::TcpListener;

/// Runs until the process ends.
pub(crate) struct DavServer {
    /// Address of the folder.
    pub(crate) url: String,
    /// A status to answer everything with, or 0.
    pub(crate) status: Arc<AtomicU16>,
}

/// `Authorization` of the user `u` with the password `p`.
const AUTHORIZATION: &str = "Basic dTpw";

impl DavServer {
    /// Serves `folder` under `/dav/`.
    pub(crate) fn start(folder: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/dav", listener.local_addr().unwrap());
        let status = Arc::new(AtomicU16::new(0));
        let (folder, forced) = (folder.to_owned(), Arc::clone(&status));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (folder, forced) = (folder.clone(), Arc::clone(&forced));
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            let (folder, forced) = (folder.clone(), Arc::clone(&forced));
                            async move {
                                Ok::<_, std::convert::Infallible>(serve(request, &folder, &forced).await)
                            }
                        });
                        let server = hyper::server::conn::http1::Builder::new();
                        server.serve_connection(TokioIo::new(stream), service).await.ok();
                    });
                }
            });
        });
        Self { url, status }
    }
}

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

fn path_of(folder: &Path, address: &str) -> Option<PathBuf> {
    let below = address.split_once("/dav").map(|(_, below)| below.trim_matches('/'))?;
    Some(if below.is_empty() { folder.to_owned() } else { folder.join(below) })
}

async fn serve(request: Request<Incoming>, folder: &Path, forced: &AtomicU16) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match forced.load(Ordering::Relaxed) {
        0 if header("authorization").as_deref() == Some(AUTHORIZATION) => {}
        0 => {
            let mut refusal = answer(401, "who are you");
            refusal.headers_mut().insert("www-authenticate", "Basic realm=\"test\"".parse().unwrap());
            return refusal;
        }
        status => return answer(status, "as the test wants it"),
    }
    let Some(path) = path_of(folder, head.uri.path()) else { return answer(404, "") };
    match head.method.as_str() {
        "GET" => get(&path, header("range").as_deref()),
        "PUT" => put(&path, &body),
        "DELETE" => of(fs::remove_file(&path), 204),
        "MKCOL" => match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => answer(409, ""),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => answer(405, ""),
            outcome => of(outcome, 201),
        },
        "MOVE" => of(fs::rename(&path, path_of(folder, &header("destination").unwrap()).unwrap()), 201),
        "PROPFIND" => propfind(folder, &path, header("depth").as_deref() == Some("1")),
        _ => answer(405, ""),
    }
}

fn of(outcome: std::io::Result<()>, good: u16) -> Response<Full<Bytes>> {
    match outcome {
        Ok(()) => answer(good, ""),
        Err(error) if error.kind() == ErrorKind::NotFound => answer(404, ""),
        Err(_) => answer(500, ""),
    }
}

fn get(path: &Path, range: Option<&str>) -> Response<Full<Bytes>> {
    let Ok(data) = fs::read(path) else { return answer(404, "") };
    let Some(range) = range else { return answer(200, data) };
    let (begin, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (begin, last): (usize, usize) = (begin.parse().unwrap(), last.parse().unwrap());
    if begin >= data.len() {
        return answer(416, "");
    }
    answer(206, data[begin..data.len().min(last + 1)].to_vec())
}

#[expect(clippy::disallowed_methods, reason = "a server's files, which nobody needs to keep")]
fn put(path: &Path, body: &[u8]) -> Response<Full<Bytes>> {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let hidden = path.with_extension(format!("hidden{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    match fs::write(&hidden, body).and_then(|()| fs::rename(&hidden, path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => answer(409, ""),
        outcome => of(outcome, 201),
    }
}

fn propfind(folder: &Path, path: &Path, with_members: bool) -> Response<Full<Bytes>> {
    let mut found = vec![path.to_owned()];
    if with_members && path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut text = "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">".to_owned();
    for (number, one) in found.iter().enumerate() {
        match fs::metadata(one) {
            Ok(metadata) => describe(&mut text, folder, one, &metadata),
            Err(_) if number == 0 => return answer(404, ""),
            Err(_) => {}
        }
    }
    text.push_str("</D:multistatus>");
    answer(207, text)
}

fn describe(text: &mut String, folder: &Path, one: &Path, metadata: &fs::Metadata) {
    let below = one.strip_prefix(folder).unwrap().to_str().unwrap();
    let seconds = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap();
    let time = time.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let (kind, slash) = if metadata.is_dir() { ("<D:collection/>", "/") } else { ("", "") };
    write!(
        text,
        "<D:response><D:href>/dav/{below}{slash}</D:href><D:propstat><D:prop><D:resourcetype>{kind}\
         </D:resourcetype><D:getcontentlength>{}</D:getcontentlength><D:getlastmodified>{time}\
         </D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
        metadata.len()
    )
    .unwrap();
}
