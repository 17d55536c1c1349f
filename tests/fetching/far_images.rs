//! Images on a server that answers byte ranges, and on servers that do not behave.

use crate::server::{Request, head, send, serve};
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory as _, System, check_smss};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn sample() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples/suspicious.raw")).unwrap()
}

/// The range that is wanted, as it lies in the file.
fn range(request: &Request, length: usize) -> Option<(usize, usize)> {
    let (from, to) = request.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse::<usize>().ok()?.min(length - 1)))
}

fn part(stream: &mut TcpStream, bytes: &[u8], (from, to): (usize, usize), headers: &str) {
    let length = bytes.len();
    let range = format!("Content-Length: {}\r\nContent-Range: bytes {from}-{to}/{length}\r\n", to - from + 1);
    head(stream, "206 Partial Content", &format!("{range}{headers}"));
    send(stream, &bytes[from..=to]);
}

/// The address of a server, and of a file on it that only a signed address gives.
fn far(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> String {
    format!("http://reader:word@{}/case/mem.raw?signature=secret", serve(answer).0)
}

fn failure(url: &str) -> String {
    let error = MemoryImage::open(url).unwrap_err().to_string();
    assert!(!error.contains("secret") && !error.contains("word"), "{error}");
    error
}

#[test]
fn an_image_far_away_is_judged_as_one_that_is_here() {
    let bytes = sample();
    let here = MemoryImage::from_bytes(bytes.clone()).unwrap();
    let url = far(move |request, stream| {
        assert!(request.path.ends_with("signature=secret"));
        part(stream, &bytes, range(request, bytes.len()).unwrap(), "ETag: \"1\"\r\n");
    });
    let image = MemoryImage::open(&url).unwrap();
    let store = SymbolStore::new();
    let far = System::read(&image.locate_kernel(&store).unwrap()).unwrap();
    let near = System::read(&here.locate_kernel(&store).unwrap()).unwrap();
    // Less is searched for other systems where each look is a round trip, and SYS-03 says so.
    let told = |system: &System| {
        let outcomes = check_smss(system).outcomes.into_iter().filter(|outcome| outcome.id != "SYS-03");
        outcomes.map(|outcome| outcome.to_string()).collect::<Vec<_>>()
    };
    assert!(told(&far) == told(&near), "other outcomes far away");
    let rows = |system: &System| {
        let items = system.processes.items.iter();
        items
            .map(|one| (one.pid.clone(), one.path.clone(), one.command_line.clone(), one.user.clone()))
            .collect::<Vec<_>>()
    };
    assert!(rows(&far) == rows(&near), "other processes far away");
    let fetched = image.fetched().unwrap();
    assert!(fetched.failure().is_none() && fetched.requests() > 1);
    let path = image.info().path.unwrap();
    assert!(path.ends_with("/case/mem.raw") && !path.contains("word"), "{path}");
}

/// A few pages of a large image are a few pieces: what lies between is not fetched.
#[test]
fn what_is_not_needed_is_not_fetched() {
    let bytes = sample();
    let length = bytes.len() + (1 << 36);
    let url = far(move |request, stream| {
        let (from, to) = range(request, length).unwrap();
        let piece: Vec<u8> = (from..=to).map(|at| bytes.get(at).copied().unwrap_or(0)).collect();
        let range = format!("Content-Length: {}\r\nContent-Range: bytes {from}-{to}/{length}\r\n", piece.len());
        head(stream, "206 Partial Content", &range);
        send(stream, &piece);
    });
    let image = MemoryImage::open(&url).unwrap();
    System::read(&image.locate_kernel(&SymbolStore::new()).unwrap()).unwrap();
    let fetched = image.fetched().unwrap();
    assert!(fetched.bytes() < 8 << 20, "{} bytes in {} requests", fetched.bytes(), fetched.requests());
}

/// What is read in order comes in few requests, each piece of it once, also where two places are read by turns.
#[test]
fn what_is_read_in_order_is_fetched_ahead() {
    const READ: u64 = 2 << 20;
    let length = 64 << 20;
    let bytes: Vec<u8> = (0..length).map(|at: usize| (at >> 12) as u8 ^ at as u8).collect();
    let expected = bytes.clone();
    let url = far(move |request, stream| part(stream, &bytes, range(request, length).unwrap(), "ETag: \"1\"\r\n"));
    let image = MemoryImage::open(&url).unwrap();
    let before = (image.fetched().unwrap().requests(), image.fetched().unwrap().bytes());
    for at in (0..READ).step_by(0x1000) {
        for start in [4 << 20, 32 << 20] {
            let mut page = [0; 0x1000];
            let from = start + at;
            assert_eq!(image.read(PhysicalAddress(from), &mut page), page.len());
            assert!(page == expected[from as usize..][..0x1000], "{from:#x}");
        }
    }
    let fetched = image.fetched().unwrap();
    let (requests, bytes) = (fetched.requests() - before.0, fetched.bytes() - before.1);
    // 1, 2, 4, 8, 8, 8 and 8 pieces of 64 KiB for 32 of them, twice.
    assert!(requests <= 14, "{requests} requests");
    assert!(bytes <= 2 * (READ + (512 << 10)), "{bytes} bytes");
    // Single pages far from one another are single pieces.
    for at in [20 << 20, 24 << 20, 28 << 20] {
        image.read(PhysicalAddress(at), &mut [0; 64]);
    }
    assert_eq!((fetched.requests() - before.0 - requests, fetched.bytes() - before.1 - bytes), (3, 3 << 16));
}

#[test]
fn a_busy_server_is_asked_again() {
    let bytes = sample();
    let url = far(move |request, stream| match request.number {
        0 => head(stream, "503 Service Unavailable", ""),
        _ => part(stream, &bytes, range(request, bytes.len()).unwrap(), ""),
    });
    assert_eq!(MemoryImage::open(&url).unwrap().format(), "raw");
}

/// Halves of two files must not become one image.
#[test]
fn a_file_that_was_replaced_is_an_error() {
    let bytes = sample();
    let replaced = Arc::new(AtomicBool::new(false));
    let is_replaced = Arc::clone(&replaced);
    let url = far(move |request, stream| {
        let version = if is_replaced.load(Ordering::Relaxed) { "2" } else { "1" };
        part(stream, &bytes, range(request, bytes.len()).unwrap(), &format!("ETag: \"{version}\"\r\n"));
    });
    let image = MemoryImage::open(&url).unwrap();
    replaced.store(true, Ordering::Relaxed);
    let _ = image.locate_kernel(&SymbolStore::new()).map(|kernel| System::read(&kernel));
    assert!(image.fetched().unwrap().failure().unwrap().contains("replaced"));
}

#[test]
fn what_a_server_refuses_is_said() {
    let whole = far(|_, stream| head(stream, "200 OK", ""));
    assert!(failure(&whole).contains("byte ranges"));
    let gone = far(|_, stream| head(stream, "404 Not Found", ""));
    assert!(failure(&gone).contains("there is no such file"));
    let expired = far(|_, stream| head(stream, "403 Forbidden", ""));
    assert!(failure(&expired).contains("still valid"));
    let other = far(|_, stream| part(stream, &[0; 64], (8, 63), ""));
    assert!(failure(&other).contains("another part"));
}
