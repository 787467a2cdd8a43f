//! Kernel cases by a browser's WebGPU: a script fetches them one by one, runs them through the
//! browser's own WGSL compiler under the WebGPU default limits, and posts the buffers back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_shaders::{Access, Case, Dialect, Kernel, compose};
use serde_json::json;

use crate::cases::guarded;

const SCRIPT: &str = include_str!("browser.mjs");
const PAGE: &str = r#"<!doctype html>
<title>Kernel cases</title>
<script type="module">
import { runCases } from "/browser.mjs";
runCases(location.origin, navigator.gpu);
</script>
"#;
/// No case takes longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// A case as the page gets it: the length of a JSON text, the text, then the buffers.
fn package(kernel: &'static Kernel, case: &Case) -> Result<Vec<u8>, String> {
    let variant = &kernel.variants[case.variant];
    let source = compose(kernel, variant, case.fixture.format, Dialect::Browser)
        .map_err(|e| e.to_string())?;
    let mut params = case.fixture.params.clone();
    params.resize(params.len().next_multiple_of(16).max(16), 0);
    let overrides: serde_json::Map<_, _> = case
        .overrides
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.into()))
        .collect();
    let json = json!({
        "name": case.name, "entry": kernel.name, "source": source, "overrides": overrides,
        "format": case.fixture.format.map(|f| f.name()), "variant": variant.name,
        "params": params, "step": bytemuck::bytes_of(&case.fixture.step),
        "workgroups": case.fixture.workgroups,
        "writes": kernel.bindings.iter().map(|b| b.access == Access::Write).collect::<Vec<_>>(),
        "words": case.fixture.buffers.iter().map(Vec::len).collect::<Vec<_>>(),
    });
    let mut text = json.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut out = (text.len() as u32).to_le_bytes().to_vec();
    out.extend(text);
    for words in &case.fixture.buffers {
        out.extend(bytemuck::cast_slice::<u32, u8>(&guarded(words)));
    }
    Ok(out)
}

/// The buffers of a case, guards included.
fn unpack(case: &Case, bytes: &[u8]) -> Vec<Vec<u32>> {
    let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let lens = case
        .fixture
        .buffers
        .iter()
        .map(|words| guarded(words).len());
    lens.map(|len| words.drain(..len.min(words.len())).collect())
        .collect()
}

/// Whose WebGPU it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Chromium, on the driver that comes with it, SwiftShader.
    Chromium,
    /// Dawn, which is Chromium's WebGPU, in Node.js, on this machine's own driver.
    Dawn,
}

impl Host {
    /// Starts it; it goes to `url`. `profile` is an empty folder.
    fn start(self, url: &str, profile: &Path) -> Running {
        let mut command;
        match self {
            Self::Chromium => {
                command = Command::new("chromium");
                command
                    .args([
                        "--headless=new",
                        "--no-sandbox",
                        "--enable-unsafe-webgpu",
                        "--enable-features=Vulkan,WebGPU",
                    ])
                    .args([
                        "--use-webgpu-adapter=swiftshader",
                        "--disable-gpu-shader-disk-cache",
                    ])
                    // Kernels write workgroup memory before they read it. To fill it with zeros is
                    // most of what SwiftShader would compile.
                    .arg("--enable-dawn-features=disable_workgroup_init")
                    .arg(format!("--user-data-dir={}", profile.display()))
                    .stderr(Stdio::null());
            }
            Self::Dawn => {
                command = Command::new("node");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/dawn.mjs"));
            }
        }
        let child = command.arg(url).stdout(Stdio::null()).spawn();
        Running(child.expect("Chromium or Node.js, which tests/fetch.sh --tests installs"))
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the cases. For each, its buffers, or what went wrong.
///
/// # Panics
/// The host does not start, has no WebGPU, ends, or falls silent.
pub fn run(host: Host, cases: &[(&'static Kernel, Case)]) -> Vec<Result<Vec<Vec<u32>>, String>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let profile = tempfile::tempdir().expect("a folder");
    let mut running = host.start(&url, profile.path());
    let mut results: Vec<Option<Result<Vec<Vec<u32>>, String>>> = vec![None; cases.len()];
    let mut heard = Instant::now();
    loop {
        let Ok((stream, _)) = listener.accept() else {
            assert!(heard.elapsed() < PATIENCE, "{host:?} has fallen silent");
            assert!(
                running.0.try_wait().is_ok_and(|ended| ended.is_none()),
                "{host:?} has ended"
            );
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        heard = Instant::now();
        let Some((path, body)) = request(&stream) else {
            continue;
        };
        let number = path
            .rsplit('/')
            .next()
            .and_then(|n| n.parse::<usize>().ok());
        let text = || String::from_utf8_lossy(&body).into_owned();
        match (path.split('/').nth(1).unwrap_or_default(), number) {
            ("", _) => answer(&stream, "200 OK", "text/html", PAGE.as_bytes()),
            ("browser.mjs", _) => answer(&stream, "200 OK", "text/javascript", SCRIPT.as_bytes()),
            ("case", Some(n)) => match cases.get(n).map(|(kernel, case)| package(kernel, case)) {
                Some(Ok(bytes)) => answer(&stream, "200 OK", "application/octet-stream", &bytes),
                Some(Err(cause)) => fail(&cause),
                None => answer(&stream, "204 No Content", "text/plain", &[]),
            },
            ("result", Some(n)) => {
                results[n] = Some(Ok(unpack(&cases[n].1, &body)));
                answer(&stream, "200 OK", "text/plain", &[]);
            }
            ("error", Some(n)) => {
                results[n] = Some(Err(text()));
                answer(&stream, "200 OK", "text/plain", &[]);
            }
            ("fail", _) => fail(&format!("{host:?} says: {}", text())),
            ("done", _) => break,
            _ => answer(&stream, "404 Not Found", "text/plain", &[]),
        }
    }
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Err("it never ran".into())))
        .collect()
}

fn fail(cause: &str) -> ! {
    #[allow(clippy::panic, reason = "a test can't go on")]
    {
        panic!("{cause}")
    }
}

/// A request's path and body.
fn request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_nonblocking(false).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut len = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn answer(mut stream: &TcpStream, status: &str, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    // A browser that hung up is noticed when it falls silent.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
