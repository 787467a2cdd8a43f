//! Kernel cases in a browser: a page on this machine fetches them one by one, runs them through the browser's own WGSL
//! compiler under the WebGPU default limits, and posts the buffers back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_shaders::{Access, Case, Dialect, Kernel, compose};
use serde_json::json;

use crate::cases::guarded;

const PAGE: &str = include_str!("browser.html");
/// No case takes longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// A case as the page gets it: the length of a JSON text, the text, then the buffers.
fn package(kernel: &'static Kernel, case: &Case) -> Result<Vec<u8>, String> {
    let variant = &kernel.variants[case.variant];
    let source = compose(kernel, variant, case.scene.format, Dialect::Browser).map_err(|e| e.to_string())?;
    let mut params = case.scene.params.clone();
    params.resize(params.len().next_multiple_of(16).max(16), 0);
    let overrides: serde_json::Map<_, _> =
        case.overrides.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
    let json = json!({
        "name": case.name, "entry": kernel.name, "source": source, "overrides": overrides,
        "format": case.scene.format.map(|f| f.name()), "variant": variant.name,
        "params": params, "step": bytemuck::bytes_of(&case.scene.step), "workgroups": case.scene.workgroups,
        "writes": kernel.bindings.iter().map(|b| b.access == Access::Write).collect::<Vec<_>>(),
        "words": case.scene.buffers.iter().map(Vec::len).collect::<Vec<_>>(),
    });
    let mut text = json.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut out = (text.len() as u32).to_le_bytes().to_vec();
    out.extend(text);
    for words in &case.scene.buffers {
        out.extend(bytemuck::cast_slice::<u32, u8>(&guarded(words)));
    }
    Ok(out)
}

/// The buffers of a case, guards included.
fn unpack(case: &Case, bytes: &[u8]) -> Vec<Vec<u32>> {
    let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let lens = case.scene.buffers.iter().map(|words| guarded(words).len());
    lens.map(|len| words.drain(..len.min(words.len())).collect()).collect()
}

struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the cases in Chromium. For each, its buffers, or what went wrong.
///
/// # Panics
/// Chromium does not start, has no WebGPU, or falls silent.
pub fn run(cases: &[(&'static Kernel, Case)]) -> Vec<Result<Vec<Vec<u32>>, String>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let profile = tempfile::tempdir().expect("a folder");
    let browser = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan,WebGPU"])
        .args(["--use-webgpu-adapter=swiftshader", "--disable-gpu-shader-disk-cache"])
        // Kernels write workgroup memory before they read it. To fill it with zeros is most of what SwiftShader would compile.
        .arg("--enable-dawn-features=disable_workgroup_init")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(&url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _browser = Browser(browser.expect("chromium, which tests/fetch.sh --tests installs"));
    let mut results: Vec<Option<Result<Vec<Vec<u32>>, String>>> = vec![None; cases.len()];
    let mut heard = Instant::now();
    loop {
        let Ok((stream, _)) = listener.accept() else {
            assert!(heard.elapsed() < PATIENCE, "the browser has fallen silent");
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        heard = Instant::now();
        let Some((path, body)) = request(&stream) else { continue };
        let number = path.rsplit('/').next().and_then(|n| n.parse::<usize>().ok());
        let text = || String::from_utf8_lossy(&body).into_owned();
        match (path.split('/').nth(1).unwrap_or_default(), number) {
            ("", _) => answer(&stream, "200 OK", "text/html", PAGE.as_bytes()),
            ("case", Some(n)) => match cases.get(n).map(|(kernel, case)| package(kernel, case)) {
                Some(Ok(bytes)) => answer(&stream, "200 OK", "application/octet-stream", &bytes),
                Some(Err(fault)) => fail(&fault),
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
            ("fail", _) => fail(&format!("the browser says: {}", text())),
            ("done", _) => break,
            _ => answer(&stream, "404 Not Found", "text/plain", &[]),
        }
    }
    results.into_iter().map(|result| result.unwrap_or_else(|| Err("it never ran".into()))).collect()
}

fn fail(fault: &str) -> ! {
    #[allow(clippy::panic, reason = "a test can't go on")]
    {
        panic!("{fault}")
    }
}

/// A request's path and body.
fn request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
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
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A browser that hung up is noticed when it falls silent.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
