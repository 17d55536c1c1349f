//! AFF4 in a zip file, as "AFF4 Standard v1.0" describes it, and as WinPmem wrote it before.

use super::avml::packed;
use super::hyperv::crc32;
use crate::forge::Forged;
use crate::physical::PAGE;

const CHUNK: usize = 0x8000;
const IN_BEVY: usize = 16;
const VOLUME: &str = "aff4://5ae2c7a4-5e9c-4c6f-a2a7-3e1f0d8a4b11";

/// A zip file of stored members.
#[derive(Default)]
struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        let at = self.out.len() as u32;
        let mut head = Vec::new();
        for number in [10u16, 0, 0, 0, 0x21] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc32(bytes), bytes.len() as u32, bytes.len() as u32] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&(name.len() as u16).to_le_bytes());
        head.extend_from_slice(&[0; 2]);
        self.out.extend_from_slice(b"PK\x03\x04");
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(bytes);
        self.directory.extend_from_slice(b"PK\x01\x02\x0a\0");
        self.directory.extend_from_slice(&head);
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&at.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let (at, size) = (self.out.len() as u32, self.directory.len() as u32);
        self.out.extend_from_slice(&self.directory);
        self.out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        self.out.extend_from_slice(&self.count.to_le_bytes());
        self.out.extend_from_slice(&self.count.to_le_bytes());
        self.out.extend_from_slice(&size.to_le_bytes());
        self.out.extend_from_slice(&at.to_le_bytes());
        self.out.extend_from_slice(&(VOLUME.len() as u16).to_le_bytes());
        self.out.extend_from_slice(VOLUME.as_bytes());
        self.out
    }
}

impl Forged {
    /// The file: pieces of 1 MiB, of which those of zeros are said to be. `old`: as WinPmem 2 wrote it.
    #[must_use]
    pub fn as_aff4(&self, old: bool) -> Vec<u8> {
        let (mut data, mut map) = (Vec::new(), Vec::new());
        let mut range = |start: u64, bytes: u64, offset: u64, target: u32| {
            for number in [start, bytes, offset] {
                map.extend_from_slice(&number.to_le_bytes());
            }
            map.extend_from_slice(&target.to_le_bytes());
        };
        for run in &self.truth.runs {
            let mut start = run.start;
            while start < run.end {
                let end = run.end.min(start + (1 << 20));
                let offset = data.len() as u64;
                let zero = (start / PAGE..end / PAGE)
                    .all(|frame| self.memory.get(frame).is_none_or(|page| page == &[0; 4096]));
                if zero {
                    range(start, end - start, 0, 1);
                } else {
                    self.append_run(&(start..end), &mut data);
                    range(start, end - start, offset, 0);
                }
                start = end;
            }
        }
        // What could not be read.
        range(0x3f_0000_0000, 0x10_0000, 0, 2);
        let size = data.len();
        let mut zip = Zip::default();
        let (memory, stream) = if old {
            (format!("{VOLUME}/PhysicalMemory"), format!("{VOLUME}/PhysicalMemory/data"))
        } else {
            ("aff4://0a1b2c3d-memory".to_owned(), "aff4://77665544-stream".to_owned())
        };
        let member = |urn: &str, part: &str| {
            let whole = format!("{urn}/{part}");
            match whole.strip_prefix(&format!("{VOLUME}/")) {
                Some(below) => below.to_owned(),
                None => whole.replace("aff4://", "aff4%3A%2F%2F"),
            }
        };
        zip.add("container.description", VOLUME.as_bytes());
        zip.add("version.txt", b"major=1\nminor=0\ntool=forge\n");
        let chunks: Vec<&[u8]> = data.chunks(CHUNK).collect();
        for (n, chunks) in chunks.chunks(IN_BEVY).enumerate() {
            let (mut bevy, mut index) = (Vec::new(), Vec::new());
            for chunk in chunks {
                let mut whole = chunk.to_vec();
                whole.resize(CHUNK, 0);
                let small = packed(&whole);
                let bytes = if small.len() < CHUNK - 16 { &small } else { &whole };
                if old {
                    index.extend_from_slice(&(bevy.len() as u32).to_le_bytes());
                } else {
                    index.extend_from_slice(&(bevy.len() as u64).to_le_bytes());
                    index.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                }
                bevy.extend_from_slice(bytes);
            }
            zip.add(&member(&stream, &format!("{n:08}")), &bevy);
            zip.add(&member(&stream, &format!("{n:08}{}", if old { "/index" } else { ".index" })), &index);
        }
        let unreadable = "http://aff4.org/Schema#UnreadableData";
        zip.add(&member(&memory, "map"), &map);
        zip.add(&member(&memory, "idx"), format!("{stream}\nhttp://aff4.org/Schema#Zero\n{unreadable}\n").as_bytes());
        let names = if old {
            ["map", "image", "chunk_size", "chunks_per_segment", "compression"]
        } else {
            ["Map", "ImageStream", "chunkSize", "chunksInSegment", "compressionMethod"]
        };
        let [is_map, is_stream, chunk_size, in_bevy, method] = names;
        let codec = if old { "https://github.com/google/snappy" } else { "http://code.google.com/p/snappy/" };
        let turtle = format!(
            "@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n@prefix aff4: <http://aff4.org/Schema#> .\n\
             @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n\n\
             <{stream}>\n    a aff4:{is_stream} ;\n    aff4:{chunk_size} {CHUNK} ;\n    aff4:{in_bevy} \"{IN_BEVY}\"^^xsd:int ;\n    \
             aff4:{method} <{codec}> ;\n    aff4:size \"{size}\"^^xsd:long ;\n    aff4:stored <{VOLUME}> .\n\n\
             <{memory}>\n    aff4:stored <{VOLUME}> ;\n    a aff4:{is_map}, aff4:Image ;\n    aff4:category <http://aff4.org/Schema#memory/physical> .\n"
        );
        zip.add("information.turtle", turtle.as_bytes());
        zip.finish()
    }
}
