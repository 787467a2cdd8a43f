//! Requests to the hub: redirects, the token, and what to do about failures.

mod address;
mod patience;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::error::HubError;
use super::listing::{Listing, MOST_JSON};
use super::name::Name;
use super::settings::Settings;
use address::{escaped, is_loopback, may_have_token};

pub use address::{follow, same_origin};
pub use patience::Patience;

/// How many redirects are followed.
pub const MOST_HOPS: usize = 10;

/// Attempts without a byte in between.
const MOST_TRIES: u32 = 6;

const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest that a server may make us wait before the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

const CONNECT: Duration = Duration::from_secs(20);

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// It may the next time, after this pause if the server named one.
    Passing {
        cause: String,
        pause: Option<Duration>,
    },
    /// It won't.
    Final(HubError),
}

impl Failure {
    /// A failure that may pass.
    pub fn passing(cause: impl ToString) -> Self {
        Self::Passing {
            cause: cause.to_string(),
            pause: None,
        }
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// The client of the hub.
pub struct Client {
    agent: Agent,
    endpoint: Uri,
    token: Option<String>,
    /// Whether a server has answered: there is a network.
    reached: AtomicBool,
}

impl Client {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn new(settings: &Settings) -> Result<Self, HubError> {
        let endpoint = settings
            .endpoint
            .parse()
            .map_err(|error| HubError::Setting {
                variable: "HF_ENDPOINT",
                cause: format!("{} is no address ({error})", settings.endpoint),
            })?;
        // Redirects are followed here, where it is known which host the token is for.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("godwit/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .build();
        if settings.token.is_some() && !may_have_token(&endpoint) {
            tracing::warn!(
                "the token is not sent to {endpoint}: it would go over the network unencrypted"
            );
        }
        Ok(Self {
            agent: config.into(),
            endpoint,
            token: settings.token.clone(),
            reached: AtomicBool::new(false),
        })
    }

    /// The list of a repository's files.
    ///
    /// # Errors
    /// There is no such repository, it is closed, or the answer is no such list.
    pub fn listing(&self, name: &Name, stopped: &dyn Fn() -> bool) -> Result<Listing, HubError> {
        let path = format!(
            "/api/models/{}/revision/{}?blobs=true",
            name.repo,
            escaped(name.revision(), false)
        );
        let what = match &name.revision {
            Some(revision) => format!("{}@{revision}", name.repo),
            None => name.repo.clone(),
        };
        let mut patience = Patience::default();
        loop {
            let json = self.get(&path, 0, &what, name).and_then(|response| {
                let mut json = Vec::new();
                let read = response
                    .into_body()
                    .into_reader()
                    .take(MOST_JSON + 1)
                    .read_to_end(&mut json);
                read.map(|_| json).map_err(Failure::passing)
            });
            match json {
                Ok(json) if json.len() as u64 > MOST_JSON => {
                    let cause = format!("the answer is longer than {} MB", MOST_JSON >> 20);
                    return Err(HubError::Refused { what, cause });
                }
                Ok(json) => return Listing::parse(&what, &json),
                Err(failure) => patience.wait(failure, &what, stopped)?,
            }
        }
    }

    /// Asks for a file of a repository at a commit, from byte `start` on. What comes is 200, 206 or
    /// 416.
    ///
    /// # Errors
    /// Any other answer.
    pub fn file(
        &self,
        name: &Name,
        commit: &str,
        path: &str,
        start: u64,
    ) -> Result<Response<Body>, Failure> {
        let what = format!("{path} of {}", name.repo);
        self.get(
            &format!("/{}/resolve/{commit}/{}", name.repo, escaped(path, true)),
            start,
            &what,
            name,
        )
    }

    /// Ends all requests, also those that wait for a server.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    fn get(
        &self,
        path: &str,
        start: u64,
        what: &str,
        name: &Name,
    ) -> Result<Response<Body>, Failure> {
        let mut uri: Uri = format!("{}{path}", self.endpoint.to_string().trim_end_matches('/'))
            .parse()
            .map_err(|error| HubError::Refused {
                what: what.into(),
                cause: format!("no address ({error})"),
            })?;
        for _ in 0..=MOST_HOPS {
            let at_home = same_origin(&uri, &self.endpoint);
            let mut request = self
                .agent
                .get(&uri)
                .header(header::ACCEPT_ENCODING, "identity");
            if is_loopback(&uri) {
                // A proxy would get what is meant for this computer, the token with it.
                request = request.config().proxy(None).build();
            }
            if let Some(token) = self
                .token
                .as_ref()
                .filter(|_| at_home && may_have_token(&uri))
            {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if start > 0 {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            let response = request
                .call()
                .map_err(|error| self.failed(error, what, &uri))?;
            self.reached.store(true, Ordering::Relaxed);
            if !response.status().is_redirection() {
                return self.judged(response, at_home, what, name);
            }
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|location| location.to_str().ok());
            let next = location.ok_or_else(|| "it redirects to nowhere".to_owned());
            let next = next.and_then(|location| follow(&self.endpoint, &uri, location));
            uri = next.map_err(|cause| HubError::Refused {
                what: what.into(),
                cause,
            })?;
        }
        let cause = format!("it redirects more than {MOST_HOPS} times");
        Err(HubError::Refused {
            what: what.into(),
            cause,
        }
        .into())
    }

    /// Answers with something in them, and what the others mean.
    fn judged(
        &self,
        response: Response<Body>,
        at_home: bool,
        what: &str,
        name: &Name,
    ) -> Result<Response<Body>, Failure> {
        let (status, headers) = (response.status(), response.headers());
        let text = |header: &str| headers.get(header).and_then(|value| value.to_str().ok());
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(response)
            }
            // The hub says 401 of what is not there as well, so as not to tell which private names
            // exist.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if at_home => {
                match text("x-error-code") {
                    Some("RepoNotFound" | "RevisionNotFound" | "EntryNotFound") => {
                        Err(HubError::Missing(what.into()).into())
                    }
                    _ => Err(self.gated(what, name).into()),
                }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(HubError::Missing(what.into()).into()),
            // Signed addresses of other hosts expire; the next attempt gets a new one.
            _ if status.is_server_error()
                || [
                    StatusCode::TOO_MANY_REQUESTS,
                    StatusCode::REQUEST_TIMEOUT,
                    StatusCode::FORBIDDEN,
                ]
                .contains(&status) =>
            {
                let pause = text("retry-after")
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs);
                Err(Failure::Passing {
                    cause: format!("the server says {status}"),
                    pause,
                })
            }
            _ => {
                let cause = format!("the server says {status}");
                Err(HubError::Network {
                    what: what.into(),
                    cause,
                    tries: 1,
                }
                .into())
            }
        }
    }

    /// The error of a request without an answer.
    fn failed(&self, error: ureq::Error, what: &str, uri: &Uri) -> Failure {
        use std::io::ErrorKind as Kind;
        let host = uri.host().unwrap_or_default();
        let cause = format!("{host}: {error}");
        match error {
            ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => {
                Failure::passing(cause)
            }
            ureq::Error::Io(_) if self.reached.load(Ordering::Relaxed) => Failure::passing(cause),
            ureq::Error::Io(io)
                if [
                    Kind::ConnectionRefused,
                    Kind::ConnectionReset,
                    Kind::ConnectionAborted,
                ]
                .contains(&io.kind())
                    || [Kind::UnexpectedEof, Kind::BrokenPipe, Kind::TimedOut]
                        .contains(&io.kind()) =>
            {
                Failure::passing(cause)
            }
            // No name server, no route, or no trust.
            _ => HubError::Network {
                what: what.into(),
                cause: format!("{cause}; is there a network?"),
                tries: 1,
            }
            .into(),
        }
    }

    fn gated(&self, what: &str, name: &Name) -> HubError {
        let page = format!(
            "{}/{}",
            self.endpoint.to_string().trim_end_matches('/'),
            name.repo
        );
        let token = match self.token {
            Some(_) if !may_have_token(&self.endpoint) => {
                "set HF_ENDPOINT to its https:// address: unencrypted, \
                the token is not sent"
            }
            Some(_) => "see that HF_TOKEN is of an account that may read it",
            None => "set HF_TOKEN to a token of that account",
        };
        HubError::Gated {
            what: what.into(),
            page,
            token,
        }
    }
}
