//! Every way in which a server or the line to it fails: the cause is named, the remedy with it, nothing secret is said, and
//! no call hangs. The server is a socket that says what it is told to.

use crate::support::chain;
use bytes::Bytes;
use packhorse::base::{Clock, ErrorClass, SeededEntropy, SystemClock};
use packhorse::blob::remote::Timeouts;
use packhorse::blob::{
    BlobId, Error, PutOptions, Retention, RetentionMode, Retrying, S3, S3Options, Storage, StorageExt,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SECRET: &str = "HUSH-secret";
const TOKEN: &str = "HUSH-token";
const NO_KEY: &str = "<Error><Code>NoSuchKey</Code><Message>HUSH</Message></Error>";

const SHORT: Timeouts = Timeouts {
    connect: Duration::from_millis(800),
    first_byte: Duration::from_millis(500),
    stall: Duration::from_millis(300),
    stall_bytes: 10,
    attempt: Duration::from_millis(2500),
    slowest_bytes_per_second: 1 << 30,
    unsent_bytes: 0,
};

/// A request as it came in, without its body.
pub(super) struct Request {
    pub(super) head: String,
    body_bytes: usize,
}

impl Request {
    fn read(socket: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if socket.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let header = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let body_bytes = head.lines().find_map(header).unwrap_or(0);
        Some(Self { head, body_bytes })
    }

    pub(super) fn skip_body(&self, socket: &mut TcpStream) {
        let mut body = vec![0; self.body_bytes];
        socket.read_exact(&mut body).ok();
    }
}

type Behaviour = dyn Fn(&mut TcpStream, &Request) + Send + Sync;

/// Listens until the process ends; `behave` answers all but the question for the hidden document.
pub(super) fn server(behave: impl Fn(&mut TcpStream, &Request) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let behave: Arc<Behaviour> = Arc::new(behave);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let behave = Arc::clone(&behave);
            std::thread::spawn(move || converse(&mut socket.unwrap(), &*behave));
        }
    });
    address
}

fn converse(socket: &mut TcpStream, behave: &Behaviour) {
    while let Some(request) = Request::read(socket) {
        if request.head.contains(".storageconfig") {
            socket.write_all(answer(404, "", NO_KEY).as_bytes()).ok();
        } else {
            behave(socket, &request);
        }
    }
}

pub(super) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn error_body(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>HUSH {SECRET}</Message></Error>")
}

pub(super) fn options(address: &str) -> S3Options {
    S3Options {
        do_not_use_tls: true,
        access_key_id: "HUSH-id".into(),
        secret_access_key: SECRET.into(),
        session_token: TOKEN.into(),
        ..S3Options::new(address, "the-bucket")
    }
}

fn open(options: S3Options) -> Result<Arc<dyn Storage>, Error> {
    S3::open(options, SHORT, Arc::new(SystemClock))
}

/// A store on a server that behaves so.
fn store(behave: impl Fn(&mut TcpStream, &Request) + Send + Sync + 'static) -> Arc<dyn Storage> {
    open(options(&server(behave))).unwrap()
}

/// A store on a server that gives this answer to everything.
fn answering(answer: String) -> Arc<dyn Storage> {
    store(move |socket, request| {
        request.skip_body(socket);
        socket.write_all(answer.as_bytes()).ok();
    })
}

fn id() -> BlobId {
    "p0123456789abcdef0123456789abcdef-s1".into()
}

