//! The scanner itself: what it finds, in which order, and how it ends.

use ntmem::image::PhysicalRun;
use ntmem::memory::{Hit, Page, Scan, ScanEnd, Scanner, Word};
use ntmem::{PhysicalAddress, PhysicalMemory};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Memory with holes: pieces of bytes at their addresses.
struct Memory(Vec<(u64, Vec<u8>)>);

impl PhysicalMemory for Memory {
    fn next_run(&self, from: PhysicalAddress) -> Option<PhysicalRun> {
        let (start, bytes) = self.0.iter().find(|(start, bytes)| start + bytes.len() as u64 > from.0)?;
        let first = (*start).max(from.0);
        Some(PhysicalRun { start: PhysicalAddress(first), bytes: start + bytes.len() as u64 - first })
    }

    fn read(&self, at: PhysicalAddress, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let at = PhysicalAddress(at.0 + done as u64);
            let Some(piece) = self.borrow(at, buf.len() - done) else { break };
            buf[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        done
    }

    fn borrow(&self, at: PhysicalAddress, len: usize) -> Option<&[u8]> {
        let (start, bytes) =
            self.0.iter().find(|(start, bytes)| (*start..start + bytes.len() as u64).contains(&at.0))?;
        let rest = &bytes[(at.0 - start) as usize..];
        Some(&rest[..rest.len().min(len)])
    }
}

/// Noise in three pieces, the second of single pages, the last far away; and in it what is looked for.
fn memory() -> Memory {
    let mut state = 88_172_645_463_325_252u64;
    let mut noise = |bytes: usize| -> Vec<u8> {
        (0..bytes / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect()
    };
    let mut pieces = vec![(0x1000, noise(9 << 20))];
    pieces.extend((0..40).map(|n| (0x200_0000 + n * 0x3000, noise(0x1000))));
    pieces.push((0x1_4000_0000, noise(20 << 20)));
    for (number, (_, piece)) in (0usize..).zip(&mut pieces) {
        let pages = piece.len() / 0x1000;
        for page in (number % 7..pages).step_by(7) {
            let at = page * 0x1000 + page % 256 * 16;
            piece[at..at + 16].copy_from_slice(b"\0\0\x20\x02Proc\0\0\0\0\0\0\0\0");
        }
        for page in (number % 5..pages).step_by(5) {
            let at = page * 0x1000 + 0x800 + page % 100 * 4;
            piece[at..at + 4].copy_from_slice(b"RSDS");
        }
        // Pages that hold nothing: they are passed over.
        for page in (number % 11..pages).step_by(11) {
            piece[page * 0x1000..][..0x1000].fill((page % 3) as u8);
        }
    }
    Memory(pieces)
}

fn scanner<'s>() -> Scanner<'s> {
    Scanner::new()
        .pool_tag(*b"Proc")
        .signature(b"RSDS", 4)
        .signature(b"SDS", 1)
        .pages(|page: Page<'_>| page.bytes[0] == 0x5a)
        .words(&[Word { step: 16, offset: 8, mask: 0xffff, value: 0x4711 }], |page, offset, add| {
            if page.bytes[offset] & 1 == 0 {
                add(offset);
            }
        })
}

fn hits(scanner: &Scanner<'_>, memory: &Memory) -> (Vec<Hit>, Scan) {
    let mut hits = Vec::new();
    let scan = scanner.run(memory, |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    });
    (hits, scan)
}

/// The same, written down simply.
fn expected(memory: &Memory) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (start, bytes) in &memory.0 {
        for (n, page) in bytes.chunks_exact(0x1000).enumerate() {
            let at = |offset: usize| PhysicalAddress(start + (n * 0x1000 + offset) as u64);
            let mut add = |what, offset| hits.push(Hit { at: at(offset), what });
            for offset in 0..0x1000 {
                let rest = &page[offset..];
                if offset % 8 == 0 && rest[4..].starts_with(b"Proc") {
                    add(0, offset);
                }
                if offset % 4 == 0 && rest.starts_with(b"RSDS") {
                    add(1, offset);
                }
                if rest.starts_with(b"SDS") {
                    add(2, offset);
                }
                if offset == 0 && page[0] == 0x5a {
                    add(3, 0);
                }
                if offset % 16 == 0 && rest[8..10] == [0x11, 0x47] && rest[0] & 1 == 0 {
                    add(4, offset);
                }
            }
        }
    }
    hits
}

#[test]
fn every_hit_once_and_in_order_whatever_the_number_of_threads() {
    let memory = memory();
    let expected = expected(&memory);
    for what in 0..5 {
        assert!(expected.iter().filter(|hit| hit.what == what).count() > 3, "{what} is in it");
    }
    for threads in [1, 2, 8] {
        let (hits, scan) = hits(&scanner().threads(threads), &memory);
        assert_eq!(hits, expected, "{threads} threads");
        let total = memory.0.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert_eq!(scan, Scan { end: ScanEnd::Complete, hits: expected.len(), bytes: total, total });
    }
}

#[test]
fn the_first_hits_where_there_are_more_than_are_allowed() {
    let memory = memory();
    let expected = expected(&memory);
    for threads in [1, 2, 8] {
        let (few, scan) = hits(&scanner().threads(threads).max_hits(100), &memory);
        assert_eq!(few, expected[..100]);
        assert_eq!((scan.end, scan.hits), (ScanEnd::Limit, 100));
        let (all, scan) = hits(&scanner().threads(threads).max_hits(expected.len()), &memory);
        assert_eq!((all.len(), scan.end), (expected.len(), ScanEnd::Complete));
    }
    // A hit in every 16 bytes.
    let dense = Memory(vec![(0, b"\0\0\x20\x02Proc\0\0\0\0\0\0\0\0".repeat(1 << 20))]);
    let (all, scan) = hits(&Scanner::new().pool_tag(*b"Proc"), &dense);
    assert_eq!((all.len(), scan.end), (1 << 20, ScanEnd::Complete));
    let (all, scan) = hits(&Scanner::new().pool_tag(*b"Proc").max_hits(5000), &dense);
    assert_eq!((all.len(), scan.end), (5000, ScanEnd::Limit));
}

#[test]
fn who_has_enough_stops_it() {
    let memory = memory();
    let expected = expected(&memory);
    for threads in [1, 2, 8] {
        let mut hits = Vec::new();
        let scan = scanner().threads(threads).run(&memory, |hit| {
            hits.push(hit);
            if hits.len() == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(hits, expected[..7]);
        assert_eq!(scan.end, ScanEnd::Stopped);
    }
}

#[test]
fn a_cancelled_scan_says_so_and_gives_what_it_found() {
    let memory = memory();
    let expected = expected(&memory);
    // Of nine parts of memory, one is given before the scan is cancelled; the others of these threads have begun theirs or not.
    for threads in [1, 2, 8] {
        let (cancel, seen) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut hits = Vec::new();
        // However the threads are scheduled: whoever is behind the first part looks at no page of it before the scan is cancelled.
        let scanner = scanner().threads(threads).cancel(&cancel).pages(|page| {
            while page.at.0 >= 4 << 20 && !cancel.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            seen.fetch_add(page.bytes.len() as u64, Ordering::Relaxed);
            false
        });
        let scan = scanner.run(&memory, |hit| {
            hits.push(hit);
            cancel.store(true, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
        assert_eq!(scan.end, ScanEnd::Cancelled);
        assert!(!hits.is_empty() && hits.len() == scan.hits && scan.bytes < scan.total);
        assert!(hits.is_sorted() && hits.iter().all(|hit| expected.contains(hit)));
        let first_part = expected.iter().take_while(|hit| hit.at.0 < 4 << 20).count();
        assert_eq!(hits[..first_part], expected[..first_part], "what was found before it was cancelled");
        // Each of the others ends within a MiB of its part.
        let most = (4 << 20) + (threads as u64 - 1) * (1 << 20);
        assert!(seen.load(Ordering::Relaxed) <= most.min(scan.bytes), "{seen:?} of {most} bytes, {threads} threads");
        let before = seen.load(Ordering::Relaxed);
        let (none, scan) = self::hits(&scanner, &memory);
        assert_eq!((none.len(), scan.end), (0, ScanEnd::Cancelled), "from the start");
        assert_eq!(seen.load(Ordering::Relaxed), before, "no page is looked at");
    }
}

#[test]
fn progress_goes_on_to_its_end() {
    let memory = memory();
    let (last, calls) = (Mutex::new((0, 0)), AtomicU64::new(0));
    let progress = |done: u64, total: u64| {
        // Whoever is slow must not bring an old number.
        if calls.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut last = last.lock().unwrap();
        assert!(last.0 <= done && done <= total);
        *last = (done, total);
    };
    let (_, scan) = hits(&scanner().threads(8).progress(&progress), &memory);
    assert_eq!(*last.lock().unwrap(), (scan.total, scan.total));
    assert!(calls.into_inner() > 5);
}

#[test]
#[should_panic(expected = "in a page")]
fn a_panic_ends_the_scan() {
    let memory = memory();
    hits(
        &Scanner::new().threads(2).pages(|page| if page.at.0 == 0x4000 { panic!("in a page") } else { false }),
        &memory,
    );
}

#[test]
fn pages_of_one_byte_hold_what_is_made_of_that_byte() {
    let memory = Memory(vec![(0, vec![0; 0x1000]), (0x1000, vec![7; 0x1000])]);
    let (found, _) = hits(&Scanner::new().signature(&[7; 4], 0x400).signature(&[0; 3], 0x800), &memory);
    let at: Vec<(u64, usize)> = found.iter().map(|hit| (hit.at.0, hit.what)).collect();
    assert_eq!(at, [(0, 1), (0x800, 1), (0x1000, 0), (0x1400, 0), (0x1800, 0), (0x1c00, 0)]);
    assert!(hits(&Scanner::new().signature(b"", 1), &memory).0.is_empty(), "nothing is nowhere");
}
