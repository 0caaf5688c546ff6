//! A proxy between a client and an HTTP server that spoils chosen requests, on plain sockets: what is on the wire is what
//! it does, and nothing in between mends it.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// Nothing.
    Nothing,
    /// The connection is closed before the server has heard of it.
    Reset,
    /// The server does as it is told, and the connection is closed before it can say so.
    ResetAfter,
    /// An answer with this status and an S3 error code, which the server never heard of.
    Status(u16, &'static str),
    /// The server does as it is told, and the answer says otherwise.
    StatusAfter(u16, &'static str),
    /// Half of the body, then the end of the connection.
    Truncate,
    /// One bit of the body is another one.
    Flip,
    /// Half of the body, and then a byte a second.
    Trickle,
    /// No answer at all, on an open connection.
    Silence,
    /// A page for people with status 200, as from a hotel's network.
    Page,
    /// An S3 error in an answer with status 200.
    ErrorIn200,
    /// An answer that was right for the same question some time ago.
    Stale,
}

type Plan = dyn Fn(u64, &Request) -> Spoil + Send + Sync;

/// What is known of a request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

struct Shared {
    server: SocketAddr,
    plan: Mutex<Box<Plan>>,
    requests: AtomicU64,
    stopped: AtomicBool,
    /// First answers to questions for which a stale one may be wanted.
    earlier: Mutex<HashMap<String, Vec<u8>>>,
}

/// The proxy; it ends when it is dropped.
pub(crate) struct FaultProxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// Starts a proxy to `server` that spoils nothing.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::new(Box::new(|_, _| Spoil::Nothing)),
            requests: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            earlier: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // An error is a connection that ended, which is what clients have to live with.
                std::thread::spawn(move || client.and_then(|client| serve(&shared, &client)).ok());
            }
        });
        Self { address, shared }
    }

    /// From now on requests, numbered from 0, are treated as `plan` says.
    pub(crate) fn plan(&self, plan: impl Fn(u64, &Request) -> Spoil + Send + Sync + 'static) {
        *self.shared.plan.lock() = Box::new(plan);
        self.shared.requests.store(0, Ordering::Relaxed);
    }

    /// Requests since the last plan.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a client.
        TcpStream::connect(self.address).ok();
    }
}

/// One request, one answer, end: a connection that is kept would hide half of what can go wrong.
fn serve(shared: &Shared, client: &TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut reader = BufReader::new(client);
    let request = read_request(&mut reader, client)?;
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let spoil = (shared.plan.lock())(number, &request);
    match spoil {
        Spoil::Reset => Ok(()),
        Spoil::Silence => wait_for_end(shared, client),
        Spoil::Status(status, code) => answer_error(client, status, code),
        Spoil::Page => answer(client, "200 OK", "text/html", b"<html><body>Please sign in.</body></html>"),
        _ => spoil_answer(shared, client, &request, spoil),
    }
}

fn spoil_answer(shared: &Shared, client: &TcpStream, request: &Request, spoil: Spoil) -> io::Result<()> {
    let question = format!("{} {}", request.method, request.target);
    let answered = forward(shared.server, request)?;
    let earlier = shared.earlier.lock().entry(question).or_insert_with(|| answered.clone()).clone();
    let (head, body) = split(&answered);
    match spoil {
        Spoil::ResetAfter => Ok(()),
        Spoil::StatusAfter(status, code) => answer_error(client, status, code),
        Spoil::ErrorIn200 => {
            answer(client, "200 OK", "application/xml", error_document("InternalError").as_bytes())
        }
        Spoil::Stale => send(client, &earlier),
        Spoil::Truncate => send(client, &[head, &body[..body.len() / 2]].concat()),
        Spoil::Flip if !body.is_empty() => {
            let mut body = body.to_vec();
            let at = body.len() / 2;
            body[at] ^= 1;
            send(client, &[head, &body].concat())
        }
        Spoil::Trickle if body.len() > 1 => trickle(shared, client, head, body),
        _ => send(client, &answered),
    }
}

fn trickle(shared: &Shared, client: &TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let half = body.len() / 2;
    send(client, &[head, &body[..half]].concat())?;
    for byte in &body[half..] {
        if shared.stopped.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        send(client, &[*byte])?;
    }
    Ok(())
}

/// Keeps the connection until the client has had enough.
fn wait_for_end(shared: &Shared, mut client: &TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_millis(200)))?;
    while !shared.stopped.load(Ordering::Relaxed) {
        match client.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    if request.header("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// The server's whole answer.
fn forward(server: SocketAddr, request: &Request) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(server)?;
    let is_passed_on =
        |name: &str| !["connection", "expect"].iter().any(|own| name.eq_ignore_ascii_case(own));
    let passed_on = request.headers.iter().filter(|(name, _)| is_passed_on(name));
    let headers: String = passed_on.flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let (method, target) = (&request.method, &request.target);
    let head = format!("{method} {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(&request.body)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}

fn split(answer: &[u8]) -> (&[u8], &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    answer.split_at(end)
}

fn answer_error(client: &TcpStream, status: u16, code: &str) -> io::Result<()> {
    answer(client, &format!("{status} Planted"), "application/xml", error_document(code).as_bytes())
}

fn error_document(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>planted</Message>\
         <RequestId>1</RequestId></Error>"
    )
}

fn answer(client: &TcpStream, status: &str, kind: &str, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    send(client, &[head.as_bytes(), body].concat())
}

fn send(mut client: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes)
}