#[track_caller]
pub(super) fn check(error: &Error, class: ErrorClass, parts: &[&str]) {
    let text = chain(error);
    assert_eq!(error.class(), class, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    for secret in ["HUSH", "Signature", "X-Amz", "?"] {
        assert!(!text.contains(secret), "{secret:?} is in: {text}");
    }
}

#[test]
fn answers_of_servers_are_named() {
    use ErrorClass::{Denied, Full, NoRepository, NotFound, Other, Unavailable, Unsupported};
    let coded = [
        (403, "AccessDenied", Denied, "permission to read"),
        (403, "InvalidAccessKeyId", Denied, "--access-key"),
        (403, "SignatureDoesNotMatch", Denied, "--secret-access-key"),
        (400, "ExpiredToken", Denied, "new credentials"),
        (404, "NoSuchBucket", NoRepository, "no bucket the-bucket"),
        (404, "NoSuchKey", NotFound, "is not in the store"),
        (503, "SlowDown", Unavailable, "throttling"),
        (429, "TooManyRequests", Unavailable, "throttling"),
        (500, "InternalError", Unavailable, "InternalError"),
        (400, "RequestTimeout", Unavailable, "RequestTimeout"),
        (507, "XMinioStorageFull", Full, "free space"),
        (403, "InvalidObjectState", Denied, "state of the bucket"),
        (501, "NotImplemented", Unsupported, "cannot do that"),
        (400, "SomethingElse", Other, "SomethingElse"),
        (400, "HUSH ?Signature", Other, "status 400"),
    ];
    for (status, code, class, part) in coded {
        let store = answering(answer(status, "", &error_body(code)));
        check(&store.get(&id(), None).unwrap_err(), class, &[part]);
    }
    for (status, class, part) in [
        (401, Denied, "permission"),
        (403, Denied, "permission"),
        (404, Other, "not one of an object store"),
        (408, Unavailable, "status 408"),
        (429, Unavailable, "throttling"),
        (500, Unavailable, "status 500"),
        (502, Unavailable, "status 502"),
        (503, Unavailable, "status 503"),
        (504, Unavailable, "status 504"),
        (507, Full, "no room"),
        (520, Unavailable, "status 520"),
    ] {
        check(&answering(answer(status, "", "")).get(&id(), None).unwrap_err(), class, &[part]);
    }
}

#[test]
fn clocks_and_regions_are_told_apart() {
    let skewed = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let store = answering(answer(403, skewed, &error_body("RequestTimeTooSkewed")));
    let error = store.get(&id(), None).unwrap_err();
    let ahead = SystemClock.now().as_seconds() - 1_420_070_400;
    check(&error, ErrorClass::Denied, &["this machine is", "ahead of the server's", "NTP"]);
    let told: i64 = chain(&error).split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!((told - ahead).abs() < 60, "{told} {ahead}");

    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'x' is wrong</Message>\
                <Region>eu-south-2</Region></Error>";
    let store = answering(answer(400, "", body));
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Invalid, &["--region eu-south-2"]);
    let store =
        answering(answer(301, "x-amz-bucket-region: sa-east-1\r\n", &error_body("PermanentRedirect")));
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Invalid, &["--region sa-east-1"]);
    let store = answering(answer(307, "", ""));
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Invalid, &["--endpoint"]);
}

#[test]
fn pages_for_people_are_no_answers() {
    let page = answer(200, "Content-Type: text/html\r\n", "<html><body>HUSH: please log in?</body></html>");
    let store = answering(page);
    let part = "not one of an object store";
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.metadata(&id()).unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.put_now(&id(), b"x").unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.delete(&id()).unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.delete_many(&[id()]).unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.list("p", &mut |_| Ok(())).unwrap_err(), ErrorClass::Other, &[part]);
    // Without a type, too: nothing in it is what a store says.
    let store = answering(answer(200, "", "welcome"));
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.put_now(&id(), b"x").unwrap_err(), ErrorClass::Other, &[part]);
    check(&store.list("p", &mut |_| Ok(())).unwrap_err(), ErrorClass::Other, &[part]);
}

