//! One file over HTTP(S): attempts, resuming, limits.

use crate::http;
use crate::symbols::Fetching;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;
use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body, Error};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// How patient to be.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub silence: Duration,
    pub attempts: u32,
    pub backoff: Duration,
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            attempts: 4,
            backoff: Duration::from_millis(500),
            max_bytes: 512 << 20,
        }
    }
}

/// Why a file could not be fetched.
pub(super) enum Failure {
    /// The server does not have it, or does not give it to us (some say so of what they do not have).
    NotFound(u16),
    /// It came, and is not what it should be.
    Wrong(String),
    /// It may work if asked again.
    Passing(String),
    /// Asking again would change nothing.
    Final(String),
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(status @ (404 | 410)) => write!(f, "not there (HTTP {status})"),
            Self::NotFound(status) => write!(f, "refused (HTTP {status})"),
            Self::Wrong(why) => write!(f, "fetched, and not kept: {why}"),
            Self::Passing(why) | Self::Final(why) => f.write_str(why),
        }
    }
}

/// Fetches a file into `to`, which then holds it and nothing else.
///
/// An attempt that follows a broken one asks for the rest only, if the server says which version of the file it sends
/// (`ETag` or `Last-Modified`): two halves of different files must not become one.
pub(super) fn download(
    url: &str,
    limits: &Limits,
    to: &mut File,
    progress: &dyn Fn(&Fetching<'_>),
) -> Result<(), Failure> {
    let agent = http::agent(url, limits.silence);
    let mut download = Download { url, limits, to, progress, received: 0, version: None };
    let mut wait = limits.backoff;
    for attempt in 1..=limits.attempts {
        match download.attempt(&agent) {
            Err(Failure::Passing(why)) if attempt == limits.attempts => {
                let received = download.received;
                return Err(Failure::Final(format!("{why} (attempts: {attempt}; bytes received: {received})")));
            }
            Err(Failure::Passing(_)) => {
                thread::sleep(wait);
                wait = wait.saturating_mul(2);
            }
            other => return other,
        }
    }
    Err(Failure::Final("not asked".to_owned()))
}

struct Download<'a> {
    url: &'a str,
    limits: &'a Limits,
    to: &'a mut File,
    progress: &'a dyn Fn(&Fetching<'_>),
    /// Bytes of the file that are here.
    received: u64,
    /// What the server calls the version of the file that they are of.
    version: Option<String>,
}

impl Download<'_> {
    fn attempt(&mut self, agent: &Agent) -> Result<(), Failure> {
        let mut request = agent.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        let resumed = self.version.clone().filter(|_| self.received > 0);
        if let Some(version) = &resumed {
            request = request.header(header::RANGE, format!("bytes={}-", self.received));
            request = request.header(header::IF_RANGE, version);
        }
        let answer = request.call().map_err(|error| failure(&error))?;
        let mut total = length(answer.headers());
        match answer.status().as_u16() {
            200 => self.restart()?,
            206 if resumed.is_some() => {
                let range = http::range(answer.headers());
                let fits = range.is_some_and(|(from, _)| from == self.received);
                if !fits || http::version(answer.headers()).is_some_and(|now| Some(now) != self.version) {
                    self.restart()?;
                    return Err(Failure::Passing("the server sent another part than it was asked for".to_owned()));
                }
                total = range.and_then(|(_, total)| total);
            }
            // Nothing is left of the file, or it is another one by now.
            416 if resumed.is_some() => {
                self.restart()?;
                return Err(Failure::Passing("the server has no rest of the file".to_owned()));
            }
            status @ (401 | 403 | 404 | 410) => return Err(Failure::NotFound(status)),
            status @ (408 | 429 | 500..=599) => return Err(Failure::Passing(format!("HTTP {status}"))),
            status => return Err(Failure::Final(format!("HTTP {status}"))),
        }
        if answer.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Failure::Final("the server packed it in a way that was not asked for".to_owned()));
        }
        self.version = http::version(answer.headers());
        if total.is_some_and(|total| total > self.limits.max_bytes) {
            return Err(self.too_large());
        }
        self.body(answer, total)
    }

    fn body(&mut self, answer: Response<Body>, total: Option<u64>) -> Result<(), Failure> {
        let mut body = answer.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match body.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failure(&error.into())),
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.received = self.received.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            if self.received > self.limits.max_bytes {
                return Err(self.too_large());
            }
            self.to.write_all(bytes).map_err(write_failure)?;
            (self.progress)(&Fetching { url: self.url, received: self.received, total });
        }
        match total {
            Some(total) if total != self.received => Err(Failure::Passing("the connection broke off".to_owned())),
            _ => Ok(()),
        }
    }

    /// Forgets what was received.
    fn restart(&mut self) -> Result<(), Failure> {
        self.received = 0;
        self.version = None;
        self.to.set_len(0).and_then(|()| self.to.seek(SeekFrom::Start(0))).map(drop).map_err(write_failure)
    }

    fn too_large(&self) -> Failure {
        Failure::Final(format!("it has more than {} bytes", self.limits.max_bytes))
    }
}

fn write_failure(error: io::Error) -> Failure {
    Failure::Final(format!("cannot write it: {error}"))
}

/// Whether asking again may help.
fn failure(error: &Error) -> Failure {
    match http::failure(error) {
        (text, true) => Failure::Passing(text),
        (text, false) => Failure::Final(text),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    http::text(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}
