//! Downloads: several files at once, each from where it stopped the last time, each checked.

use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use ureq::http::{HeaderMap, StatusCode, header};

use super::cache::Cached;
use super::choose::File;
use super::error::HubError;
use super::http::{Client, Failure, Patience};
use super::listing::Digest;
use super::name::Name;
use super::part::Part;
use super::size::bytes;

/// Files at the same time.
const WORKERS: usize = 4;
/// Bytes after which a failure counts as the first again.
const PROGRESS: u64 = 1 << 20;
/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(20);
/// Space on the disk that is to stay free.
const MARGIN: u64 = 64 << 20;

/// Brings files of one commit into the cache.
pub struct Transfer<'a> {
    pub client: &'a Client,
    pub cached: &'a Cached,
    pub name: &'a Name,
    pub commit: &'a str,
    pub stopped: &'a (dyn Fn() -> bool + Sync),
    pub bar: &'a ProgressBar,
    failed: AtomicBool,
}

impl<'a> Transfer<'a> {
    /// Downloads nothing yet.
    pub fn new(
        client: &'a Client,
        cached: &'a Cached,
        name: &'a Name,
        commit: &'a str,
        stopped: &'a (dyn Fn() -> bool + Sync),
        bar: &'a ProgressBar,
    ) -> Self {
        Self {
            client,
            cached,
            name,
            commit,
            stopped,
            bar,
            failed: AtomicBool::new(false),
        }
    }

    /// Downloads what is missing of the files, and links all of them.
    ///
    /// # Errors
    /// The first that came up; what arrived until then is kept for the next time, unless it is
    /// wrong.
    pub fn run(&self, files: &[(File, Digest)]) -> Result<(), HubError> {
        self.check_space(files)?;
        self.bar.set_length(
            files
                .iter()
                .fold(0, |sum, (file, _)| sum.saturating_add(file.bytes)),
        );
        let (next, error) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            while let Some((file, digest)) = files.get(next.fetch_add(1, Ordering::SeqCst)) {
                if let Err(cause) = self.file(file, digest) {
                    self.failed.store(true, Ordering::SeqCst);
                    error
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(cause);
                    return;
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS.min(files.len()))
                .map(|_| scope.spawn(work))
                .collect();
            while !workers.iter().all(|worker| worker.is_finished()) {
                // A silent server must not keep anyone waiting who wants to go.
                if self.stopped() {
                    self.client.shutdown();
                }
                thread::sleep(TICK);
            }
            for worker in workers {
                if let Err(panic) = worker.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
        error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    /// Ctrl-C, or another file that failed.
    fn stopped(&self) -> bool {
        (self.stopped)() || self.failed.load(Ordering::SeqCst)
    }

    fn check_space(&self, files: &[(File, Digest)]) -> Result<(), HubError> {
        let folder = self.cached.folder();
        self.cached.make_folder()?;
        let there = |hash: &str| fs::metadata(self.cached.part(hash)).map_or(0, |part| part.len());
        let missing = files
            .iter()
            .filter(|(file, digest)| !self.cached.has(digest.hex(), file.bytes));
        let need = missing.fold(0_u64, |sum, (file, digest)| {
            sum.saturating_add(file.bytes.saturating_sub(there(digest.hex())))
        });
        // Where the system does not tell, the disk will.
        let Ok(free) = fs4::available_space(folder) else {
            return Ok(());
        };
        if need > 0 && need.saturating_add(MARGIN) > free {
            let [need, free] = [need, free].map(bytes);
            return Err(HubError::Space {
                folder: folder.display().to_string(),
                need,
                free,
            });
        }
        Ok(())
    }

    fn file(&self, file: &File, digest: &Digest) -> Result<(), HubError> {
        let hash = digest.hex();
        let _lock = self.cached.lock(hash, &|| self.stopped())?;
        if self.cached.has(hash, file.bytes) {
            self.bar.inc(file.bytes);
        } else {
            self.download(file, digest)?;
        }
        self.cached.link(self.commit, &file.path, hash)
    }

    fn download(&self, file: &File, digest: &Digest) -> Result<(), HubError> {
        let path = self.cached.part(digest.hex());
        let mut part =
            Part::open(&path, digest, file.bytes).map_err(HubError::io("write", &path))?;
        self.bar.inc(part.len());
        self.bar.reset_eta();
        let mut patience = Patience::default();
        while !part.is_full() {
            let before = part.len();
            match self.receive(file, &mut part) {
                Ok(()) => {}
                Err(Failure::Final(error @ HubError::Damaged { .. })) => {
                    part.discard().map_err(HubError::io("remove", &path))?;
                    return Err(error);
                }
                Err(failure) => {
                    if part.len().saturating_sub(before) >= PROGRESS {
                        patience.renew();
                    }
                    patience.wait(failure, &file.path, &|| self.stopped())?;
                }
            }
        }
        let to = self.cached.blob(digest.hex());
        part.finish(&to)
            .map_err(HubError::io("move", &path))?
            .map_err(|found| HubError::Damaged {
                file: format!("{} of {}", file.path, self.name.repo),
                cause: format!("its checksum is {found}, and should be {}", digest.hex()),
            })
    }

    /// Receives what the server gives of a file in one answer.
    ///
    /// No `If-Range` is needed: a commit's file never changes, and the part is named by its hash,
    /// which is checked at the end.
    fn receive(&self, file: &File, part: &mut Part) -> Result<(), Failure> {
        let path = self.cached.part(part.hex());
        let io = HubError::io("write", &path);
        let response = self
            .client
            .file(self.name, self.commit, &file.path, part.len())?;
        let restart = |part: &mut Part| {
            self.bar.dec(part.len());
            part.restart()
        };
        let damaged = |cause: String| {
            Failure::from(HubError::Damaged {
                file: format!("{} of {}", file.path, self.name.repo),
                cause,
            })
        };
        let status = response.status();
        match judge(status, response.headers(), part.len(), file.bytes) {
            Next::Append => {}
            Next::Restart => restart(part).map_err(&io)?,
            // Another file than was promised, such as the page of a network that wants a login:
            // what is there is not to blame.
            Next::Refuse { found } => {
                let what = format!("{} of {}", file.path, self.name.repo);
                let cause = format!(
                    "the answer has {found} bytes, and the file has {}; the {} that are there stay",
                    file.bytes,
                    part.len()
                );
                return Err(HubError::Refused { what, cause }.into());
            }
            Next::Damaged { long } => {
                return Err(damaged(format!(
                    "it is {long} bytes long, and should be {}",
                    file.bytes
                )));
            }
            // The server disagrees about what is missing: all of it, then.
            Next::Again => {
                restart(part).map_err(&io)?;
                return Err(Failure::passing(format!(
                    "the server answers {status} for another part than was asked for"
                )));
            }
        }
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 256 << 10];
        loop {
            if self.stopped() {
                return Err(HubError::Stopped.into());
            }
            match reader.read(&mut buffer) {
                Ok(0) if part.is_full() => return Ok(()),
                Ok(0) => return Err(Failure::passing("the connection ended early")),
                Ok(count) if part.len() + count as u64 > file.bytes => {
                    return Err(damaged(format!("it is longer than {} bytes", file.bytes)));
                }
                Ok(count) => {
                    part.push(&buffer[..count]).map_err(&io)?;
                    self.bar.inc(count as u64);
                }
                Err(error) => {
                    return Err(Failure::passing(format!(
                        "the connection was cut ({error})"
                    )));
                }
            }
        }
    }
}

/// The action after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The body continues the existing part.
    Append,
    /// All of the file comes.
    Restart,
    /// It is another file, of `found` bytes.
    Refuse { found: u64 },
    /// The file would be `long` bytes long.
    Damaged { long: u64 },
    /// It is another part than was asked for: ask for the whole.
    Again,
}

/// Judges an answer to the request for a file of `whole` bytes, of which `have` are there.
pub fn judge(status: StatusCode, headers: &HeaderMap, have: u64, whole: u64) -> Next {
    let length = length(headers);
    let (next, start) = match status {
        StatusCode::PARTIAL_CONTENT if range(headers) == Some((have, whole)) => {
            (Next::Append, have)
        }
        StatusCode::OK => match length.filter(|&length| have > 0 && length != whole) {
            Some(found) => return Next::Refuse { found },
            None => (Next::Restart, 0),
        },
        _ => return Next::Again,
    };
    match length
        .map(|length| start.saturating_add(length))
        .filter(|&long| long != whole)
    {
        Some(long) => Next::Damaged { long },
        None => next,
    }
}

/// The first byte and the whole length that `Content-Range: bytes FIRST-LAST/LENGTH` names.
fn range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let (range, length) = headers
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, length) = (
        first.parse().ok()?,
        last.parse::<u64>().ok()?,
        length.parse().ok()?,
    );
    (first <= last && last.checked_add(1) == Some(length)).then_some((first, length))
}