#[test]
fn success_with_an_error_inside_is_none() {
    let store = answering(answer(200, "", &error_body("InternalError")));
    check(&store.list("p", &mut |_| Ok(())).unwrap_err(), ErrorClass::Unavailable, &["InternalError"]);
    let store = answering(answer(200, "", "<Something/>"));
    check(&store.list("p", &mut |_| Ok(())).unwrap_err(), ErrorClass::Other, &["not one of an object store"]);
    let partly = "<DeleteResult><Error><Key>p1</Key><Code>AccessDenied</Code></Error></DeleteResult>";
    let error = answering(answer(200, "", partly)).delete_many(&[id(), "p2".into()]).unwrap_err();
    check(&error, ErrorClass::Denied, &["permission to delete", "2 blobs"]);
}

#[test]
fn a_missing_bucket_is_no_missing_blob_even_where_answers_have_no_body() {
    let store = store(|socket, request| {
        let head_only = request.head.starts_with("HEAD");
        let body = if head_only { String::new() } else { error_body("NoSuchBucket") };
        socket.write_all(answer(404, "", &body).as_bytes()).ok();
    });
    let error = store.metadata(&id()).unwrap_err();
    check(&error, ErrorClass::NoRepository, &["no bucket"]);
}

#[test]
fn bodies_that_break_off_are_noticed() {
    let tag = "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n";
    let cut = format!("HTTP/1.1 200 OK\r\n{tag}Content-Length: 1000\r\n\r\nonly this");
    let store = store(move |socket, _| {
        socket.write_all(cut.as_bytes()).ok();
        socket.shutdown(Shutdown::Both).ok();
    });
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["9 of 1000 bytes"]);

    let store = answering(answer(200, tag, "abd"));
    check(&store.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["3 bytes", "checksum"]);
    let store = answering(answer(200, tag, "abc"));
    assert_eq!(store.get(&id(), None).unwrap(), b"abc");
}

#[test]
fn silence_ends() {
    let silent = store(|_, _| std::thread::sleep(Duration::from_secs(20)));
    check(&silent.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["did not answer"]);
    check(&silent.put_now(&id(), b"x").unwrap_err(), ErrorClass::Unavailable, &["did not answer"]);

    let stalled = store(|socket, _| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n0123").ok();
        std::thread::sleep(Duration::from_secs(20));
    });
    check(&stalled.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["download stalled", "4 bytes"]);

    let crawling = store(|socket, _| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n").ok();
        while socket.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    check(&crawling.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["download stalled"]);

    let endless = store(|socket, _| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 100000\r\n\r\n").ok();
        while socket.write_all(&[b'x'; 20]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    check(&endless.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["took longer than 2 s"]);

    // Takes nothing: what the system does not take any more stalls.
    let deaf = store(|_, _| std::thread::sleep(Duration::from_secs(20)));
    let much = Bytes::from(vec![7; 64 << 20]);
    let error = deaf.put(&id(), much, PutOptions::default()).unwrap_err();
    check(&error, ErrorClass::Unavailable, &["upload stalled"]);
}

#[test]
fn connections_that_fail_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check(&open(options(&closed)).unwrap_err(), ErrorClass::Unavailable, &[&closed, "refuses", "port"]);

    let error = open(options("no-such-host.invalid")).unwrap_err();
    check(&error, ErrorClass::Unavailable, &["no-such-host.invalid", "cannot be found"]);

    // Takes connections, as the system does for it, and never shakes hands.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let error = open(S3Options { do_not_use_tls: false, ..options(&address) }).unwrap_err();
    check(&error, ErrorClass::Unavailable, &["no connection to", &address, "check the network"]);

    let broken = store(|socket, _| {
        socket.shutdown(Shutdown::Both).ok();
    });
    check(&broken.get(&id(), None).unwrap_err(), ErrorClass::Unavailable, &["connection broke"]);

    let babbling = store(|socket, _| {
        socket.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").ok();
    });
    let error = babbling.get(&id(), None).unwrap_err();
    check(&error, error.class(), &["check"]);

    // TLS with a server that has none.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            socket.unwrap().write_all(answer(400, "Connection: close\r\n", "not HTTP").as_bytes()).ok();
        }
    });
    let error = open(S3Options { do_not_use_tls: false, ..options(&plain) }).unwrap_err();
    check(&error, error.class(), &["--disable-tls"]);
    let error =
        open(S3Options { do_not_use_tls: false, root_ca: b"x".into(), ..options(&plain) }).unwrap_err();
    check(&error, ErrorClass::Invalid, &["rootCA", "certificate"]);
}

