//! Requests to the hub: redirects, the token, and what to do about failures.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::error::HubError;
use super::listing::{Listing, MOST_JSON};
use super::name::Name;
use super::settings::Settings;

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

/// Counts attempts, and pauses between them: twice as long each time, and not in step with others.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// There was progress: the next failure is the first again.
    pub fn renew(&mut self) {
        self.0 = 0;
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// The failure is final, or one too many, or the server wants too long a pause, or it was
    /// stopped.
    pub fn wait(
        &mut self,
        failure: Failure,
        what: &str,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), HubError> {
        let (cause, pause) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { cause, pause } => (cause, pause),
        };
        self.0 += 1;
        let give_up = |cause| HubError::Network {
            what: what.into(),
            cause,
            tries: self.0,
        };
        if self.0 >= MOST_TRIES {
            return Err(give_up(cause));
        }
        if let Some(long) = pause.filter(|pause| *pause > LONGEST_PAUSE) {
            return Err(give_up(format!(
                "{cause}, and to come back in {} s",
                long.as_secs()
            )));
        }
        let longest = FIRST_PAUSE * (1 << (self.0 - 1));
        let random = RandomState::new().hash_one(self.0) as u32;
        let jitter = longest.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        tracing::info!("{what}: {cause}; once more");
        let end = Instant::now() + pause.unwrap_or(jitter);
        while Instant::now() < end {
            if stopped() {
                return Err(HubError::Stopped);
            }
            std::thread::sleep(
                Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())),
            );
        }
        Ok(())
    }
}

/// Scheme, host and port: to whom the token may go.
pub fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(if uri.scheme_str() == Some("https") {
            Some(443)
        } else {
            Some(80)
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// Whether the token can't be read on the way: it is encrypted, or does not leave this computer.
fn may_have_token(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https") || is_loopback(uri)
}

/// Whether the host is this computer, however names are resolved here.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Where a redirect leads.
///
/// Not out of HTTPS, and not to this computer or its network, unless the endpoint is there itself:
/// a stranger's answer must not make us ask what only we can reach.
pub fn follow(endpoint: &Uri, from: &Uri, location: &str) -> Result<Uri, String> {
    let wrong = |why: &str| {
        format!(
            "it redirects to {}, {why}",
            location.chars().take(200).collect::<String>()
        )
    };
    let (scheme, authority) = (
        from.scheme_str().unwrap_or("https"),
        from.authority().map_or("", |a| a.as_str()),
    );
    let full = match location {
        full if full.starts_with("https://") || full.starts_with("http://") => full.to_owned(),
        rest if rest.starts_with("//") => format!("{scheme}:{rest}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        _ => return Err(wrong("which is no address that can be followed")),
    };
    let uri: Uri = full
        .split('#')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|_| wrong("which is no address"))?;
    if uri
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'))
    {
        return Err(wrong("which names no host, or a password"));
    }
    // The parser takes `https://:[f:fff]/` and gives it an empty host.
    let host = uri.host().unwrap_or_default();
    let brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_malformed = brackets.map_or(host.contains(['[', ']', ':']), |ip| {
        ip.parse::<Ipv6Addr>().is_err()
    });
    if host.is_empty() || is_malformed {
        return Err(wrong("which names no host that can be asked"));
    }
    if uri.scheme_str() != Some("https") && endpoint.scheme_str() == Some("https") {
        return Err(wrong("which is not encrypted"));
    }
    if is_private(&uri) && !is_private(endpoint) {
        return Err(wrong("which is an address of this computer or its network"));
    }
    Ok(uri)
}

/// Whether the host is an address that means something else to everyone.
fn is_private(uri: &Uri) -> bool {
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => {
                ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
            }
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            }
        },
        // Resolvers read `127.1`, `2130706433` and `0x7f000001` as addresses too.
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or_default();
            ["localhost", "local"].contains(&last)
                || last.starts_with("0x")
                || last.bytes().all(|b| b.is_ascii_digit())
        }
    }
}