/// `Content-Length`.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], have: u64, whole: u64) -> Next {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        judge(
            StatusCode::from_u16(status).expect("a status"),
            &map,
            have,
            whole,
        )
    }

    #[test]
    fn answers_are_judged_by_their_headers() {
        let part = [("content-range", "bytes 3-9/10"), ("content-length", "7")];
        assert_eq!(answer(206, &part, 3, 10), Next::Append);
        assert_eq!(answer(206, &part[..1], 3, 10), Next::Append);
        assert_eq!(answer(206, &part, 4, 10), Next::Again);
        assert_eq!(answer(206, &part, 3, 11), Next::Again);
        assert_eq!(answer(206, &[], 3, 10), Next::Again);
        assert_eq!(
            answer(
                206,
                &[("content-range", "bytes 3-9/10"), ("content-length", "8")],
                3,
                10
            ),
            Next::Damaged { long: 11 }
        );
        assert_eq!(answer(200, &[], 3, 10), Next::Restart);
        assert_eq!(
            answer(200, &[("content-length", "10")], 3, 10),
            Next::Restart
        );
        assert_eq!(
            answer(200, &[("content-length", "9")], 3, 10),
            Next::Refuse { found: 9 }
        );
        assert_eq!(
            answer(200, &[("content-length", "9")], 0, 10),
            Next::Damaged { long: 9 }
        );
        assert_eq!(answer(416, &part, 3, 10), Next::Again);
    }

    /// A length near the largest number overflowed where it was added to what is there.
    #[test]
    fn absurd_lengths_are_no_sums() {
        let most = u64::MAX.to_string();
        let headers = [
            ("content-range", "bytes 3-9/10"),
            ("content-length", most.as_str()),
        ];
        assert_eq!(
            answer(206, &headers, 3, 10),
            Next::Damaged { long: u64::MAX }
        );
        for range in [
            "bytes 3-18446744073709551615/0",
            "bytes 9-3/4",
            "bytes -1/10",
            "bytes */10",
            "bytes 3-9/*",
        ] {
            assert_eq!(
                answer(206, &[("content-range", range)], 3, 10),
                Next::Again,
                "{range}"
            );
        }
    }
}