#[test]
fn a_store_without_locks_says_so() {
    let body = "<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>";
    let store = answering(answer(400, "", body));
    let retention = Retention { mode: RetentionMode::Compliance, period: Duration::from_hours(24) };
    let put = PutOptions { retention: Some(retention), ..PutOptions::default() };
    for error in [
        store.put(&id(), Bytes::from_static(b"x"), put).unwrap_err(),
        store.extend_retention(&id(), retention).unwrap_err(),
    ] {
        check(&error, ErrorClass::Unsupported, &["object lock"]);
    }
}

/// What is sent: a length, a signed hash of the payload, an MD5 where locks want it, no chunks and no trailing checksum.
#[test]
fn puts_are_plain_requests_of_known_length() {
    let store = store(|socket, request| {
        request.skip_body(socket);
        let head = request.head.to_ascii_lowercase();
        let has = |part: &str| head.contains(part);
        let is_locked = has("x-amz-object-lock-mode: compliance");
        let good = has("content-length: 1234567\r\n")
            && has("content-type: application/x-kopia\r\n")
            && has("x-amz-content-sha256: ")
            && !has("unsigned-payload")
            && !has("streaming-")
            && !has("aws-chunked")
            && !has("transfer-encoding")
            && !has("trailer")
            && !has("x-amz-checksum")
            && !has("expect:")
            && has("content-md5: ") == is_locked
            && has("x-amz-object-lock-retain-until-date: 20") == is_locked;
        let status = if good { 200 } else { 400 };
        socket.write_all(answer(status, "ETag: \"x\"\r\n", "").as_bytes()).ok();
    });
    let data = Bytes::from(vec![1; 1_234_567]);
    store.put(&id(), data.clone(), PutOptions::default()).unwrap();
    let retention = Retention { mode: RetentionMode::Compliance, period: Duration::from_hours(24) };
    store.put(&id(), data, PutOptions { retention: Some(retention), ..PutOptions::default() }).unwrap();
}

#[test]
fn deletes_go_one_by_one_where_batches_are_unknown() {
    let singles = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&singles);
    let store = store(move |socket, request| {
        request.skip_body(socket);
        let reply = if request.head.starts_with("DELETE") {
            counted.fetch_add(1, Ordering::Relaxed);
            answer(204, "", "")
        } else {
            answer(501, "", &error_body("NotImplemented"))
        };
        socket.write_all(reply.as_bytes()).ok();
    });
    store.delete_many(&["p1".into(), "p2".into(), "p3".into()]).unwrap();
    assert_eq!(singles.load(Ordering::Relaxed), 3);
}

#[test]
fn passing_faults_are_hidden_and_lasting_ones_asked_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let inner = store(move |socket, _| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        let reply = match call {
            0 => answer(503, "Retry-After: 1\r\n", &error_body("SlowDown")),
            1 => answer(500, "", &error_body("InternalError")),
            2 => answer(200, "ETag: \"x\"\r\n", "data"),
            _ => answer(403, "", &error_body("AccessDenied")),
        };
        socket.write_all(reply.as_bytes()).ok();
    });
    let store = Retrying::with_jitter(inner, Arc::new(SystemClock), Arc::new(SeededEntropy::new(1)));
    let before = SystemClock.now();
    assert_eq!(store.get(&id(), None).unwrap(), b"data");
    assert!(SystemClock.now().nanos_since(before) >= 1_000_000_000, "the pause that was asked for");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    store.get(&id(), None).unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 4, "refused permission is not asked for again");
}
