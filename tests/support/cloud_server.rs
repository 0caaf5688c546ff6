//! What Azure and Google's cloud answer, just large enough for a repository. Both keep the same objects.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Objects by name, with the seconds of their times.
type Objects = Mutex<BTreeMap<String, (Bytes, i64)>>;

/// Runs until the process ends. The bucket or container is `c`.
pub(crate) struct CloudServer {
    /// Its address.
    pub(crate) url: String,
    /// A status to answer everything with, or 0.
    pub(crate) status: Arc<AtomicU16>,
    /// What it keeps.
    pub(crate) objects: Arc<Objects>,
}

impl CloudServer {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (status, objects) = (Arc::new(AtomicU16::new(0)), Arc::new(Objects::default()));
        let (forced, kept) = (Arc::clone(&status), Arc::clone(&objects));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (forced, kept) = (Arc::clone(&forced), Arc::clone(&kept));
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            let (forced, kept) = (Arc::clone(&forced), Arc::clone(&kept));
                            async move { Ok::<_, std::convert::Infallible>(serve(request, &forced, &kept).await) }
                        });
                        let server = hyper::server::conn::http1::Builder::new();
                        server.serve_connection(TokioIo::new(stream), service).await.ok();
                    });
                }
            });
        });
        Self { url, status, objects }
    }
}

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap(), rest.next().unwrap()];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn serve(request: Request<Incoming>, forced: &AtomicU16, objects: &Objects) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = forced.load(Ordering::Relaxed);
    if status != 0 {
        return answer(status, "<Error><Code>AsTheTestWants</Code><Message>HUSH</Message></Error>");
    }
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), decoded(value)))
        })
        .collect();
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let path = head.uri.path();
    if path == "/upload/storage/v1/b/c/o" {
        let item = google_item(&query["name"], &body, now());
        objects.lock().unwrap().insert(query["name"].clone(), (body, now()));
        return answer(200, item);
    }
    if path == "/storage/v1/b/c/o" {
        return google_list(objects, &prefix);
    }
    let google = path.strip_prefix("/storage/v1/b/c/o/");
    if path.trim_end_matches('/') == "/c" && query.get("comp").is_some_and(|comp| comp == "list") {
        return azure_list(objects, &prefix);
    }
    let Some(name) = google.or_else(|| path.strip_prefix("/c/")).map(decoded) else {
        return answer(404, "<Error><Code>ContainerNotFound</Code></Error>");
    };
    match head.method.as_str() {
        "PUT" => {
            objects.lock().unwrap().insert(name, (body, now()));
            answer(201, "")
        }
        "DELETE" => answer(if objects.lock().unwrap().remove(&name).is_some() { 202 } else { 404 }, ""),
        method => match objects.lock().unwrap().get(&name) {
            None => answer(404, ""),
            Some((data, at)) if google.is_some() && !query.contains_key("alt") => {
                answer(200, google_item(&name, data, *at))
            }
            Some((data, at)) => object(data, *at, method == "HEAD", header("range").or(header("x-ms-range"))),
        },
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn http_time(at: i64) -> String {
    jiff::Timestamp::from_second(at).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn object(data: &Bytes, at: i64, is_head: bool, range: Option<String>) -> Response<Full<Bytes>> {
    let response = Response::builder().header("last-modified", http_time(at));
    if is_head {
        return response.header("content-length", data.len()).body(Full::default()).unwrap();
    }
    let Some(range) = range else { return response.body(Full::new(data.clone())).unwrap() };
    let (begin, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (begin, last): (usize, usize) = (begin.parse().unwrap(), last.parse().unwrap());
    if begin >= data.len() {
        return answer(416, "<Error><Code>InvalidRange</Code></Error>");
    }
    let end = data.len().min(last + 1);
    let shown = format!("bytes {begin}-{}/{}", end - 1, data.len());
    response.status(206).header("content-range", shown).body(Full::new(data.slice(begin..end))).unwrap()
}

fn google_item(name: &str, data: &Bytes, at: i64) -> String {
    let updated = jiff::Timestamp::from_second(at).unwrap();
    format!(
        r#"{{"name":"{name}","size":"{}","updated":"{updated}","etag":"e","generation":"1"}}"#,
        data.len()
    )
}

fn google_list(objects: &Objects, prefix: &str) -> Response<Full<Bytes>> {
    let objects = objects.lock().unwrap();
    let found = objects.iter().filter(|(name, _)| name.starts_with(prefix));
    let items: Vec<String> = found.map(|(name, (data, at))| google_item(name, data, *at)).collect();
    answer(200, format!(r#"{{"items":[{}]}}"#, items.join(",")))
}

fn azure_list(objects: &Objects, prefix: &str) -> Response<Full<Bytes>> {
    let mut text = "<?xml version=\"1.0\"?><EnumerationResults><Blobs>".to_owned();
    for (name, (data, at)) in objects.lock().unwrap().iter().filter(|(name, _)| name.starts_with(prefix)) {
        write!(
            text,
            "<Blob><Name>{name}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>e</Etag>\
             <Content-Length>{}</Content-Length><Content-Type>x</Content-Type><Content-MD5 /></Properties></Blob>",
            http_time(*at),
            data.len()
        )
        .unwrap();
    }
    text.push_str("</Blobs><NextMarker /></EnumerationResults>");
    answer(200, text)
}