/// Percent-encodes all but letters, digits, - _ . ~ and, in paths, the slash.
fn escaped(text: &str, slash: bool) -> String {
    let each = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
            char::from(byte).to_string()
        }
        b'/' if slash => "/".into(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("an address")
    }

    #[test]
    fn redirects_stay_outside_and_encrypted() {
        let (hub, from) = (uri("https://hub.example"), uri("https://hub.example/a/b"));
        let to = |location: &str| follow(&hub, &from, location);
        assert_eq!(
            to("/c/d?x=1").as_ref().map(Uri::to_string),
            Ok("https://hub.example/c/d?x=1".into())
        );
        assert!(to("https://cdn.example/x").is_ok() && to("//cdn.example/x").is_ok());
        let refused = [
            "http://cdn.example/x",
            "ftp://cdn.example",
            "file:///etc/passwd",
            "x/y",
            "",
            "https://127.0.0.1/x",
            "https://[::1]/",
            "https://10.0.0.1",
            "https://192.168.1.1:80/",
            "https://169.254.169.254/meta",
            "https://localhost./",
            "https://[::ffff:10.0.0.1]/",
            "https://me:secret@cdn.example/",
            "https://",
            "https://printer.local/",
            "https://2130706433/",
            "https://127.1/",
            "https://0x7f.0x1/",
            "https://:[f:fff:10.0.0]/",
            "https://[fe80::1%25eth0]/",
            "https://:443/",
        ];
        for location in refused {
            assert!(to(location).is_err(), "{location}");
        }
        let home = uri("http://127.0.0.1:8080");
        assert!(
            follow(&home, &home, "http://127.0.0.1:9090/x").is_ok()
                && follow(&home, &home, "https://x.example/").is_ok()
        );
    }

    #[test]
    fn the_token_is_for_one_origin() {
        let hub = uri("https://hub.example");
        for same in ["https://hub.example:443/x", "https://HUB.example/x"] {
            assert!(same_origin(&hub, &uri(same)), "{same}");
        }
        for other in [
            "http://hub.example/x",
            "https://hub.example:444/x",
            "https://cdn.hub.example/x",
            "https://hub.example.org",
        ] {
            assert!(!same_origin(&hub, &uri(other)), "{other}");
        }
    }

    #[test]
    fn the_token_is_encrypted_or_stays_here() {
        for may in [
            "https://hub.example/x",
            "http://127.0.0.1:8080",
            "http://127.3.2.1",
            "http://localhost:80/x",
            "http://[::1]:80",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(may_have_token(&uri(may)), "{may}");
        }
        for may_not in [
            "http://hub.example",
            "http://10.0.0.1",
            "http://192.168.1.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://0.0.0.0",
            "http://127.1",
            "http://[::2]/",
            "http://printer.local",
        ] {
            assert!(!may_have_token(&uri(may_not)), "{may_not}");
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(
            escaped("a b/c#?%ä.gguf", true),
            "a%20b/c%23%3F%25%C3%A4.gguf"
        );
        assert_eq!(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
    }

    #[test]
    fn patience_ends() {
        let mut patience = Patience::default();
        let mut tries = 1;
        let now = || Failure::Passing {
            cause: "busy".into(),
            pause: Some(Duration::ZERO),
        };
        while patience.wait(now(), "x", &|| false).is_ok() {
            tries += 1;
        }
        assert_eq!(tries, MOST_TRIES);
        let long = Failure::Passing {
            cause: "busy".into(),
            pause: Some(Duration::from_secs(3600)),
        };
        let said = Patience::default()
            .wait(long, "x", &|| false)
            .expect_err("too long")
            .to_string();
        assert!(said.contains("3600 s"), "{said}");
        assert!(matches!(
            Patience::default().wait(Failure::passing("x"), "x", &|| true),
            Err(HubError::Stopped)
        ));
    }
}
