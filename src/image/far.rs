//! An image on a server that answers byte ranges: pieces of it are fetched when they are asked for, and kept in a cache of bounded
//! size. The pieces are of one object, which its `ETag` (or date) and length tell: what was replaced meanwhile is no part of it.

use super::blocks::{Chunked, Unpack};
use super::fetched::Fetched;
use super::source::Source;
use crate::http;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{StatusCode, header};

/// Bytes of a piece, and of the first request. In a small image a page table or a process object is seldom alone.
const PIECE: u64 = 0x1_0000;
/// The same of an image that is larger than this: its pages lie all over it, and what is beside one is seldom asked for.
const LARGE: u64 = 1 << 29;
const PIECE_OF_LARGE: u64 = 0x4000;
/// Bytes of one request at most, where they are read in order: more would be fetched for nothing at the end.
const MAX_AHEAD: u64 = 0x8_0000;
/// Places from which reading may go on in order, as many as threads read at a time.
const STREAMS: usize = 8;
/// Pieces that came before they were asked for; the cache of blocks keeps what was.
const MAX_WAITING: usize = 128;
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
    /// Bytes of a piece.
    piece: u64,
    /// What the server calls this version of the object. `None`: it does not say, and its length alone tells.
    version: Option<String>,
    log: Arc<Fetched>,
    ahead: Mutex<Ahead>,
}

/// What is fetched before it is asked for: where pieces are read in order, a request brings twice as many as the one before.
#[derive(Default)]
struct Ahead {
    /// Where each goes on: the number of the next piece, and how many the last request brought.
    streams: VecDeque<(u64, u64)>,
    waiting: HashMap<u64, Vec<u8>>,
}

impl Ahead {
    /// How many pieces to ask for, given that `number` is not here.
    fn pieces(&mut self, number: u64, most: u64) -> u64 {
        let before = self.streams.iter().position(|(next, _)| *next == number).and_then(|at| self.streams.remove(at));
        let count = before.map_or(1, |(_, count)| count.saturating_mul(2).min(most));
        if self.streams.len() >= STREAMS {
            self.streams.pop_front();
        }
        self.streams.push_back((number.saturating_add(count), count));
        count
    }

    /// Keeps what came, and gives the first of it.
    fn keep(&mut self, number: u64, bytes: &[u8], piece: u64) -> Option<Vec<u8>> {
        let mut pieces = bytes.chunks(usize::try_from(piece).ok()?).map(<[u8]>::to_vec);
        let first = pieces.next();
        // Nobody came for them.
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.clear();
        }
        self.waiting.extend((number.saturating_add(1)..).zip(pieces));
        first
    }
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
    let mut far = Far {
        agent: http::agent(url, SILENCE),
        url: url.to_owned(),
        length: 0,
        piece: PIECE,
        version: None,
        log,
        ahead: Mutex::default(),
    };
    let (bytes, length, version) = far.patiently(0, PIECE).map_err(io::Error::other)?;
    (far.length, far.version) = (length, version);
    far.piece = if length > LARGE { PIECE_OF_LARGE } else { PIECE };
    let piece = far.piece;
    // It is asked for first thing.
    let ahead = far.ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = ahead.keep(0, &bytes, piece) {
        ahead.waiting.insert(0, first);
    }
    let came = PIECE.checked_div(piece).unwrap_or(1);
    ahead.streams.push_back((came, came));
    let log = Arc::clone(&far.log);
    Ok((Source::new(Chunked::even(piece, length, far)), log))
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

impl Unpack for Far {
    fn unpack(&self, number: u64) -> Option<Vec<u8>> {
        // What failed once would be a hole among bytes that are right.
        if self.log.failure().is_some() {
            return None;
        }
        let from = number.checked_mul(self.piece).filter(|from| *from < self.length)?;
        let ahead = || self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let count = {
            let mut ahead = ahead();
            if let Some(bytes) = ahead.waiting.remove(&number) {
                return Some(bytes);
            }
            ahead.pieces(number, MAX_AHEAD.checked_div(self.piece).unwrap_or(1))
        };
        // Without the lock: nobody waits for somebody else's request.
        match self.patiently(from, self.piece.saturating_mul(count).min(self.length.saturating_sub(from))) {
            Ok((bytes, ..)) => ahead().keep(number, &bytes, self.piece),
            Err(why) => {
                self.log.failed(why);
                None
            }
        }
    }
}
