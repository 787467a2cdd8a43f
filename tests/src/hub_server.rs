//! A hub on this machine: the list of files, files by commit, and large ones by redirect to a
//! second server, as the real one has it. What a test wants otherwise, it does to the answers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The commit that `main` stands for.
pub const MAIN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The commit that `v1` stands for.
pub const V1: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whether the second server was asked, which large files are on.
    pub cdn: bool,
    /// The path and query of the address.
    pub path: String,
    /// The first byte of the range that was asked for.
    pub start: Option<u64>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// Requests for the same before this one.
    pub earlier: usize,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides `Connection` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    /// The body, which `Content-Length` counts.
    pub body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    pub cut: Option<usize>,
    /// How long the connection stays open, silent, before the cut.
    pub stall: Duration,
}

impl Answer {
    /// An answer with this status, and no body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut: None,
            stall: Duration::ZERO,
        }
    }

    /// The answer with a header, in place of one of that name.
    pub fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(name, _)| *name != header);
        self.headers.push((header, value.to_string()));
        self
    }

    /// The answer with a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer, whose connection is cut after so many bytes of the body.
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

type Rule = dyn Fn(&Request, Answer) -> Answer + Send + Sync;

struct State {
    repo: &'static str,
    files: BTreeMap<String, Vec<u8>>,
    rule: Box<Rule>,
    log: Mutex<Vec<Request>>,
    cdn: SocketAddr,
}

/// The running server.
pub struct Hub {
    address: SocketAddr,
    state: Arc<State>,
}

impl Hub {
    /// A hub with one repository, that behaves.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(repo: &'static str, files: &[(&str, Vec<u8>)]) -> Self {
        Self::with(repo, files, |_, answer| answer)
    }

    /// One whose answers pass through `rule` first.
    ///
    /// # Panics
    /// There is no free port.
    pub fn with(
        repo: &'static str,
        files: &[(&str, Vec<u8>)],
        rule: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (hub, cdn) = (listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let files = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.clone()))
            .collect();
        let state = State {
            repo,
            files,
            rule: Box::new(rule),
            log: Mutex::default(),
            cdn: address(&cdn),
        };
        let server = Self {
            address: address(&hub),
            state: Arc::new(state),
        };
        for (listener, cdn) in [(hub, false), (cdn, true)] {
            let state = Arc::clone(&server.state);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    thread::spawn(move || serve(&state, cdn, &stream));
                }
            });
        }
        server
    }

    /// The address, as `HF_ENDPOINT` has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last look.
    ///
    /// # Panics
    /// A thread of the server panicked.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.log.lock().expect("the log"))
    }

    /// Of those, the ranges of large files.
    ///
    /// # Panics
    /// A thread of the server panicked.
    pub fn ranges(&self) -> Vec<Option<u64>> {
        self.requests()
            .into_iter()
            .filter(|request| request.cdn)
            .map(|request| request.start)
            .collect()
    }
}

/// Files ending like this are large ones to the hub.
fn is_large(path: &str) -> bool {
    path.ends_with(".gguf") || path.ends_with(".safetensors")
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn git_blob(bytes: &[u8]) -> String {
    let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    Sha1::digest(&blob)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn serve(state: &State, cdn: bool, stream: &TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut first = lines.next()?.ok()?;
    if first.starts_with("CONNECT ") {
        // As a proxy, which is every host itself.
        while !lines.next()?.ok()?.is_empty() {}
        let mut out: &TcpStream = stream;
        out.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        first = lines.next()?.ok()?;
    }
    let path = first
        .split(' ')
        .nth(1)?
        .trim_start_matches("http://hub.example")
        .to_owned();
    let (mut start, mut authorization) = (None, None);
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                start = Some(
                    value
                        .strip_prefix("bytes=")?
                        .strip_suffix('-')?
                        .parse()
                        .ok()?,
                )
            }
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let request = {
        let mut log = state.log.lock().expect("the log");
        let earlier = log
            .iter()
            .filter(|request| request.cdn == cdn && request.path == path)
            .count();
        log.push(Request {
            cdn,
            path,
            start,
            authorization,
            earlier,
        });
        log.last()?.clone()
    };
    let answer = (state.rule)(&request, answer(state, &request));
    send(stream, &answer).ok()
}

/// The hub's answer.
fn answer(state: &State, request: &Request) -> Answer {
    let path = request.path.as_str();
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let commit = match rest
            .strip_prefix(state.repo)
            .and_then(|rest| rest.strip_prefix("/revision/"))
        {
            Some("main?blobs=true") => MAIN,
            Some("v1?blobs=true" | "refs%2Fpr%2F1?blobs=true") => V1,
            Some(_) => return Answer::status(404).with("X-Error-Code", "RevisionNotFound"),
            None => return Answer::status(401).with("X-Error-Code", "RepoNotFound"),
        };
        let sibling = |(path, bytes): (&String, &Vec<u8>)| {
            let mut sibling =
                json!({ "rfilename": path, "size": bytes.len(), "blobId": git_blob(bytes) });
            if is_large(path) {
                sibling["lfs"] =
                    json!({ "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134 });
            }
            sibling
        };
        let siblings: Vec<_> = state.files.iter().map(sibling).collect();
        let list = json!({ "id": state.repo, "sha": commit, "gated": false, "siblings": siblings });
        return Answer::status(200).body(list.to_string());
    }
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(state.repo));
    let file = rest
        .and_then(|rest| rest.strip_prefix("/resolve/"))
        .and_then(|rest| rest.split_once('/'));
    let Some((path, bytes)) = file.and_then(|(_, path)| state.files.get_key_value(path)) else {
        return Answer::status(404).with("X-Error-Code", "EntryNotFound");
    };
    if is_large(path) && !request.cdn {
        let location = format!("http://{}{}", state.cdn, request.path);
        return Answer::status(302)
            .with("Location", location)
            .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)));
    }
    match request.start {
        Some(start) if start >= bytes.len() as u64 => Answer::status(416),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::status(206)
                .with("Content-Range", range)
                .body(&bytes[start as usize..])
        }
        None => Answer::status(200).body(bytes.as_slice()),
    }
}

fn send(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let length = answer.body.len();
    let mut head = format!(
        "HTTP/1.1 {} Some Reason\r\nConnection: close\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| *name == "Transfer-Encoding")
    {
        head += &format!("Content-Length: {length}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&answer.body[..answer.cut.unwrap_or(length).min(length)])?;
    stream.flush()?;
    thread::sleep(answer.stall);
    Ok(())
}
