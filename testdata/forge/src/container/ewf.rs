//! EWF (E01), as libewf's "Expert Witness Compression Format" describes it.

use super::kdump::{adler, repeated};
use super::put;
use crate::forge::Forged;

const CHUNK: usize = 0x8000;

impl Forged {
    /// The raw image in segments of so many chunks, each with two tables of chunks.
    #[must_use]
    pub fn as_ewf(&self, chunks_in_segment: usize) -> Vec<Vec<u8>> {
        let chunks: Vec<&[u8]> = self.image.chunks(CHUNK).collect();
        let segments: Vec<&[&[u8]]> = chunks.chunks(chunks_in_segment).collect();
        let segment = |(n, part): (usize, &&[&[u8]])| {
            let mut out = b"EVF\x09\x0d\x0a\xff\x00\x01".to_vec();
            out.extend_from_slice(&(n as u16 + 1).to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            section(&mut out, b"header2", b"nothing that is read");
            if n == 0 {
                let mut volume = vec![0; 1052];
                put(&mut volume, 4, &(chunks.len() as u32).to_le_bytes());
                put(&mut volume, 8, &64u32.to_le_bytes());
                put(&mut volume, 12, &512u32.to_le_bytes());
                put(&mut volume, 16, &(self.image.len().div_ceil(512) as u64).to_le_bytes());
                section(&mut out, b"volume", &volume);
            }
            for half in part.chunks(part.len().div_ceil(2)) {
                let base = out.len() as u64 + 76;
                let (mut data, mut entries) = (Vec::new(), Vec::new());
                for chunk in half {
                    let packed = repeated(chunk);
                    let flag = if packed.len() < chunk.len() { 1u32 << 31 } else { 0 };
                    entries.push(data.len() as u32 | flag);
                    data.extend_from_slice(&packed);
                    if flag == 0 {
                        // Here its least byte comes first (seen in a file of ewfacquire).
                        data.extend(adler(chunk).iter().rev());
                    }
                }
                section(&mut out, b"sectors", &data);
                let mut table = vec![0; 24];
                put(&mut table, 0, &(entries.len() as u32).to_le_bytes());
                put(&mut table, 8, &base.to_le_bytes());
                let mut sum = adler(&table[..20]);
                sum.reverse();
                put(&mut table, 20, &sum);
                table.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
                table.extend(adler(&table[24..]).iter().rev());
                section(&mut out, b"table", &table);
                section(&mut out, b"table2", &table);
            }
            let last = n + 1 == segments.len();
            let at = out.len() as u64;
            section(&mut out, if last { b"done" } else { b"next" }, &[]);
            // The last section leads to itself.
            put(&mut out, at as usize + 16, &at.to_le_bytes());
            out
        };
        segments.iter().enumerate().map(segment).collect()
    }
}

fn section(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    let size = 76 + body.len() as u64;
    let mut head = [0; 76];
    put(&mut head, 0, name);
    put(&mut head, 16, &(out.len() as u64 + size).to_le_bytes());
    put(&mut head, 24, &size.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
}
