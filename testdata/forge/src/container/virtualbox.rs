//! A machine that VirtualBox saved (.sav). Layout: the head of VirtualBox' `SSM.cpp`, and what its `PGMSavedState.cpp` puts.

use super::put;
use crate::forge::Forged;
use crate::physical::PAGE;

/// How it was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Standing still, by VirtualBox 7.
    Still,
    /// The same by VirtualBox 4.1, which has less in its structures.
    Old,
    /// A snapshot of a running machine: what was saved at first is saved again where it changed.
    Live,
}

const FINAL: u32 = u32::MAX;

/// The records of a unit: what is put in small pieces is buffered, pages are packed each for itself.
#[derive(Default)]
struct Unit {
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Unit {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > 3000 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.buffer);
        if !bytes.is_empty() {
            self.record(2, &bytes);
        }
    }

    fn record(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push(0x90 | kind);
        let length = bytes.len() as u32;
        let character = char::from_u32(length).expect("lengths below 0xd800");
        self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.out.extend_from_slice(bytes);
    }

    fn page(&mut self, page: &[u8; 4096]) {
        self.flush();
        if page == &[0; 4096] {
            return self.record(4, &[4]);
        }
        let mut packed = vec![4];
        packed.extend(lzf(page));
        if packed.len() < 4096 { self.record(3, &packed) } else { self.record(2, page) }
    }

    /// The unit with its header and its end.
    fn finish(mut self, name: &str, version: u32, pass: u32, at: usize) -> Vec<u8> {
        self.flush();
        let mut out = b"\nUnit\n\0\0".to_vec();
        out.extend_from_slice(&(at as u64).to_le_bytes());
        for number in [0, 0, version, 0, pass, 0, name.len() as u32 + 1] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend(self.out);
        out.extend_from_slice(&[0x91, 14]);
        out.extend_from_slice(&[0; 14]);
        out
    }

    fn structure(&mut self, bytes: usize) {
        self.put(&0x1920_0102u32.to_le_bytes());
        self.put(&vec![0; bytes]);
        self.put(&0x1992_0406u32.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.put(&(text.len() as u32).to_le_bytes());
        self.put(text.as_bytes());
    }

    fn ranges(&mut self, bytes: u64) {
        self.put(&0x2000_0000u32.to_le_bytes());
        self.put(&bytes.to_le_bytes());
        self.put(&[1]);
        self.text("");
        self.put(&[0; 5]);
        self.text("PC BIOS");
        self.put(&0xf_0000u64.to_le_bytes());
        self.put(&0x1_0000u64.to_le_bytes());
        self.put(&[0xff, 1]);
        self.text("vga");
        self.put(&[0; 5]);
        self.text("VRam");
        self.put(&0x80_0000u64.to_le_bytes());
        self.put(&[0xff]);
        // Pages of the two: with their place, and without.
        self.put(&[0x84, 1, 0, 0, 0, 0, 2]);
        self.page(&[0xb1; 4096]);
        self.put(&[0x82, 1, 0, 0, 0, 0]);
        self.page(&[0x5a; 4096]);
        self.put(&[3]);
    }

    fn memory<'p>(&mut self, pages: impl Iterator<Item = (u64, &'p [u8; 4096])>) {
        let mut last = None;
        for (frame, page) in pages {
            let follows = frame.checked_sub(1) == last && last.is_some();
            let kind = u8::from(page != &[0; 4096]);
            self.put(&[kind | if follows { 0 } else { 0x80 }]);
            if !follows {
                self.put(&(frame * PAGE).to_le_bytes());
            }
            if kind == 1 {
                self.page(page);
            }
            last = Some(frame);
        }
    }
}

impl Forged {
    /// The file.
    #[must_use]
    pub fn as_virtualbox(&self, saved: Saved) -> Vec<u8> {
        let mut out = vec![0; 64];
        put(&mut out, 0, b"\x7fVirtualBox SavedState V2.0\n");
        out[45] = 8;
        let mut small = Unit::default();
        small.put(b"version of the program");
        small.page(&[7; 4096]);
        let unit = small.finish("SSM", 1, FINAL, out.len());
        out.extend(unit);
        let bytes = self.truth.runs.iter().map(|run| run.end - run.start).sum();
        let pages = || self.truth.runs.iter().flat_map(|run| self.pages(run));
        let version = if saved == Saved::Old { 11 } else { 14 };
        let stale = |frame: u64| frame % 5 == 0;
        if saved == Saved::Live {
            let mut first = Unit::default();
            first.ranges(bytes);
            let old = [0xa5; 4096];
            first.memory(pages().map(|(frame, page)| (frame, if stale(frame) { &old } else { page })));
            first.put(&[0xff]);
            let unit = first.finish("pgm", version, 0, out.len());
            out.extend(unit);
            let mut other = Unit::default();
            other.put(&[1; 100]);
            let unit = other.finish("vga", 3, 0, out.len());
            out.extend(unit);
        }
        let mut last = Unit::default();
        // The machine's, and two processors'.
        let (machine, processor) = if saved == Saved::Old { (13, 13) } else { (17, 45) };
        last.structure(machine);
        last.structure(processor);
        last.structure(processor);
        if saved == Saved::Live {
            last.memory(pages().filter(|(frame, _)| stale(*frame)));
        } else {
            last.ranges(bytes);
            last.memory(pages());
        }
        last.put(&[0xff]);
        let unit = last.finish("pgm", version, FINAL, out.len());
        out.extend(unit);
        out.extend_from_slice(b"\nTheEnd\0");
        out
    }
}

/// LZF with copies of the byte before alone.
fn lzf(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let same =
            |at: usize| bytes[at..].iter().take(264).take_while(|&&byte| at > 0 && byte == bytes[at - 1]).count();
        match same(at) {
            0..3 => {
                let run =
                    (at + 1..bytes.len().min(at + 32)).find(|&end| same(end) >= 3).unwrap_or(bytes.len().min(at + 32));
                out.push((run - at - 1) as u8);
                out.extend_from_slice(&bytes[at..run]);
                at = run;
            }
            length @ 3..9 => {
                out.extend_from_slice(&[((length - 2) << 5) as u8, 0]);
                at += length;
            }
            length => {
                out.extend_from_slice(&[7 << 5, (length - 9) as u8, 0]);
                at += length;
            }
        }
    }
    out
}
