//! An image on a server that answers byte ranges. What is fetched is of one object, which its `ETag` (or date) and length tell: what was
//! replaced meanwhile is no part of it.

use super::far_pieces::{Fetch, Pieces};
use super::fetched::Fetched;
use super::source::Source;
use crate::{PAGE_SIZE, http};
use std::io::{self, Read as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{StatusCode, header};

/// Bytes of a piece, and of the first request. In a small image a page table or a process object is seldom alone.
const PIECE: u64 = 0x1_0000;
/// The same of an image that is larger than this: its pages lie all over it, and what is beside one is seldom asked for; what is read in
/// order is fetched ahead.
const LARGE: u64 = 1 << 29;
const PIECE_OF_LARGE: u64 = PAGE_SIZE;
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a piece is asked for, if the server is busy or the connection breaks off.
const ATTEMPTS: u32 = 4;
/// How long to wait before the second attempt; twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(500);

struct Far {
    agent: Agent,
    url: String,
    length: u64,
    /// What the server calls this version of the object. `None`: it does not say, and its length alone tells.
    version: Option<String>,
    log: Arc<Fetched>,
}

/// Why a piece did not come.
enum Failure {
    /// It may come if asked again.
    Passing(String),
    Final(String),
}

/// Asks for the first piece, which tells length and version.
pub(super) fn open(url: &str) -> io::Result<(Source, Arc<Fetched>)> {
    let log = Arc::new(Fetched::default());
    let mut far = Far { agent: http::agent(url, SILENCE), url: url.to_owned(), length: 0, version: None, log };
    let (bytes, length, version) = far.patiently(0, PIECE).map_err(io::Error::other)?;
    (far.length, far.version) = (length, version);
    let piece = if length > LARGE { PIECE_OF_LARGE } else { PIECE };
    let log = Arc::clone(&far.log);
    Ok((Source::new(Pieces::new(far, length, piece, &bytes)), log))
}

impl Far {
    /// Bytes `[from, from + length)` with the length and version of the whole.
    fn patiently(&self, from: u64, length: u64) -> Result<(Vec<u8>, u64, Option<String>), String> {
        let mut wait = BACKOFF;
        let mut last = "not asked".to_owned();
        for attempt in 1..=ATTEMPTS {
            match self.once(from, length) {
                Ok(piece) => return Ok(piece),
                Err(Failure::Final(why)) => return Err(why),
                Err(Failure::Passing(why)) => last = format!("{why} (attempts: {attempt})"),
            }
            if attempt < ATTEMPTS {
                thread::sleep(wait);
                wait = wait.saturating_mul(2);
            }
        }
        Err(last)
    }

    fn once(&self, from: u64, length: u64) -> Result<(Vec<u8>, u64, Option<String>), Failure> {
        let to = from.saturating_add(length).saturating_sub(1);
        let request = self.agent.get(&self.url).header(header::ACCEPT_ENCODING, "identity");
        let request = request.header(header::RANGE, format!("bytes={from}-{to}"));
        let passing = |error: &ureq::Error| match http::failure(error) {
            (why, true) => Failure::Passing(why),
            (why, false) => Failure::Final(why),
        };
        let answer = request.call().map_err(|error| passing(&error))?;
        self.log.asked();
        let headers = answer.headers();
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                return Err(Failure::Final(
                    "the server sends whole files only: it does not answer byte ranges. Fetch the file, and name the copy".into(),
                ));
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Failure::Final("it has no bytes there".into())),
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
                return Err(Failure::Passing(format!("HTTP {}", status.as_u16())));
            }
            status => {
                let advice = match status.as_u16() {
                    401 | 403 => ": is the address signed, and still valid?",
                    404 | 410 => ": there is no such file",
                    _ => "",
                };
                return Err(Failure::Final(format!("HTTP {}{advice}", status.as_u16())));
            }
        }
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Failure::Final("the server packed it in a way that was not asked for".into()));
        }
        let version = http::version(headers);
        let Some((start, Some(total))) = http::range(headers).filter(|(start, _)| *start == from) else {
            return Err(Failure::Final(
                "the server sent another part than it was asked for, or does not say how long the file is".into(),
            ));
        };
        if self.length != 0 && (total != self.length || version != self.version) {
            return Err(Failure::Final("the file on the server was replaced while it was read".into()));
        }
        let wanted = total.saturating_sub(start).min(length);
        let mut bytes = Vec::new();
        // To its end, which is behind the last byte: only then is the connection used again.
        let mut body = answer.into_body().into_reader().take(wanted.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(|error| passing(&error.into()))?;
        bytes.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.log.received(bytes.len());
        if u64::try_from(bytes.len()) != Ok(wanted) {
            return Err(Failure::Passing("the connection broke off".into()));
        }
        Ok((bytes, total, version))
    }
}

impl Fetch for Far {
    fn fetch(&self, from: u64, length: u64) -> Option<Vec<u8>> {
        match self.patiently(from, length) {
            Ok((bytes, ..)) => Some(bytes),
            Err(why) => {
                self.log.failed(why);
                None
            }
        }
    }
}
